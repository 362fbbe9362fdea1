package master

import (
	"context"

	"gfslab/api"
)

// flight is one grant, revocation or copy in progress. A chunk has at most one;
// other callers wait for it. It runs in its own goroutine, because it outlives the
// caller that began it: others wait for the same result. A flight of kind holding
// has no goroutine: whoever holds the chunk ends it.
type flight struct {
	kind flightKind
	done chan struct{}
	// The results, to be read after done is closed. reply is nil if the flight
	// found nothing to do, or no chunk.
	reply *api.ChunkReply
	err   error
}

type flightKind uint8

const (
	granting flightKind = iota + 1
	revoking
	copying // takes a file's chunk out of a snapshot's hands
	holding // keeps the chunk without a lease; see hold
)

// join returns the chunk's flight, and starts one of the given kind if there is
// none. mine is true if this call started it. It is nil when the master closes.
func (m *Master) join(term, handle uint64, kind flightKind) (f *flight, mine bool) {
	return m.begin(handle, kind, func(ctx context.Context) (*api.ChunkReply, error) {
		if kind == granting {
			return m.grant(ctx, term, handle)
		}
		return m.revoke(ctx, term, handle, askOnce)
	})
}

// begin is join for any work.
func (m *Master) begin(handle uint64, kind flightKind, work func(context.Context) (*api.ChunkReply, error)) (f *flight, mine bool) {
	m.leases.mu.Lock()
	defer m.leases.mu.Unlock()
	if f := m.leases.flights[handle]; f != nil {
		return f, false
	}
	if m.leases.closed {
		return nil, false
	}
	f = &flight{kind: kind, done: make(chan struct{})}
	m.leases.flights[handle] = f
	m.wg.Add(1)
	go func() {
		defer m.wg.Done()
		// Enough for a lease to run out and for a few rounds of calls.
		limit := 2*m.leases.term1 + 10*m.o.CallTimeout
		ctx, cancel := context.WithTimeout(m.closing, limit)
		defer cancel()
		f.reply, f.err = work(ctx)
		m.leases.land(handle, f)
	}()
	return f, true
}

// land takes a flight off the list and wakes who waits for it.
func (l *leases) land(handle uint64, f *flight) {
	l.mu.Lock()
	delete(l.flights, handle)
	l.mu.Unlock()
	close(f.done)
}

// hold ends the chunk's lease, be it on the primary's word or by waiting until it
// has surely run out, and keeps the chunk from being granted, revoked, copied or
// held by others until release is called: once, whatever happens. The chunk need
// not exist. What was logged by an earlier flight is applied when hold returns.
//
// It is for who must find a chunk quiet: snapshots and clones. Fencing alone is
// never enough: a lease that replaced another is ended in its turn, so that all
// members have refused whatever was before, and nobody may act any more.
// The error may be a gRPC status or one of package consensus.
func (m *Master) hold(ctx context.Context, term, handle uint64) (release func(), err error) {
	f, err := m.take(ctx, handle)
	if err != nil {
		return nil, err
	}
	if err := m.quieten(ctx, term, handle); err != nil {
		m.leases.land(handle, f)
		return nil, err
	}
	return func() { m.leases.land(handle, f) }, nil
}

// take puts a flight of kind holding onto the list when there is no other.
func (m *Master) take(ctx context.Context, handle uint64) (*flight, error) {
	for {
		f, mine := m.leases.take(handle)
		if mine {
			return f, nil
		}
		if err := m.await(ctx, f); err != nil {
			return nil, err
		}
	}
}

// quieten ends the lease and the pending intent of a chunk that is held.
func (m *Master) quieten(ctx context.Context, term, handle uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.closing, cancel)()
	reply, err := m.revoke(ctx, term, handle, askAlive)
	if err != nil {
		return err
	}
	if reply.GetCode() == api.Code_LEASE_HELD {
		// The primary is dead. A grant to other members takes its lease away at
		// once, and they have to answer; else all that is left is to wait.
		if _, err := m.grant(ctx, term, handle); err != nil {
			return err
		}
		if _, err := m.revoke(ctx, term, handle, askEver); err != nil {
			return err
		}
	}
	c, _, _ := m.machine.chunk(handle)
	if c.Intent == 0 {
		return nil
	}
	// An intent that nobody is to activate any more is given up by its index.
	c.Epoch = c.Intent
	_, err = m.logEnd(ctx, term, c)
	return err
}

// take puts a flight of kind holding onto the list, unless there is one: then it
// returns that. It is nil when the master closes.
func (l *leases) take(handle uint64) (f *flight, mine bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.flights[handle]; f != nil {
		return f, false
	}
	if l.closed {
		return nil, false
	}
	f = &flight{kind: holding, done: make(chan struct{})}
	l.flights[handle] = f
	return f, true
}

// inHand reports whether this master works with the chunk right now: a grant may
// be creating it on chunkservers, or a copy, which the state does not show yet.
func (l *leases) inHand(handle uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flights[handle] != nil || l.copies[handle]
}

// copyBegins and copyEnds bracket a copy whose handle was taken.
func (l *leases) copyBegins(handle uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies[handle] = true
}

func (l *leases) copyEnds(handle uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.copies, handle)
}

// close lets no further flight begin.
func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
