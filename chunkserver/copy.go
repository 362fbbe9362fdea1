package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// CopyChunk copies the replica to a new handle on this disk, for a copy on
// write; the frames of a chunk of records become frames of the new one. One that is there already at that version was made before.
func (s *Server) CopyChunk(ctx context.Context, r *api.CopyChunkRequest) (*api.CloneReply, error) {
	if r.From == 0 || r.To == 0 || r.From == r.To || r.Version == 0 {
		return nil, status.Error(codes.InvalidArgument, "two handles and a version must be given")
	}
	if _, reply, err := s.admitCopy(r.To, r.Version, 0, r.Term); reply != nil || err != nil {
		return reply, err
	}
	return s.build(ctx, r.To, r.Version, func() *api.CloneReply { return s.copyChunk(ctx, r) })
}

func (s *Server) copyChunk(ctx context.Context, r *api.CopyChunkRequest) *api.CloneReply {
	if c := s.chunk(r.To); c != nil {
		if there := c.report(); there != nil && there.Version == r.Version && !there.Corrupt {
			return cloneReply(nil, there.Length)
		}
	}
	from := s.chunk(r.From)
	if from == nil {
		return cloneReply(errNotHere, 0)
	}
	from.mu.Lock()
	version, kind, full, end := from.head.version, from.head.kind, from.full, from.durable
	leased := from.lease != nil && from.lease.live(s.opts.Now())
	from.mu.Unlock()
	switch {
	case version == 0:
		return cloneReply(errNotHere, 0)
	case version < r.Version: // a higher one was prepared for a grant that came to nothing
		return cloneReply(fmt.Errorf("%w: version %d is here", errStale, version), 0)
	case leased:
		return cloneReply(errLeased, 0)
	}
	data, err := s.wholeChunk(ctx, from, end)
	if err != nil {
		return cloneReply(err, 0)
	}
	defer func() { <-s.copying }()
	if kind == api.ChunkKind_RECORDS {
		api.RehomeFrames(data, r.From, r.To)
	}
	b, err := s.newBuilder(r.To, r.Version, r.Term, kind)
	if err != nil {
		return cloneReply(err, 0)
	}
	for at := 0; at < len(data) && err == nil; at += clonePiece {
		err = b.add(data[at:min(at+clonePiece, len(data))])
	}
	if err == nil {
		err = b.finish(ctx, full)
	}
	if err == nil {
		err = b.takePlace(ctx)
	}
	if err != nil {
		if derr := b.discard(); derr != nil {
			s.log.Warn("removing half a copy", "chunkserver", s.opts.Name, "handle", r.To, "err", derr)
		}
		return cloneReply(err, 0)
	}
	s.stats.cloned.Add(1)
	s.stats.clonedBytes.Add(b.length())
	s.event(Event{Kind: EventCopy, Handle: r.To, Version: r.Version, Term: r.Term, Length: b.length(), Source: strconv.FormatUint(r.From, 10)})
	return cloneReply(nil, b.length())
}

// maxCopies bounds the copies made at once, each of which holds a chunk in memory.
const maxCopies = 2

// wholeChunk reads the replica up to end, verified. After success the caller
// returns its place in s.copying.
func (s *Server) wholeChunk(ctx context.Context, c *chunk, end uint64) (data []byte, err error) {
	select {
	case s.copying <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		if err != nil {
			<-s.copying
		}
	}()
	v := &view{s: s, c: c, ctx: ctx}
	data = make([]byte, 0, end)
	for uint64(len(data)) < end {
		piece, err := v.read(uint64(len(data)), min(clonePiece, end-uint64(len(data))))
		if err != nil {
			return nil, err
		}
		if len(piece) == 0 {
			return nil, errCorrupt // it cannot have become shorter
		}
		data = append(data, piece...)
	}
	return data, nil
}

// cloneReply maps how a clone or copy went.
func cloneReply(err error, bytes uint64) *api.CloneReply {
	if err == nil {
		return &api.CloneReply{Bytes: bytes}
	}
	reply := &api.CloneReply{Code: api.Code_INVALID, Reason: err.Error()}
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		reply.Code = refused.code
	case errors.Is(err, errCorrupt):
		reply.Code = api.Code_CORRUPT
	case errors.Is(err, errStale):
		reply.Code = api.Code_STALE
	case errors.Is(err, errLeased):
		reply.Code = api.Code_LEASE_HELD
	case errors.Is(err, errNotHere), errors.Is(err, errGone):
		reply.Code = api.Code_NOT_FOUND
	}
	return reply
}

// ChecksumChunk sums all durable bytes of the replica, each block verified.
func (s *Server) ChecksumChunk(ctx context.Context, r *api.ChecksumRequest) (*api.ChecksumReply, error) {
	reply, err := s.checksum(ctx, r)
	if reply != nil {
		reply.ChunkBytes = uint64(s.opts.ChunkBytes)
	}
	return reply, err
}

func (s *Server) checksum(ctx context.Context, r *api.ChecksumRequest) (*api.ChecksumReply, error) {
	c := s.chunk(r.Handle)
	if c == nil {
		return &api.ChecksumReply{Code: api.Code_NOT_FOUND}, nil
	}
	c.mu.Lock()
	version, end := c.head.version, c.durable
	c.mu.Unlock()
	switch {
	case version == 0:
		return &api.ChecksumReply{Code: api.Code_NOT_FOUND}, nil
	case version < r.Version:
		return &api.ChecksumReply{Code: api.Code_STALE}, nil
	}
	v := &view{s: s, c: c, ctx: ctx}
	reply := &api.ChecksumReply{}
	for reply.End < end {
		data, err := v.read(reply.End, min(maxReadBytes, end-reply.End))
		switch {
		case errors.Is(err, errCorrupt):
			return &api.ChecksumReply{Code: api.Code_CORRUPT}, nil
		case ctx.Err() != nil:
			return nil, status.FromContextError(ctx.Err()).Err()
		case err != nil || len(data) == 0:
			return nil, status.Errorf(codes.Unavailable, "checksum of a chunk: %v", err)
		}
		reply.Crc32C = api.ExtendChecksum(reply.Crc32C, data)
		reply.End += uint64(len(data))
	}
	return reply, nil
}
