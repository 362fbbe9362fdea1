package hashiraft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// Transfer implements consensus.Transferrer. While it runs, commands wait: the
// library would refuse them.
func (r *Replica) Transfer(ctx context.Context, to consensus.NodeID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.closing() {
		return consensus.ErrClosed
	}
	l := r.roles.current.Load()
	if l == nil {
		return r.notLeader()
	}
	target, err := r.successor(l, to)
	if err != nil {
		return err
	}
	if !r.transferring.CompareAndSwap(false, true) {
		return fmt.Errorf("%w: another transfer is under way", consensus.ErrDropped)
	}
	// From here on followers may break their promises to us.
	r.handOver.Store(l.term)
	l.disrupted.Store(true)
	done := make(chan error, 1)
	r.tasks.Go(func() {
		err := r.handOverTo(l, target)
		if err != nil {
			// The library goes on refusing commands for a moment.
			_, _ = r.barrier(l) // or the lead is lost
		}
		r.transferring.Store(false)
		r.poke()
		done <- err
	})
	select {
	case err = <-done:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.stop:
		return consensus.ErrClosed
	}
	if err == nil {
		return r.followed(ctx)
	}
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return r.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	return fmt.Errorf("hashiraft: transfer to node %s: %w", target, err)
}

// attempts is how often the library is asked. A follower that is told to take
// over handles heartbeats beside that, and one that comes at the wrong moment
// makes it a follower again.
const attempts = 3

// handOverTo returns nil once the lead is lost, or the replica closes.
func (r *Replica) handOverTo(l *leadership, target raft.ServerID) error {
	for n := 1; ; n++ {
		err := r.futures.wait(r.raft.LeadershipTransferToServer(target, r.address(target)))
		if r.roles.current.Load() != l {
			return nil // to whom, is still to be seen
		}
		if err == nil || n == attempts || errors.Is(err, raft.ErrNotLeader) {
			return err
		}
		// Asking again helps only with one that is there.
		a, ok := r.acks.of(target, l.term)
		if !ok || time.Since(a.at) > r.cfg.Limits.ElectionTimeout()/2 {
			return err
		}
		pause := time.NewTimer(r.cfg.Limits.Tick) // the library is not quite done with the attempt before
		select {
		case <-pause.C:
		case <-l.lost:
		case <-r.stop:
		}
		pause.Stop()
		if r.closing() || r.roles.current.Load() != l {
			return nil
		}
	}
}

// successor is the voter that is meant, or for 0 the best one. The library's
// own choice may fall on one that is down.
func (r *Replica) successor(l *leadership, to consensus.NodeID) (raft.ServerID, error) {
	e := r.store.roster.electors.Load()
	if to == 0 {
		lately := time.Now().Add(-r.cfg.Limits.ElectionTimeout())
		if best := r.acks.responsive(r.cfg.Self, l.term, e, lately); best != "" {
			return best, nil
		}
		return "", fmt.Errorf("%w: no other voter answers", consensus.ErrRefused)
	}
	if to == r.cfg.Self {
		return "", fmt.Errorf("%w: node %d leads already", consensus.ErrRefused, to)
	}
	if id := serverID(to); slices.Contains(e.voters, id) {
		return id, nil
	}
	return "", fmt.Errorf("%w: node %d is not a voter", consensus.ErrRefused, to)
}

func (r *Replica) address(id raft.ServerID) raft.ServerAddress {
	return r.store.roster.electors.Load().addresses[id]
}

// followed waits until another leader is known. A lost lead alone is no
// transfer: the one who was asked may have failed to win it.
func (r *Replica) followed(ctx context.Context) error {
	limit := time.NewTimer(4 * r.cfg.Limits.ElectionTimeout())
	defer limit.Stop()
	for {
		leader, moved := r.roles.known()
		if leader != 0 && leader != r.cfg.Self {
			return nil
		}
		select {
		case <-moved:
		case <-limit.C:
			return errors.New("hashiraft: transfer: no other leader is known after four election timeouts")
		case <-ctx.Done():
			return ctx.Err()
		case <-r.stop:
			return consensus.ErrClosed
		}
	}
}
