package master

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
	"gfslab/master/pathlock"
)

// Create makes a file.
func (m *Master) Create(ctx context.Context, r *api.PathRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Create{Create: &metapb.PathOp{Path: r.Path}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// Mkdir makes a directory.
func (m *Master) Mkdir(ctx context.Context, r *api.PathRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: r.Path}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// Delete hides a file or a directory, or removes now what is hidden.
func (m *Master) Delete(ctx context.Context, r *api.DeleteRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: r.Path, Recursive: r.Recursive, Id: r.Id}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// Undelete brings back what is hidden.
func (m *Master) Undelete(ctx context.Context, r *api.UndeleteRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Undelete{Undelete: &metapb.UndeleteOp{Path: r.Path, Id: r.Id}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// Rename moves a file or a directory with all below it.
func (m *Master) Rename(ctx context.Context, r *api.RenameRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Rename{Rename: &metapb.RenameOp{From: r.From, To: r.To, Replace: r.Replace}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.From), pathlock.Write(r.To))
}

// SetAttributes sets and clears attributes of a file or directory.
func (m *Master) SetAttributes(ctx context.Context, r *api.SetAttributesRequest) (*api.MutationReply, error) {
	set := r.GetSet()
	if set == nil {
		set = new(api.Attributes)
	}
	op := &metapb.Command_SetAttributes{SetAttributes: &metapb.SetAttributesOp{
		Path: r.Path, RetentionNs: set.RetentionNs, Replicas: set.Replicas, MaxFiles: set.MaxFiles, MaxChunks: set.MaxChunks, Clear: r.Clear,
	}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// AllocateChunk adds a chunk at the end of a file.
func (m *Master) AllocateChunk(ctx context.Context, r *api.AllocateRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{
		Path: r.Path, ChunkIndex: r.ChunkIndex, Kind: int32(r.Kind), Strict: m.o.Strict,
	}}
	return m.mutate(ctx, r.Session, &metapb.Command{Op: op}, pathlock.Write(r.Path))
}

// Seal fixes the length of a chunk that its primary has padded.
func (m *Master) Seal(ctx context.Context, r *api.SealRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Seal{Seal: &metapb.SealOp{Handle: r.Handle, Version: r.Version, Epoch: r.Epoch, Length: r.Length}}
	return m.mutate(ctx, nil, &metapb.Command{Op: op})
}

// mutate proposes a client's command, with the paths locked. A malformed one is
// answered INVALID at index 0 without going through the log: it is INVALID in
// every state.
func (m *Master) mutate(ctx context.Context, session *api.Session, cmd *metapb.Command, locks ...pathlock.Lock) (*api.MutationReply, error) {
	if !m.identify(cmd, session) {
		return m.malformed(), nil
	}
	if len(locks) > 0 {
		held, err := m.lock(ctx, locks...)
		if err != nil {
			return nil, err
		}
		defer held.Release()
	}
	return m.commit(ctx, cmd)
}

// identify puts the session into the command and reports whether that is
// well-formed now.
func (m *Master) identify(cmd *metapb.Command, session *api.Session) bool {
	cmd.Client, cmd.Seq = session.GetClient(), session.GetSeq()
	return meta.WellFormed(cmd)
}

func (m *Master) malformed() *api.MutationReply {
	return &api.MutationReply{Code: api.Code_INVALID, At: &api.Position{Term: m.term()}}
}

// commit proposes a command and answers with the reply that it left in the log.
func (m *Master) commit(ctx context.Context, cmd *metapb.Command) (*api.MutationReply, error) {
	reply, err := m.propose(ctx, cmd)
	if err != nil {
		return nil, m.o.Directory.ProposeError(err)
	}
	return &api.MutationReply{
		Code:   api.Code(reply.Code),
		At:     &api.Position{Index: reply.Index, Offset: reply.Offset, Term: m.term(), Members: m.o.Directory.Index()},
		Handle: reply.Handle, Version: reply.Version, Replayed: reply.Replayed, Id: reply.Id,
	}, nil
}

// Status tells what this replica believes.
func (m *Master) Status(ctx context.Context, _ *api.StatusRequest) (*api.StatusReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if m.closing.Err() != nil {
		return nil, status.Error(codes.Unavailable, "the master is closed")
	}
	st := m.replica.Status()
	return &api.StatusReply{
		Node: uint64(st.ID), Role: st.Role.String(), Term: st.Term, Leader: uint64(st.Leader),
		Committed: st.Committed, Applied: st.Applied, StateHash: m.machine.Hash(),
	}, nil
}
