package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"gfslab/consensus"
)

// Members implements consensus.Membership.
func (r *Replica) Members() consensus.Members {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members
}

// ask runs start on the loop, which either fails or leaves an answer to come,
// and waits for it. The answer has room for one.
func ask[T any](ctx context.Context, r *Replica, answer chan T, start func(), drop func(error)) (t T, err error) {
	if err := ctx.Err(); err != nil {
		return t, err
	}
	if !r.inbox.later(start, drop) {
		return t, consensus.ErrClosed
	}
	select {
	case t = <-answer:
		return t, nil
	case <-ctx.Done():
		return t, ctx.Err()
	}
}

// ChangeMembers implements consensus.Membership.
func (r *Replica) ChangeMembers(ctx context.Context, c consensus.Change) (consensus.Members, error) {
	answer := make(chan ChangeEnd, 1)
	end, err := ask(ctx, r, answer, func() {
		switch err := r.sched.ProposeChange(c); {
		case err == nil:
			r.changing = answer
		case errors.Is(err, ErrNotLeader):
			answer <- ChangeEnd{Err: r.notLeader()}
		case errors.Is(err, ErrBusy):
			answer <- ChangeEnd{Err: fmt.Errorf("%w: a change is under way, or the protocol is not ready for one", consensus.ErrDropped)}
		default:
			answer <- ChangeEnd{Err: err}
		}
	}, func(reason error) { answer <- ChangeEnd{Err: r.silent(reason)} })
	switch {
	case err == nil:
		return end.Members, end.Err
	case errors.Is(err, consensus.ErrClosed):
		return end.Members, err
	}
	return end.Members, fmt.Errorf("%w: %w", consensus.ErrUnknown, err)
}

// Transfer implements consensus.Transferrer.
func (r *Replica) Transfer(ctx context.Context, to consensus.NodeID) error {
	answer := make(chan TransferEnd, 1)
	end, err := ask(ctx, r, answer, func() {
		switch err := r.sched.Transfer(to); {
		case err == nil:
			r.transferring = answer
		case errors.Is(err, ErrNotLeader):
			answer <- TransferEnd{Err: r.notLeader()}
		case errors.Is(err, ErrBusy):
			answer <- TransferEnd{Err: fmt.Errorf("%w: a transfer is under way", consensus.ErrDropped)}
		default:
			answer <- TransferEnd{Err: err}
		}
	}, func(reason error) { answer <- TransferEnd{Err: r.silent(reason)} })
	return errors.Join(err, end.Err)
}

// silent is what is said of a request for the leader that came too late: a
// replica that has stopped speaking leads nobody.
func (r *Replica) silent(reason error) error {
	if errors.Is(reason, consensus.ErrClosed) {
		return reason
	}
	return r.notLeader()
}

type snapshotWaiter struct {
	ticket uint64
	answer chan SnapshotEnd
}

// SnapshotNow implements consensus.Snapshotter.
func (r *Replica) SnapshotNow(ctx context.Context) (consensus.SnapshotInfo, error) {
	answer := make(chan SnapshotEnd, 1)
	end, err := ask(ctx, r, answer, func() {
		r.snapshotting = append(r.snapshotting, snapshotWaiter{r.sched.RequestSnapshot(), answer})
	}, func(reason error) { answer <- SnapshotEnd{Err: reason} })
	return end.Info, errors.Join(err, end.Err)
}

// answer hands the effects' answers to those who wait.
func (r *Replica) answer() {
	for _, e := range r.fx.Snapshots {
		r.snapshotting = slices.DeleteFunc(r.snapshotting, func(w snapshotWaiter) bool {
			if w.ticket > e.Ticket {
				return false
			}
			w.answer <- e
			return true
		})
	}
	if e := r.fx.Changed; e != nil && r.changing != nil {
		r.changing <- *e
		r.changing = nil
	}
	if e := r.fx.Transferred; e != nil && r.transferring != nil {
		r.transferring <- *e
		r.transferring = nil
	}
}

// dismiss ends those who wait for an answer that will not come.
func (r *Replica) dismiss(reason error) {
	for _, w := range r.snapshotting {
		w.answer <- SnapshotEnd{Err: reason}
	}
	r.snapshotting = nil
	if r.changing != nil {
		r.changing <- ChangeEnd{Err: fmt.Errorf("%w: %w", consensus.ErrUnknown, reason)}
		r.changing = nil
	}
	if r.transferring != nil {
		r.transferring <- TransferEnd{Err: reason}
		r.transferring = nil
	}
	r.stale.end(reason)
}

// staleReaders wait for the state machine to reach an index.
type staleReaders struct {
	mu      sync.Mutex
	waiting map[*staleReader]struct{}
	ended   error
}

type staleReader struct {
	at    uint64
	ready chan error // room for one
}

// ReadStale implements consensus.StaleReader.
func (r *Replica) ReadStale(ctx context.Context, atLeast uint64) (uint64, error) {
	if r.isClosing() {
		return 0, consensus.ErrClosed
	}
	if at := r.applier.applied.Load(); at >= atLeast {
		r.staleReads.Add(1)
		return at, nil
	}
	w := &staleReader{at: atLeast, ready: make(chan error, 1)}
	if err := r.stale.add(w); err != nil {
		return 0, err
	}
	defer r.stale.remove(w)
	// Who applied it meanwhile may not have seen w.
	if at := r.applier.applied.Load(); at >= atLeast {
		r.staleReads.Add(1)
		return at, nil
	}
	select {
	case err := <-w.ready:
		if err != nil {
			return 0, err
		}
		r.staleReads.Add(1)
		return r.applier.applied.Load(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *staleReaders) add(w *staleReader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		if s.waiting == nil {
			s.waiting = map[*staleReader]struct{}{}
		}
		s.waiting[w] = struct{}{}
	}
	return s.ended
}

func (s *staleReaders) remove(w *staleReader) {
	s.mu.Lock()
	delete(s.waiting, w)
	s.mu.Unlock()
}

// applied lets those go whose index was reached.
func (s *staleReaders) applied(index uint64) {
	s.mu.Lock()
	for w := range s.waiting {
		if w.at <= index {
			w.ready <- nil
			delete(s.waiting, w)
		}
	}
	s.mu.Unlock()
}

func (s *staleReaders) end(reason error) {
	s.mu.Lock()
	s.ended = reason
	for w := range s.waiting {
		w.ready <- reason
	}
	clear(s.waiting)
	s.mu.Unlock()
}
