package hashiraft

import (
	"context"
	"fmt"
	"sync"
	"time"

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
	r.readers.Add(1)
	if r.cfg.Limits.ReadMode == consensus.ReadStale {
		return r.fsm.applied.load(), nil
	}
	l := r.roles.current.Load()
	if l == nil {
		return 0, r.notLeader()
	}
	if r.cfg.Limits.ReadMode == consensus.ReadLease && r.leased(l) {
		r.leaseReads.Add(1)
		index, err := r.commandsUpTo(r.raft.CommitIndex())
		if err != nil {
			return 0, err
		}
		return r.reached(ctx, index)
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
	return r.reached(ctx, round.index)
}

// ReadStale implements consensus.StaleReader.
func (r *Replica) ReadStale(ctx context.Context, atLeast uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if r.closing() {
		return 0, consensus.ErrClosed
	}
	r.staleReads.Add(1)
	return r.reached(ctx, atLeast)
}

// reached waits until the state machine has applied index, and returns how far
// it is.
func (r *Replica) reached(ctx context.Context, index uint64) (uint64, error) {
	if reached := r.fsm.applied.await(index); reached != nil {
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

// leased reports whether the promises of a quorum to the leader of l stand, at
// some moment after the call. A promise lasts for one HeartbeatTimeout of the
// follower's clock from its acknowledgement on, and is counted here from the
// moment the heartbeat was sent. We are one of the quorum ourselves: we have
// voted for nobody as long as l is current, which the caller has found.
func (r *Replica) leased(l *leadership) bool {
	select {
	case <-l.ready:
	default:
		return false
	}
	now := time.Now()
	since, ok := r.acks.leased(l.term, r.store.roster.electors.Load(), now)
	return ok && now.Sub(since) < r.lease && !l.disrupted.Load()
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
			if r.cfg.Limits.ReadMode == consensus.ReadLog {
				round.err = r.readLog()
			} else {
				round.index, round.err = r.confirm()
			}
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
//
//   - w was acknowledged under a leader of a term above T: impossible. That
//     leader had the votes of a quorum before it committed w, that is, before the
//     call. One node of that quorum is in ours; after its vote it refuses
//     requests of term T, and ours began later.
//
//   - w was acknowledged by us in term T: the library raises its commit index
//     before it hands an entry to the state machine, so c covers w.
//
//   - w was acknowledged in a term below T: w was committed before our election
//     or, found in our log, below our barrier: c covers the barrier.
//
//   - The configuration changes meanwhile: the quorum is one of our newest. Who
//     leads a term above T first was elected by a quorum of that one, or of one
//     next to it, and such quorums have a node in common. (One further away would
//     need a change in between to be committed in T, by nodes that vote above T
//     only for one who knows it.)
//
// The caller then waits until the state machine has applied the last command
// at or below c.
func (r *Replica) confirm() (uint64, error) {
	l := r.roles.current.Load()
	if l == nil {
		return 0, r.notLeader()
	}
	select {
	case <-l.ready:
	case <-l.lost:
		return 0, r.notLeader()
	}
	committed := r.raft.CommitIndex()
	asked := r.acks.now()
	r.rounds.Add(1)
	if err := r.futures.waitUntil(r.raft.VerifyLeader(), l.lost); err != nil {
		return 0, r.readFailed(err)
	}
	// The library may have counted answers to older heartbeats, and those of
	// learners. A heartbeat to each follower begins after the call in any case:
	// at once, or after the one that is under way.
	for {
		more := r.acks.next()
		e := r.store.roster.electors.Load()
		if r.acks.since(l.term, asked, e) >= e.others() {
			break
		}
		select {
		case <-more:
		case <-l.lost:
			return 0, r.notLeader()
		}
	}
	return r.commandsUpTo(committed)
}

// readLog commits an empty entry, whose application here means that of all
// commands before it. Whoever had a command acknowledged before the call finds
// it below the entry.
func (r *Replica) readLog() error {
	l := r.roles.current.Load()
	if l == nil {
		return r.notLeader()
	}
	r.rounds.Add(1)
	if _, err := r.barrier(l); err != nil {
		return r.readFailed(err)
	}
	return nil
}

// readFailed says what the library's answer means for a read.
func (r *Replica) readFailed(err error) error {
	if r.closing() {
		return consensus.ErrClosed
	}
	if r.roles.current.Load() == nil {
		return r.notLeader()
	}
	return readOutcome(err, r.hint())
}

// commandsUpTo returns the index that the state machine must reach to have all
// that is committed up to the given one: no-ops and barriers never reach it.
func (r *Replica) commandsUpTo(committed uint64) (uint64, error) {
	index, err := r.store.lastCommand(r.fsm.applied.load(), committed)
	if err != nil {
		return 0, fmt.Errorf("hashiraft: read: %w", err)
	}
	return index, nil
}
