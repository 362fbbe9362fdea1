package master

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// Create makes a file.
func (m *Master) Create(ctx context.Context, r *api.PathRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Create{Create: &metapb.PathOp{Path: r.Path}}
	return m.mutate(ctx, r.Session, meta.ValidPath(r.Path), &metapb.Command{Op: op})
}

// Mkdir makes a directory.
func (m *Master) Mkdir(ctx context.Context, r *api.PathRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: r.Path}}
	return m.mutate(ctx, r.Session, meta.ValidPath(r.Path), &metapb.Command{Op: op})
}

// Delete removes a file or an empty directory.
func (m *Master) Delete(ctx context.Context, r *api.DeleteRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: r.Path, Recursive: r.Recursive, Id: r.Id}}
	return m.mutate(ctx, r.Session, meta.ValidPath(r.Path) && r.Path != "/", &metapb.Command{Op: op})
}

// Rename moves a file or a directory with all below it.
func (m *Master) Rename(ctx context.Context, r *api.RenameRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Rename{Rename: &metapb.RenameOp{From: r.From, To: r.To}}
	return m.mutate(ctx, r.Session, meta.ValidRename(r.From, r.To), &metapb.Command{Op: op})
}

// AllocateChunk adds a chunk at the end of a file.
func (m *Master) AllocateChunk(ctx context.Context, r *api.AllocateRequest) (*api.MutationReply, error) {
	op := &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: r.Path, ChunkIndex: r.ChunkIndex}}
	return m.mutate(ctx, r.Session, meta.ValidPath(r.Path), &metapb.Command{Op: op})
}

// mutate proposes a client's command. A malformed one is answered INVALID at
// index 0 without going through the log: it is INVALID in every state.
func (m *Master) mutate(ctx context.Context, session *api.Session, valid bool, cmd *metapb.Command) (*api.MutationReply, error) {
	cmd.Client, cmd.Seq = session.GetClient(), session.GetSeq()
	if !valid || (cmd.Client != "" && cmd.Seq == 0) {
		return &api.MutationReply{Code: api.Code_INVALID, At: &api.Position{Term: m.term()}}, nil
	}
	reply, err := m.propose(ctx, cmd)
	if err != nil {
		return nil, m.o.Directory.ProposeError(err)
	}
	return &api.MutationReply{
		Code:   api.Code(reply.Code),
		At:     &api.Position{Index: reply.Index, Offset: reply.Offset, Term: m.term(), Members: m.o.Directory.Index()},
		Handle: reply.Handle, Version: reply.Version, Replayed: reply.Replayed,
	}, nil
}

// Stat describes a file or directory.
func (m *Master) Stat(ctx context.Context, r *api.ReadRequest) (*api.StatReply, error) {
	term, err := m.barrier(ctx)
	if err != nil {
		return nil, err
	}
	reply := new(api.StatReply)
	m.machine.view(func(s *meta.State) {
		info, code := s.Stat(r.Path)
		reply.Code, reply.At = api.Code(code), m.place(seenBy(s), term)
		reply.Id, reply.Directory, reply.Chunks = info.ID, info.Directory, info.Chunks
	})
	return reply, nil
}

// List names what is in a directory.
func (m *Master) List(ctx context.Context, r *api.ListRequest) (*api.ListReply, error) {
	term, err := m.barrier(ctx)
	if err != nil {
		return nil, err
	}
	reply := new(api.ListReply)
	m.machine.view(func(s *meta.State) {
		names, code := s.List(r.Path)
		reply.Code, reply.At, reply.Names = api.Code(code), m.place(seenBy(s), term), names
	})
	return reply, nil
}

// FindLocation looks a chunk up by path and index.
func (m *Master) FindLocation(ctx context.Context, r *api.LocationRequest) (*api.ChunkReply, error) {
	return m.readChunk(ctx, func(s *meta.State) (meta.Chunk, meta.Code) { return s.ChunkAt(r.Path, r.ChunkIndex) })
}

// ChunkInfo looks a chunk up by handle.
func (m *Master) ChunkInfo(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	return m.readChunk(ctx, func(s *meta.State) (meta.Chunk, meta.Code) { return s.Chunk(r.Handle) })
}

func (m *Master) readChunk(ctx context.Context, look func(*meta.State) (meta.Chunk, meta.Code)) (*api.ChunkReply, error) {
	term, err := m.barrier(ctx)
	if err != nil {
		return nil, err
	}
	var c meta.Chunk
	var code meta.Code
	var at seen
	m.machine.view(func(s *meta.State) {
		c, code = look(s)
		at = seenBy(s)
	})
	return m.chunkReply(c, code, m.place(at, term)), nil
}

// chunkReply describes a chunk to a client.
func (m *Master) chunkReply(c meta.Chunk, code meta.Code, at *api.Position) *api.ChunkReply {
	reply := &api.ChunkReply{Code: api.Code(code), At: at, Handle: c.Handle}
	if code != meta.OK {
		return reply
	}
	reply.Version, reply.Epoch, reply.Primary, reply.Replicas = c.Version, c.Epoch, c.Primary, c.Members
	reply.Addresses = m.servers.addresses(c.Members)
	return reply
}

// barrier makes the local state fit for a linearizable lookup and returns the
// term for the reply.
func (m *Master) barrier(ctx context.Context) (term uint64, err error) {
	if _, err := m.replica.ReadBarrier(ctx); err != nil {
		return 0, m.o.Directory.ReadError(err)
	}
	return m.term(), nil
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
