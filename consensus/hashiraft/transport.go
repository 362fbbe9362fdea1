package hashiraft

import (
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus/wire"
)

// stream is wire.Stream as the library wants it.
type stream struct{ *wire.Stream }

func (s stream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return s.Stream.Dial(string(addr), timeout)
}

// addresses answers with the present configuration's addresses: those in the
// log are the ones of the first start.
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
}

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
)

// LocalAddr is the configured address, whatever the listener calls itself.
func (t *transport) LocalAddr() raft.ServerAddress { return t.addr }

// SetHeartbeatHandler is called by the library once, at its start.
func (t *transport) SetHeartbeatHandler(handle func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !t.gate.enter() {
			rpc.Respond(nil, raft.ErrTransportShutdown)
			return
		}
		defer t.gate.leave()
		handle(rpc)
	})
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

// AppendEntries carries heartbeats (and entries outside the pipeline).
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	began := t.acks.now()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		t.acks.note(id, args.Term, began)
	}
	return err
}

// acks knows, for each follower, the latest begin of a request that it has
// acknowledged, on a clock of its own that counts events.
type acks struct {
	mu    sync.Mutex
	clock uint64
	last  map[raft.ServerID]ack
}

type ack struct{ term, began uint64 }

// now returns an instant later than all before it.
func (a *acks) now() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock++
	return a.clock
}

func (a *acks) note(id raft.ServerID, term, began uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.last[id]; l.term < term || l.term == term && l.began < began {
		a.last[id] = ack{term, began}
	}
}

// since counts the followers that acknowledged, at this term, a request which
// began after the instant.
func (a *acks) since(term, instant uint64) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, l := range a.last {
		if l.term == term && l.began > instant {
			n++
		}
	}
	return n
}
