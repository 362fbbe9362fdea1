package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/status"

	"gfslab/api"
)

// Change changes the members and returns the new ones once they are in effect.
// When an answer is lost it looks before it asks again, so that a change that was
// made is not refused as made already.
func (a *Admin) Change(ctx context.Context, r *api.ChangeMembersRequest) (*api.MembersReply, error) {
	done := func(n Node) (*api.MembersReply, bool) { return n.GetMembers(), satisfied(n.GetMembers(), r) }
	return ask(ctx, a, done, func(ctx context.Context, c api.AdminClient) (*api.MembersReply, error) {
		return c.ChangeMembers(ctx, r)
	})
}

// satisfied reports whether m is what r asks for.
func satisfied(m *api.MembersReply, r *api.ChangeMembersRequest) bool {
	if m == nil || len(m.Outgoing) > 0 {
		return false
	}
	for _, v := range r.AddVoters {
		if !has(m.Voters, v.Id) {
			return false
		}
	}
	for _, l := range r.AddLearners {
		if !has(m.Learners, l.Id) {
			return false
		}
	}
	return !slices.ContainsFunc(r.Remove, func(id uint64) bool { return has(members(m), id) })
}

func has(list []*api.Member, id uint64) bool {
	return slices.ContainsFunc(list, func(m *api.Member) bool { return m.Id == id })
}

// Add adds the replica as a learner, waits until it has caught up with what the
// leader had committed when it began, and, unless it shall stay a learner, makes
// it a voter.
func (a *Admin) Add(ctx context.Context, m *api.Member, learner bool, progress func(string)) (*api.MembersReply, error) {
	got, err := a.Change(ctx, &api.ChangeMembersRequest{AddLearners: []*api.Member{m}})
	if err != nil {
		return nil, fmt.Errorf("add %d as a learner: %w", m.Id, err)
	}
	progress(fmt.Sprintf("node %d learns (configuration %d)", m.Id, got.Index))
	if err := a.CatchUp(ctx, m, progress); err != nil {
		return nil, err
	}
	if learner {
		return got, nil
	}
	got, err = a.Change(ctx, &api.ChangeMembersRequest{AddVoters: []*api.Member{m}})
	if err != nil {
		return nil, fmt.Errorf("make %d a voter: %w", m.Id, err)
	}
	progress(fmt.Sprintf("node %d votes (configuration %d)", m.Id, got.Index))
	return got, nil
}

// CatchUp waits until the replica has applied what is committed now.
func (a *Admin) CatchUp(ctx context.Context, m *api.Member, progress func(string)) error {
	leader, err := a.Leader(ctx)
	if err != nil {
		return err
	}
	target, told := leader.Committed, time.Time{}
	for {
		var at uint64
		state := "does not answer"
		for _, n := range a.Describe(ctx) {
			if n.GetNode() == m.Id {
				at, state = n.Applied, fmt.Sprintf("has applied %d of %d", n.Applied, target)
			}
		}
		if at >= target {
			progress(fmt.Sprintf("node %d has caught up with index %d", m.Id, target))
			return nil
		}
		if time.Since(told) > time.Second {
			told = time.Now()
			progress(fmt.Sprintf("node %d %s", m.Id, state))
		}
		if !a.wait(ctx) {
			return fmt.Errorf("node %d %s: %w (it stays a learner; is it started with --join?)", m.Id, state, ctx.Err())
		}
	}
}

// Remove removes a replica, and tells when it can be stopped. A leader hands its
// lead over first.
func (a *Admin) Remove(ctx context.Context, id uint64, progress func(string)) (*api.MembersReply, error) {
	leader, err := a.Leader(ctx)
	if err != nil {
		return nil, err
	}
	if m := leader.GetMembers(); leader.Node == id && len(m.GetVoters()) > 1 {
		progress(fmt.Sprintf("node %d leads and hands the lead over", id))
		if to, err := a.Transfer(ctx, 0); err != nil {
			progress(fmt.Sprintf("the transfer failed (%v); it is removed as the leader", err))
		} else {
			progress(fmt.Sprintf("node %d leads", to))
		}
	}
	got, err := a.Change(ctx, &api.ChangeMembersRequest{Remove: []uint64{id}})
	if err != nil {
		return nil, fmt.Errorf("remove %d: %w", id, err)
	}
	progress(fmt.Sprintf("node %d is no member any more (configuration %d)", id, got.Index))
	if err := a.settled(ctx, got); err != nil {
		progress(fmt.Sprintf("do not stop node %d yet: %v", id, err))
		return got, nil
	}
	progress(fmt.Sprintf("node %d can be stopped", id))
	return got, nil
}

// settled waits until a majority of the voters has applied the configuration m. A
// leader that removed itself may be alone in knowing that the change is committed,
// and nobody could lead without it before the others know, too.
func (a *Admin) settled(ctx context.Context, m *api.MembersReply) error {
	for {
		knowing := 0
		for _, n := range a.Describe(ctx) {
			if has(m.Voters, n.GetNode()) && n.GetMembers().GetIndex() >= m.Index {
				knowing++
			}
		}
		if 2*knowing > len(m.Voters) {
			return nil
		}
		if !a.wait(ctx) {
			return fmt.Errorf("only %d of %d voters have applied configuration %d: %w", knowing, len(m.Voters), m.Index, ctx.Err())
		}
	}
}

// Replace adds a replica and then removes another.
func (a *Admin) Replace(ctx context.Context, old uint64, m *api.Member, progress func(string)) (*api.MembersReply, error) {
	leader, err := a.Leader(ctx)
	if err != nil {
		return nil, err
	}
	if current := leader.GetMembers(); current != nil && !has(members(current), old) {
		return nil, fmt.Errorf("%w: node %d is not a member", ErrRefused, old)
	}
	if _, err := a.Add(ctx, m, false, progress); err != nil {
		return nil, err
	}
	return a.Remove(ctx, old, progress)
}

// Transfer hands the lead to the voter to, 0 for the best one, and returns who
// leads then.
func (a *Admin) Transfer(ctx context.Context, to uint64) (leader uint64, err error) {
	before, err := a.Leader(ctx)
	if err != nil {
		return 0, err
	}
	if to == before.Node {
		return to, nil
	}
	done := func(n Node) (*api.TransferReply, bool) {
		return &api.TransferReply{Leader: n.Node}, n.Node == to || to == 0 && n.Node != before.Node
	}
	reply, err := ask(ctx, a, done, func(ctx context.Context, c api.AdminClient) (*api.TransferReply, error) {
		return c.Transfer(ctx, &api.TransferRequest{To: to})
	})
	if err != nil {
		return 0, err
	}
	return reply.Leader, nil
}

// Snapshot makes one replica, or the leader for node 0, write a snapshot now.
func (a *Admin) Snapshot(ctx context.Context, node uint64) (at uint64, reply *api.SnapshotReply, err error) {
	var addr string
	for _, n := range a.Describe(ctx) {
		if n.Err == nil && (n.Node == node || node == 0 && n.Role == "leader") {
			at, addr = n.Node, n.Address
		}
	}
	if addr == "" {
		return 0, nil, errors.New("that replica does not answer")
	}
	cc, err := a.conns.Get(addr)
	if err != nil {
		return at, nil, err
	}
	reply, err = api.NewAdminClient(cc).Snapshot(ctx, &api.SnapshotRequest{})
	if err != nil {
		return at, nil, errors.New(status.Convert(err).Message())
	}
	return at, reply, nil
}
