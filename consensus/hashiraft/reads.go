package hashiraft

import (
	"context"
	"fmt"
	"sync"

	"gfslab/consensus"
)

// readRound is one confirmation of leadership, shared by all readers who asked
// before it began.
type readRound struct {
	done  chan struct{}
	index uint64 // wait until this is applied
	err   error
}

// readRounds collects readers for the round that begins next.
type readRounds struct {
	mu   sync.Mutex
	next *readRound
	wake chan struct{} // room for one
}

func (r *readRounds) join() *readRound {
	r.mu.Lock()
	if r.next == nil {
		r.next = &readRound{done: make(chan struct{})}
	}
	round := r.next
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return round
}

func (r *readRounds) take() *readRound {
	r.mu.Lock()
	defer r.mu.Unlock()
	round := r.next
	r.next = nil
	return round
}

// ReadBarrier implements consensus.Replica.
func (r *Replica) ReadBarrier(ctx context.Context) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if r.closing() {
		return 0, consensus.ErrClosed
	}
	if r.roles.current.Load() == nil {
		return 0, r.notLeader()
	}
	round := r.reads.join()
	select {
	case <-round.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-r.stop:
		return 0, consensus.ErrClosed
	}
	if round.err != nil {
		return 0, round.err
	}
	if reached := r.fsm.applied.await(round.index); reached != nil {
		select {
		case <-reached:
		case <-ctx.Done():
			r.fsm.applied.forget(reached)
			return 0, ctx.Err()
		case <-r.stop:
			r.fsm.applied.forget(reached)
			return 0, consensus.ErrClosed
		}
	}
	return r.fsm.applied.load(), nil
}

// confirmReads runs one round after the other.
func (r *Replica) confirmReads() {
	for {
		select {
		case <-r.stop:
			return
		case <-r.reads.wake:
		}
		if round := r.reads.take(); round != nil {
			round.index, round.err = r.confirm()
			close(round.done)
		}
	}
}

// confirm returns an index such that every write whose Propose returned before
// confirm was called lies at or below it. The argument, for a write w:
//
//   - Let T be our term, and let the barrier of T be committed (ready). We take
//     the commit index c after that and after the call, and then find that a
//     quorum answered, in term T, requests that began after the call.
//   - w was acknowledged under a leader of a term above T: impossible. That
//     leader had the votes of a quorum before it committed w, that is, before the
//     call. One node of that quorum is in ours; after its vote it refuses
//     requests of term T, and ours began later.
//   - w was acknowledged by us in term T: the library raises its commit index
//     before it hands an entry to the state machine, so c covers w.
//   - w was acknowledged in a term below T: w was committed before our election
//     or, found in our log, below our barrier: c covers the barrier.
//
// The caller then waits until the state machine has applied the last command
// at or below c: no-ops, barriers and configurations never reach it.
func (r *Replica) confirm() (uint64, error) {
	l := r.roles.current.Load()
	if l == nil {
		return 0, r.notLeader()
	}
	select {
	case <-l.ready:
	case <-l.lost:
		return 0, r.notLeader()
	case <-r.stop:
		return 0, consensus.ErrClosed
	}
	committed := r.raft.CommitIndex()
	asked := r.acks.now()
	for {
		r.rounds.Add(1)
		if err := r.futures.wait(r.raft.VerifyLeader()); err != nil {
			return 0, readOutcome(err, r.hint())
		}
		// The library may have counted answers to older heartbeats. Each follower
		// has at most one of those under way, so this ends soon.
		if r.acks.since(l.term, asked) >= r.quorum-1 {
			break
		}
		if r.roles.current.Load() != l {
			return 0, r.notLeader()
		}
	}
	index, err := r.store.lastCommand(r.fsm.applied.load(), committed)
	if err != nil {
		return 0, fmt.Errorf("hashiraft: read: %w", err)
	}
	return index, nil
}
