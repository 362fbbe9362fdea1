package hashiraft

import (
	"errors"
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

// addresses answers with the addresses that the replica was opened with: those
// in the log are the ones of the first start. Later members' are in the log.
type addresses struct {
	opened map[raft.ServerID]raft.ServerAddress
	roster *roster
}

func (a addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if addr, ok := a.opened[id]; ok {
		return addr, nil
	}
	if addr, ok := a.roster.electors.Load().addresses[id]; ok {
		return addr, nil
	}
	return "", errNotFound
}

// transport is the library's NetworkTransport, with notes on which followers
// have acknowledged the leader when.
type transport struct {
	*raft.NetworkTransport
	addr   raft.ServerAddress
	roster *roster
	acks   *acks
	gate   *gate
	mute   *mute
	// promise is nil unless reads rely on it.
	promise *promise
	// calls are what the doorman lets in.
	calls chan raft.RPC
	// patience bounds a request to take over, for which the library keeps all
	// commands waiting.
	patience time.Duration
	// slow bounds the wait for an answer in a pipeline.
	slow      time.Duration
	tasks     *sync.WaitGroup
	pipelines pipelines
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
func (t *transport) Consumer() <-chan raft.RPC { return t.calls }

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

var errLeft = errors.New("hashiraft: it has left the configuration")

// pass holds back what is not to be sent: entries to a server that has left.
// The library would send it the entry that removes it. If nobody else has that
// entry when the leader dies, a server that may still be needed for a quorum
// votes for none of the others, whose logs are shorter, and does not campaign
// itself, as it is not in its own newest configuration: nobody leads until the
// old leader is back.
func (t *transport) pass(id raft.ServerID, args *raft.AppendEntriesRequest) error {
	if err := t.mute.pass(); err != nil {
		return err
	}
	if len(args.Entries) > 0 && !t.roster.electors.Load().has(id) {
		return errLeft
	}
	return nil
}

// AppendEntries carries heartbeats (and entries outside the pipeline).
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := t.pass(id, args); err != nil {
		return err
	}
	began, at := t.acks.now(), time.Now()
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	if err == nil && resp.Success && resp.Term == args.Term {
		t.acks.note(id, ack{term: args.Term, began: began, at: at, last: resp.LastLog}, isHeartbeat(args))
	}
	return err
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

var errSlow = errors.New("hashiraft: no answer within half an election timeout")

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
