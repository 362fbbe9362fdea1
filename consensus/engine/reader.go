package engine

import (
	"context"
	"sync"
	"sync/atomic"
)

// The states of a reader; whoever comes second after the caller left early
// recycles it.
const (
	readWaiting int32 = iota
	readDone
	readAbandoned
)

// reader is one call of ReadBarrier.
type reader struct {
	index uint64
	err   error
	state atomic.Int32
	ready chan struct{} // room for one signal
}

// readers keeps the callers of ReadBarrier: those that wait for a round, and
// those of the rounds that are under way. All but wait belong to the loop.
type readers struct {
	pool    sync.Pool
	waiting []*reader
	rounds  []readRound // oldest first
	spare   [][]*reader
}

type readRound struct {
	round   uint64
	readers []*reader
}

func (rs *readers) get() *reader {
	r, ok := rs.pool.Get().(*reader)
	if !ok {
		r = &reader{ready: make(chan struct{}, 1)}
	}
	r.state.Store(readWaiting)
	return r
}

func (rs *readers) put(r *reader) {
	r.index, r.err = 0, nil
	rs.pool.Put(r)
}

// wait blocks the caller until its reader is finished or ctx ends.
func (rs *readers) wait(ctx context.Context, r *reader) (uint64, error) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		if r.state.CompareAndSwap(readWaiting, readAbandoned) {
			return 0, ctx.Err()
		}
		<-r.ready
	}
	index, err := r.index, r.err
	rs.put(r)
	return index, err
}

func (rs *readers) finish(r *reader, index uint64, err error) {
	r.index, r.err = index, err
	if r.state.CompareAndSwap(readWaiting, readDone) {
		r.ready <- struct{}{}
		return
	}
	rs.put(r)
}

// begin moves all that wait into round.
func (rs *readers) begin(round uint64) {
	rs.rounds = append(rs.rounds, readRound{round, rs.waiting})
	rs.waiting = nil
	if n := len(rs.spare); n > 0 {
		rs.waiting, rs.spare = rs.spare[n-1], rs.spare[:n-1]
	}
}

// done answers the readers of all rounds up to round.
func (rs *readers) done(round, index uint64) {
	for len(rs.rounds) > 0 && rs.rounds[0].round <= round {
		rs.finishRound(index, nil)
	}
}

func (rs *readers) finishRound(index uint64, err error) {
	list := rs.rounds[0].readers
	for _, r := range list {
		rs.finish(r, index, err)
	}
	rs.spare = append(rs.spare, clearSlice(list))
	rs.rounds = rs.rounds[:copy(rs.rounds, rs.rounds[1:])]
}

// fail ends every reader.
func (rs *readers) fail(err error) {
	for len(rs.rounds) > 0 {
		rs.finishRound(0, err)
	}
	for _, r := range rs.waiting {
		rs.finish(r, 0, err)
	}
	rs.waiting = clearSlice(rs.waiting)
}
