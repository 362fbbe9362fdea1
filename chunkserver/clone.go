package chunkserver

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// clonePiece is what one read of a source asks for.
const clonePiece = maxReadBytes

// maxSources bounds the sources of one clone.
const maxSources = 16

// buildRun is a replica being made: who asks for the same one waits for it.
type buildRun struct {
	version uint64
	done    chan struct{}
	reply   *api.CloneReply
}

// Clone fetches a whole replica of the version from one of the sources;
// if one fails, the next one carries on where it stopped: replicas agree on all
// that was ever acknowledged. It answers when the replica is durable, verified
// and in its place. What was here before stays until then; if its version is above
// the one asked for but void for ever, as the leader says, the new one keeps it.
func (s *Server) Clone(ctx context.Context, r *api.CloneRequest) (*api.CloneReply, error) {
	switch {
	case r.Handle == 0 || r.Version == 0 || api.ChunkKind_name[int32(r.Kind)] == "":
		return nil, status.Error(codes.InvalidArgument, "handle and version must not be 0, and the kind must be known")
	case len(r.Sources) == 0 || len(r.Sources) > maxSources:
		return nil, status.Errorf(codes.InvalidArgument, "a clone has 1 to %d sources", maxSources)
	}
	keeps, reply, err := s.admitCopy(r.Handle, r.Version, r.VoidVersion, r.Term)
	if reply != nil || err != nil {
		return reply, err
	}
	return s.build(ctx, r.Handle, r.Version, func() *api.CloneReply { return s.clone(ctx, r, keeps) })
}

// build runs the making of a replica unless one is under way: then it waits for
// that, if it is of the same version.
func (s *Server) build(ctx context.Context, handle, version uint64, make func() *api.CloneReply) (*api.CloneReply, error) {
	run, mine := s.beginBuild(handle, version)
	switch {
	case mine:
		run.reply = make()
		s.mu.Lock()
		delete(s.builds, handle)
		s.mu.Unlock()
		close(run.done)
		return run.reply, nil
	case run.version != version:
		return &api.CloneReply{Code: api.Code_STALE, Reason: fmt.Sprintf("version %d is being made", run.version)}, nil
	}
	select {
	case <-run.done:
		return run.reply, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func (s *Server) beginBuild(handle, version uint64) (run *buildRun, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if run := s.builds[handle]; run != nil {
		return run, false
	}
	run = &buildRun{version: version, done: make(chan struct{})}
	s.builds[handle] = run
	return run, true
}

// admitCopy refuses orders of old leaders and copies of old versions; those up to
// void count as none. keeps is the version that the copy is to have: that of the
// replica here if it is higher. The term is durable when it returns no reply.
func (s *Server) admitCopy(handle, version, void, term uint64) (keeps uint64, _ *api.CloneReply, _ error) {
	if seen := s.termSeen(); term < seen {
		return 0, &api.CloneReply{Code: api.Code_STALE, Reason: fmt.Sprintf("term %d was seen", seen)}, nil
	}
	if err := s.observeTerm(term); err != nil {
		return 0, nil, status.Error(codes.Internal, err.Error())
	}
	keeps = version
	if c := s.chunk(handle); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.accepting > max(version, void) {
			return 0, &api.CloneReply{Code: api.Code_STALE, Reason: fmt.Sprintf("version %d is here", c.accepting)}, nil
		}
		keeps = max(version, c.accepting)
	}
	return keeps, nil, nil
}

// clone fetches and installs; the reply's code and reason say how it went.
func (s *Server) clone(ctx context.Context, r *api.CloneRequest, keeps uint64) *api.CloneReply {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.ctx, stop)()
	b, err := s.newBuilder(r.Handle, keeps, r.Term, r.Kind)
	if err != nil {
		return cloneReply(err, 0)
	}
	source, err := s.fetch(ctx, b, r)
	if err == nil {
		err = b.takePlace(ctx)
	}
	if err != nil {
		if derr := b.discard(); derr != nil {
			s.log.Warn("removing half a clone", "chunkserver", s.opts.Name, "handle", r.Handle, "err", derr)
		}
		return cloneReply(err, 0)
	}
	s.stats.cloned.Add(1)
	s.stats.clonedBytes.Add(b.length())
	s.event(Event{Kind: EventClone, Handle: r.Handle, Version: r.Version, Term: r.Term, Length: b.length(), Source: source})
	return cloneReply(nil, b.length())
}

// fetch reads the replica piece by piece and makes it durable; it returns the
// source that gave the last piece.
func (s *Server) fetch(ctx context.Context, b *builder, r *api.CloneRequest) (string, error) {
	limit := rate.NewLimiter(rate.Inf, 0)
	if r.BytesPerSecond > 0 {
		limit = rate.NewLimiter(rate.Limit(r.BytesPerSecond), clonePiece)
	}
	var last error
	for _, source := range r.Sources {
		full, err := s.fetchFrom(ctx, b, r, source, limit)
		switch {
		case err == nil:
			return source, b.finish(ctx, full)
		case ctx.Err() != nil || errors.Is(err, errDead):
			return "", err
		}
		last = errors.Join(last, fmt.Errorf("%s: %w", source, err))
	}
	return "", last
}

// fetchFrom reads from one source until its end.
func (s *Server) fetchFrom(ctx context.Context, b *builder, r *api.CloneRequest, source string, limit *rate.Limiter) (full bool, err error) {
	conn, err := s.peers.get(source)
	if err != nil {
		return false, err
	}
	from := api.NewChunkserverClient(conn)
	for end := b.length() + 1; b.length() < end; {
		reply, err := s.readPiece(ctx, from, &api.ReadChunkRequest{Handle: r.Handle, Version: r.Version, Offset: b.length(), Length: clonePiece})
		switch {
		case err != nil:
			return false, err
		case reply.Code != api.Code_OK:
			return false, &refusedError{reply.Code, "read"}
		case reply.Version < r.Version || reply.Kind != r.Kind:
			// One that is higher was prepared for a grant that came to nothing: else
			// the master that asks is deposed, and the clone becomes no member.
			return false, &refusedError{api.Code_STALE, fmt.Sprintf("it has version %d, kind %v", reply.Version, reply.Kind)}
		case api.Checksum(reply.Data) != reply.Crc32C:
			return false, &refusedError{api.Code_CORRUPT, "the bytes changed on the way"}
		case reply.End > uint64(s.opts.ChunkBytes) || b.length()+uint64(len(reply.Data)) > reply.End ||
			len(reply.Data) == 0 && b.length() < reply.End:
			return false, &refusedError{api.Code_INVALID, "the answer contradicts itself"}
		}
		end, full = reply.End, reply.Full
		if err := b.add(reply.Data); err != nil {
			return false, fmt.Errorf("%w: %w", errDead, err)
		}
		if err := limit.WaitN(ctx, min(len(reply.Data), clonePiece)); err != nil {
			return false, err
		}
	}
	return full, nil
}

// readPiece is one read of a source, bounded so that a silent one is left for
// the next.
func (s *Server) readPiece(ctx context.Context, from api.ChunkserverClient, r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.MutateTimeout)
	defer cancel()
	return from.ReadChunk(ctx, r)
}
