package harness

import (
	"context"
	"fmt"
	"time"

	"gfslab/api"
	"gfslab/client/admin"
	"gfslab/client/call"
	"gfslab/results/rundir"
)

// replaceTimeout bounds one replacement, faults included.
const replaceTimeout = 30 * time.Second

// replaceAll replaces masters as the plan says, the oldest first, as an operator
// does: through the admin service, from outside. began is the start of the
// measured window on the run's clock.
func (r *run) replaceAll(ctx context.Context, began int64) ([]rundir.Replacement, error) {
	var done []rundir.Replacement
	if r.plan.Replace == 0 {
		return nil, nil
	}
	conns := call.NewConns(call.Dialer(r.cell.Dialer("operator")), 0)
	defer conns.Close()
	for i := range r.plan.Replace {
		due := began + int64(r.plan.ReplaceAt) + int64(i)*int64(r.plan.ReplaceEvery)
		if err := wait(ctx, time.Duration(due-r.now())); err != nil {
			return done, err
		}
		step, cancel := context.WithTimeout(ctx, replaceTimeout)
		x, err := r.replaceOne(step, conns, r.cell.Masters()[0])
		cancel()
		done = append(done, x)
		if err != nil {
			return done, fmt.Errorf("replace %s by %s: %w", x.Old, x.New, err)
		}
	}
	return done, nil
}

// replaceOne starts a new master, makes it a member, and removes and stops the
// old one.
func (r *run) replaceOne(ctx context.Context, conns *call.Conns, old string) (x rundir.Replacement, err error) {
	x = rundir.Replacement{Old: old, Began: r.now()}
	if leader, _, ok := r.cell.Leader(); ok {
		x.OldLed = leader == old
	}
	var endpoints []string
	for _, addr := range r.cell.MasterAddresses() {
		endpoints = append(endpoints, addr)
	}
	operator, err := admin.New(conns, endpoints)
	if err != nil {
		return x, err
	}
	// Nodes are started and stopped one at a time: not while a fault is on.
	if err := r.hold(ctx); err != nil {
		return x, err
	}
	name, peer, err := r.cell.Join(ctx)
	r.release()
	if err != nil {
		return x, err
	}
	x.New, x.Started = name, r.now()
	quiet := func(string) {}
	m := &api.Member{Id: uint64(peer.ID), Address: peer.Addr}
	if _, err := operator.Change(ctx, &api.ChangeMembersRequest{AddLearners: []*api.Member{m}}); err != nil {
		return x, fmt.Errorf("add the learner: %w", err)
	}
	if err := operator.CatchUp(ctx, m, quiet); err != nil {
		return x, err
	}
	x.CaughtUp = r.now()
	if _, err := operator.Change(ctx, &api.ChangeMembersRequest{AddVoters: []*api.Member{m}}); err != nil {
		return x, fmt.Errorf("make it a voter: %w", err)
	}
	x.Votes = r.now()
	if leader, _, ok := r.cell.Leader(); ok && leader == old {
		x.Transfers++
	}
	if _, err := operator.Remove(ctx, r.cell.ID(old), quiet); err != nil {
		return x, err
	}
	x.Removed = r.now()
	if err := r.hold(ctx); err != nil {
		return x, err
	}
	defer r.release()
	err = r.cell.Leave(old)
	x.Stopped = r.now()
	return x, err
}

// hold waits until no fault is on and no node is being started or stopped, and
// keeps it so until release.
func (r *run) hold(ctx context.Context) error {
	select {
	case r.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) release() { <-r.busy }
