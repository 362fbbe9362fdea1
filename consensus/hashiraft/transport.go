package hashiraft

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/wire"
)

// stream is wire.Stream as the library wants it.
type stream struct{ *wire.Stream }

func (s stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.Stream.Dial(string(addr), timeout)
}

// addresses answers with the addresses that the replica was opened with: those
// in the log are the ones of the first start.
type addresses map[raft.ServerID]raft.ServerAddress

func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if addr, ok := a[id]; ok {
		return addr, nil
	}
	return "", errNotFound
}

// transport is the library's NetworkTransport, with notes on which followers
// have acknowledged the leader when.
type transport struct {
	*raft.NetworkTransport
	addr raft.ServerAddress
	acks *acks
	gate *gate
	mute *mute
	// promise is nil unless reads rely on it; calls are then what the library
	// consumes.
	promise *promise
	calls   chan raft.RPC
	// patience bounds a request to take over, for which the library keeps all
	// commands waiting.
	patience time.Duration
	tasks    *sync.WaitGroup
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
)

// LocalAddr is the configured address, whatever the listener calls itself.
func (t *transport) LocalAddr() raft.ServerAddress { return t.addr }

// SetHeartbeatHandler is called by the library once, at its start.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	if t.promise != nil {
		handle = t.promise.heartbeats(handle)
	}
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !t.gate.enter() {
			rpc.Respond(nil, raft.ErrTransportShutdown)
			return
		}
		defer t.gate.leave()
		handle(rpc)
	})
}

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC {
	if t.promise != nil {
		return t.calls
	}
	return t.NetworkTransport.Consumer()
}

// gate keeps heartbeats out of a replica that closes. The library handles them
// on its connections' goroutines, which its Shutdown does not wait for, and a
// heartbeat of a newer term writes to the log.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.inside.Add(1)
	}
	return !g.closed
}

func (g *gate) leave() { g.inside.Done() }

// close lets nobody in any more and waits for those inside.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}

// isHeartbeat says the same as the library's receiving side: such a request is
// answered beside the main goroutine, by the handler that heartbeats wraps.
func isHeartbeat(a *raft.AppendEntriesRequest) bool {
	return a.Term != 0 && a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}

// AppendEntries carries heartbeats (and entries outside the pipeline).
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.mute.pass(); err != nil {
		return err
	}
	began, at := t.acks.now(), time.Now()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		t.acks.note(id, ack{term: args.Term, began: began, at: at, last: resp.LastLog}, isHeartbeat(args))
	}
	return err
}

// AppendEntriesPipeline carries entries.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return pipeline{p, t.mute}, nil
}

type pipeline struct {
	raft.AppendPipeline
	mute *mute
}

func (p pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.mute.pass(); err != nil {
		return nil, err
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if err := t.mute.pass(); err != nil {
		return err
	}
	if t.promise != nil && !t.promise.mayCampaign(args) {
		return errPromised
	}
	return t.NetworkTransport.RequestVote(id, target, args, resp)
}

var errSlow = errors.New("hashiraft: no answer within an election timeout")

// TimeoutNow asks a follower to take over.
func (t *transport) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	if err := t.mute.pass(); err != nil {
		return err
	}
	if t.promise != nil {
		args = t.promise.handOver(args)
	}
	answer := make(chan error, 1)
	t.tasks.Go(func() {
		answer <- t.NetworkTransport.TimeoutNow(id, target, args, new(raft.TimeoutNowResponse))
	})
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	select {
	case err := <-answer:
		return err
	case <-patience.C:
		return errSlow
	}
}

// acks knows, for each follower, the latest begin of a request that it has
// acknowledged, on a clock of its own that counts events.
type acks struct {
	mu    sync.Mutex
	clock uint64
	last  map[raft.ServerID]ack
	beats map[raft.ServerID]ack // heartbeats only
	// changed, if not nil, closes at the next note.
	changed chan struct{}
}

type ack struct {
	term, began uint64
	at          time.Time // when it began
	last        uint64    // the follower's last index
}

func newAcks() *acks { return &acks{last: map[raft.ServerID]ack{}, beats: map[raft.ServerID]ack{}} }

// now returns an instant later than all before it.
func (a *acks) now() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	return a.clock
}

func (a *acks) note(id raft.ServerID, n ack, beat bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	put := func(m map[raft.ServerID]ack) {
		if l := m[id]; l.term < n.term || l.term == n.term && l.began < n.began {
			m[id] = n
		}
	}
	put(a.last)
	if beat {
		put(a.beats)
	}
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// next returns a channel that closes at the next note.
func (a *acks) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

// since counts the voters, ourselves not counted, that acknowledged, at this
// term, a request which began after the instant.
func (a *acks) since(term, instant uint64, e *electorate) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, id := range e.voters {
		if l := a.last[id]; l.term == term && l.began > instant {
			n++
		}
	}
	return n
}

// of returns what is known of a follower at this term.
func (a *acks) of(id raft.ServerID, term uint64) (ack, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.last[id]
	return l, l.term == term
}

// leased returns the latest moment since when a quorum has stood by the leader
// of this term: the begin of the oldest of the newest heartbeats of a quorum.
func (a *acks) leased(term uint64, e *electorate, now time.Time) (since time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	need := e.others()
	if need == 0 {
		return now, true
	}
	var room [9]time.Time
	begun := room[:0]
	for _, id := range e.voters {
		if l := a.beats[id]; l.term == term {
			begun = append(begun, l.at)
		}
	}
	if len(begun) < need {
		return time.Time{}, false
	}
	sortNewestFirst(begun)
	return begun[need-1], true
}

func sortNewestFirst(ts []time.Time) {
	for i := range ts {
		for j := i; j > 0 && ts[j].After(ts[j-1]); j-- {
			ts[j], ts[j-1] = ts[j-1], ts[j]
		}
	}
}

// responsive is the voter, not ourselves, that is most likely to win the lead:
// one that has answered lately, with the longest log.
func (a *acks) responsive(self consensus.NodeID, term uint64, e *electorate, after time.Time) (best raft.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var of ack
	for _, id := range e.voters {
		l := a.last[id]
		if nodeID(id) == self || l.term != term || l.at.Before(after) {
			continue
		}
		if best == "" || l.last > of.last || l.last == of.last && l.at.After(of.at) {
			best, of = id, l
		}
	}
	return best
}
