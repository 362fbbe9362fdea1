package hashiraft

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// promise is what lease reads rest on: a follower that has acknowledged a
// heartbeat gives no vote, to itself neither, for the span after it.
//
// The library nearly does that: it refuses votes while it knows a leader, and
// forgets the leader after a HeartbeatTimeout without contact. But
//
//   - after a restart it knows none. So a promise stands for one span after Open;
//   - it handles heartbeats beside its main goroutine, which may have found the
//     contact too old, and campaign or vote, while the heartbeat is acknowledged.
//     So an acknowledgement that a vote came in between is made an error, and no
//     request for votes leaves before the promise has ended;
//   - at a leader's request (TimeoutNow) a follower campaigns at once, and all
//     vote. The leader knows, and reads without a lease from then on. But the
//     request bears no term, and one held up on its way would break promises to
//     a later leader. So it is stamped with the term, and what it allows is one
//     campaign, for the next term.
type promise struct {
	span time.Duration
	// term is the durable term here.
	term func() uint64
	// lead is the term of the leadership that was asked to be handed over.
	lead func() uint64

	mu    sync.Mutex
	until time.Time
	// voting is the number of requests for a vote in the library's hands, votes
	// the number of all that were, our own included.
	voting int
	votes  uint64
	// mayTake is the term that we may campaign for, at the leader's request.
	mayTake uint64
}

var errPromised = errors.New("hashiraft: the vote is promised to the present leader")

// heartbeats wraps the library's handler of heartbeats.
func (p *promise) heartbeats(handle func(raft.RPC)) func(raft.RPC) {
	return func(rpc raft.RPC) {
		p.mu.Lock()
		before := p.votes
		p.mu.Unlock()
		answer := make(chan raft.RPCResponse, 1)
		handle(raft.RPC{Command: rpc.Command, Reader: rpc.Reader, RespChan: answer})
		select {
		case a := <-answer:
			if resp, ok := a.Response.(*raft.AppendEntriesResponse); ok && a.Error == nil && resp.Success && !p.give(before) {
				a.Error = errPromised
			}
			rpc.RespChan <- a
		default: // the library ignores heartbeats after its end
		}
	}
}

// give makes the promise, unless a vote came after before.
func (p *promise) give(before uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.voting > 0 || p.votes != before {
		return false
	}
	p.until = time.Now().Add(p.span)
	return true
}

// start makes the promise that may have been made before a restart.
func (p *promise) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until = time.Now().Add(p.span)
}

// mayCampaign says whether a request for votes may leave.
func (p *promise) mayCampaign(args *raft.RequestVoteRequest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if args.LeadershipTransfer {
		if args.Term != p.mayTake {
			return false
		}
	} else if time.Now().Before(p.until) {
		return false
	}
	p.votes++
	return true
}

// stampMark stands between a node's id and the term.
const stampMark = "@"

// handOver stamps a request to take over.
func (p *promise) handOver(args *raft.TimeoutNowRequest) *raft.TimeoutNowRequest {
	stamped := *args
	stamped.ID = append(append([]byte(nil), args.ID...), stampMark+strconv.FormatUint(p.lead(), 10)...)
	return &stamped
}

// takeOver says whether such a request is of the present leader.
func (p *promise) takeOver(args *raft.TimeoutNowRequest) bool {
	_, stamp, _ := strings.Cut(string(args.ID), stampMark)
	term, err := strconv.ParseUint(stamp, 10, 64)
	if err != nil || term != p.term() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mayTake = term + 1
	return true
}

// admit lets a request for a vote through, or not. While the library has it,
// no promise is made.
func (p *promise) admit(args *raft.RequestVoteRequest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !args.LeadershipTransfer && time.Now().Before(p.until) {
		return false
	}
	p.voting++
	p.votes++
	return true
}

// voted follows admit once the library has answered.
func (p *promise) voted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voting--
}
