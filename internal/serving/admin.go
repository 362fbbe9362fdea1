package serving

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
)

// Admin is the service for operators over one replica. It implements
// api.AdminServer.
type Admin struct {
	api.UnimplementedAdminServer
	// Replica is asked for everything; what it does not implement is answered
	// UNIMPLEMENTED.
	Replica   consensus.Replica
	Directory *Directory
	// Cluster and Backend are what Describe says they are. Hash, which may be nil,
	// is the state machine's hash.
	Cluster, Backend string
	Hash             func() string
}

var _ api.AdminServer = (*Admin)(nil)

// Describe tells what this replica believes.
func (a *Admin) Describe(ctx context.Context, _ *api.DescribeRequest) (*api.DescribeReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	s := a.Replica.Status()
	reply := &api.DescribeReply{
		Node: uint64(s.ID), Cluster: a.Cluster, Backend: a.Backend, Role: s.Role.String(), Term: s.Term, Leader: uint64(s.Leader),
		Committed: s.Committed, Applied: s.Applied, Snapshot: s.Snapshot, First: s.First, Counters: s.Counters,
	}
	if m, ok := a.Directory.Members(); ok {
		reply.Members = a.members(m)
	}
	if a.Hash != nil {
		reply.StateHash = a.Hash()
	}
	return reply, nil
}

func (a *Admin) members(m consensus.Members) *api.MembersReply {
	d := a.Directory
	return &api.MembersReply{
		Index: m.Index, MaxId: uint64(m.MaxID),
		Voters: d.describe(m.Voters), Learners: d.describe(m.Learners), Outgoing: d.describe(m.Outgoing),
	}
}

// ChangeMembers makes one change of the configuration.
func (a *Admin) ChangeMembers(ctx context.Context, r *api.ChangeMembersRequest) (*api.MembersReply, error) {
	membership, ok := a.Replica.(consensus.Membership)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this replica's membership cannot change")
	}
	change := consensus.Change{AddVoters: peers(r.AddVoters), AddLearners: peers(r.AddLearners)}
	for _, id := range r.Remove {
		change.Remove = append(change.Remove, consensus.NodeID(id))
	}
	m, err := membership.ChangeMembers(ctx, change)
	if err != nil {
		return nil, a.Directory.ProposeError(err)
	}
	return a.members(m), nil
}

func peers(members []*api.Member) []consensus.Peer {
	var out []consensus.Peer
	for _, m := range members {
		out = append(out, consensus.Peer{ID: consensus.NodeID(m.GetId()), Addr: m.GetAddress()})
	}
	return out
}

// Transfer hands the lead over.
func (a *Admin) Transfer(ctx context.Context, r *api.TransferRequest) (*api.TransferReply, error) {
	t, ok := a.Replica.(consensus.Transferrer)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this replica cannot hand over its lead")
	}
	if err := t.Transfer(ctx, consensus.NodeID(r.To)); err != nil {
		return nil, a.Directory.ProposeError(err)
	}
	return &api.TransferReply{Leader: uint64(a.Replica.Status().Leader)}, nil
}

// Snapshot writes a snapshot and compacts the log.
func (a *Admin) Snapshot(ctx context.Context, _ *api.SnapshotRequest) (*api.SnapshotReply, error) {
	s, ok := a.Replica.(consensus.Snapshotter)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this replica writes no snapshots")
	}
	info, err := s.SnapshotNow(ctx)
	if err != nil {
		return nil, a.Directory.ReadError(err)
	}
	return &api.SnapshotReply{Index: info.Index, Term: info.Term, Bytes: info.Bytes}, nil
}
