package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// Members implements consensus.Membership.
func (r *Replica) Members() consensus.Members { return r.store.roster.current() }

// ChangeMembers implements consensus.Membership. The library changes one server
// at a time, so a change is a row of steps, each an entry of its own: new
// members come as learners, catch up, and vote, and only then do others go,
// this replica last. (A member whose address a new one takes over goes first:
// the library has no two servers at one address.) A row that ends half-way, for
// the end of ctx or of the lead, is unknown, and leaves the cluster in the
// configuration that its last committed step made.
func (r *Replica) ChangeMembers(ctx context.Context, c consensus.Change) (consensus.Members, error) {
	if err := ctx.Err(); err != nil {
		return consensus.Members{}, fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	if r.closing() {
		return consensus.Members{}, consensus.ErrClosed
	}
	l := r.roles.current.Load()
	if l == nil {
		return consensus.Members{}, r.notLeader()
	}
	if !r.changing.CompareAndSwap(false, true) {
		return consensus.Members{}, fmt.Errorf("%w: another change is under way", consensus.ErrDropped)
	}
	done := make(chan error, 1)
	var members consensus.Members
	r.tasks.Go(func() {
		var err error
		members, err = r.change(ctx, l, c)
		r.changing.Store(false) // before the answer: its reader may ask for the next
		done <- err
	})
	select {
	case err := <-done:
		return members, err
	case <-ctx.Done():
		return consensus.Members{}, fmt.Errorf("%w: %w", consensus.ErrUnknown, ctx.Err())
	case <-r.stop:
		return consensus.Members{}, fmt.Errorf("%w: %w", consensus.ErrUnknown, consensus.ErrClosed)
	}
}

func (r *Replica) change(ctx context.Context, l *leadership, c consensus.Change) (consensus.Members, error) {
	// The newest committed configuration is the applied one from here on, but for
	// changes of our own, which take turns.
	select {
	case <-l.ready:
	case <-l.lost:
		return consensus.Members{}, r.notLeader()
	case <-ctx.Done():
		return consensus.Members{}, fmt.Errorf("%w: %w", consensus.ErrDropped, ctx.Err())
	}
	now := r.Members()
	steps, err := planChange(now, c, r.cfg.Self)
	if err != nil {
		return consensus.Members{}, err
	}
	at := now.Index
	for i, s := range steps {
		err := r.caughtUp(ctx, l, s)
		if err == nil {
			at, err = r.step(ctx, l, s, at)
		}
		if err != nil && i > 0 {
			err = fmt.Errorf("%w: step %d of %d: %v", consensus.ErrUnknown, i+1, len(steps), err)
		}
		if err != nil {
			return consensus.Members{}, err
		}
	}
	return r.Members(), nil
}

// changeStep is one call of the library.
type changeStep struct {
	kind stepKind
	peer consensus.Peer
}

type stepKind uint8

const (
	addLearner stepKind = iota + 1
	addVoter
	remove
)

// planChange decides on the steps, or wraps consensus.ErrRefused.
func planChange(now consensus.Members, c consensus.Change, self consensus.NodeID) ([]changeStep, error) {
	want, err := now.Apply(c)
	if err != nil {
		return nil, err
	}
	members := want.All()
	for i, p := range members {
		if j := slices.IndexFunc(members, func(q consensus.Peer) bool { return q.Addr == p.Addr }); j != i {
			return nil, fmt.Errorf("%w: nodes %d and %d would have one address, %s", consensus.ErrRefused, members[j].ID, p.ID, p.Addr)
		}
	}
	added := slices.Concat(c.AddLearners, c.AddVoters)
	var first, last []changeStep
	for _, p := range now.All() {
		if !slices.Contains(c.Remove, p.ID) {
			continue
		}
		s := changeStep{remove, p}
		switch {
		case slices.ContainsFunc(added, func(q consensus.Peer) bool { return q.Addr == p.Addr }):
			if p.ID == self {
				return nil, fmt.Errorf("%w: another is to take over the leader's address %s; transfer the lead first", consensus.ErrRefused, p.Addr)
			}
			first = append(first, s)
		case p.ID == self:
			last = append(last, s)
		default:
			last = append([]changeStep{s}, last...)
		}
	}
	steps := first
	for _, p := range added {
		if !now.IsMember(p.ID) {
			steps = append(steps, changeStep{addLearner, p})
		}
	}
	for _, p := range c.AddVoters {
		steps = append(steps, changeStep{addVoter, p})
	}
	return append(steps, last...), nil
}

// caughtUp waits, before a learner votes, until it has what we have: until it
// came within one election timeout to where we were at the beginning of that.
func (r *Replica) caughtUp(ctx context.Context, l *leadership, s changeStep) error {
	if s.kind != addVoter {
		return nil
	}
	for {
		begun, target := time.Now(), r.raft.LastIndex()
		for {
			more := r.acks.next()
			if a, ok := r.acks.of(serverID(s.peer.ID), l.term); ok && a.last >= target {
				break
			}
			select {
			case <-more:
			case <-l.lost:
				return r.notLeader()
			case <-ctx.Done():
				return fmt.Errorf("%w: node %d has not caught up: %w", consensus.ErrDropped, s.peer.ID, ctx.Err())
			}
		}
		if time.Since(begun) < r.cfg.Limits.ElectionTimeout() {
			return nil
		}
	}
}

// step takes one, upon the configuration made at prev, and returns its index.
func (r *Replica) step(ctx context.Context, l *leadership, s changeStep, prev uint64) (uint64, error) {
	id, addr, patience := serverID(s.peer.ID), raft.ServerAddress(s.peer.Addr), r.cfg.Limits.ElectionTimeout()
	for {
		var f raft.IndexFuture
		switch s.kind {
		case addLearner:
			f = r.raft.AddNonvoter(id, addr, prev, patience)
		case addVoter:
			f = r.raft.AddVoter(id, addr, prev, patience)
		case remove:
			f = r.raft.RemoveServer(id, prev, patience)
		}
		err := r.committed(f, l)
		switch {
		case err == nil:
			return f.Index(), nil
		case errors.Is(err, raft.ErrEnqueueTimeout) && ctx.Err() == nil && r.roles.current.Load() == l:
			continue // another configuration is not committed yet, or the disk is slow
		}
		return 0, r.stepOutcome(err)
	}
}

// committed waits for a step. The library counts a follower's acknowledgement
// of the entry that makes it a voter only if it comes after the leader itself
// has taken up the configuration, which it does after it has woken the senders;
// an idle cluster then waits for some later entry, so it is given one.
func (r *Replica) committed(f raft.Future, l *leadership) error {
	done := make(chan struct{})
	defer close(done)
	patience := r.cfg.Limits.ElectionTimeout()
	r.tasks.Go(func() {
		again := time.NewTicker(patience)
		defer again.Stop()
		for {
			select {
			case <-done:
				return
			case <-again.C:
				r.raft.Barrier(patience) // nobody waits for it
			}
		}
	})
	return r.futures.waitUntil(f, l.lost)
}

// staleChange begins the text of the library's refusal of a change upon a
// configuration that is not the newest.
const staleChange = "configuration changed since"

// stepOutcome says what the library's answer means for the first step.
func (r *Replica) stepOutcome(err error) error {
	if strings.HasPrefix(err.Error(), staleChange) {
		return fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	return proposeOutcome(err, r.hint())
}
