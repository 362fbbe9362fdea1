package chunkserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// maxChain bounds how many chunkservers pushed data may be forwarded to.
const maxChain = 16

// PushData keeps the bytes for a coming mutation and forwards them along the
// chain. It answers when every chunkserver of the chain has them.
func (s *Server) PushData(ctx context.Context, r *api.PushRequest) (*api.PushReply, error) {
	if err := checkDataID(r.Id); err != nil {
		return nil, err
	}
	if size := api.FrameSize(r.Id.Client, len(r.Data)); int64(size) > s.opts.ChunkBytes/4 {
		return nil, status.Errorf(codes.InvalidArgument, "a record takes %d bytes, a quarter of a chunk is %d", size, s.opts.ChunkBytes/4)
	}
	if len(r.Chain) > maxChain {
		return nil, status.Errorf(codes.InvalidArgument, "a chain has at most %d chunkservers", maxChain)
	}
	if got := api.Checksum(r.Data); got != r.Crc32C {
		return nil, status.Errorf(codes.InvalidArgument, "data arrived with crc32c %08x, not %08x", got, r.Crc32C)
	}
	if !s.buffer.put(keyOf(r.Id), r.Data, r.Crc32C) {
		return nil, status.Error(codes.ResourceExhausted, "the data exceeds the buffer")
	}
	if len(r.Chain) == 0 {
		return &api.PushReply{}, nil
	}
	conn, err := s.peers.get(r.Chain[0])
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	next := &api.PushRequest{Id: r.Id, Data: r.Data, Crc32C: r.Crc32C, Chain: r.Chain[1:]}
	return api.NewChunkserverClient(conn).PushData(ctx, next)
}

// Mutate applies the primary's mutation in serial order and answers when it is
// durable. STALE: a lower version or term than the replica's, or a serial that
// was given up. NO_CHUNK: the replica is not at that version. NOT_FOUND: the
// data is not in the buffer. INVALID: contradicts what is here.
func (s *Server) Mutate(ctx context.Context, r *api.MutateRequest) (*api.MutateReply, error) {
	c := s.chunk(r.Handle)
	if c == nil {
		return s.refuseMutation(r, api.Code_NO_CHUNK, 0, errNotHere.Error()), nil
	}
	data, crc, buffered := s.buffer.get(keyOf(r.Id))
	if err := s.checkMutation(r, len(data)); err != nil {
		return nil, err
	}
	frame := encodeFrame(r.Handle, r.Version, r.Serial, r.Offset, r.Id, data, r.PadTo)

	var t *task
	if r.PadTo != 0 || buffered && crc == r.Crc32C {
		t = newTask(
			func() error {
				if err := c.admit(r.Version, r.Term); err != nil {
					return err
				}
				if err := c.reserve(r.Offset, r.Offset+uint64(len(frame)), r.PadTo != 0); err != nil {
					return err
				}
				return c.writeAt(frame, r.Offset)
			},
			func() { s.mutated(c, r.Version, r.Term, r.Serial, r.Offset, uint64(len(frame))) })
	}
	first, err := s.takeTurn(ctx, c, r, t)
	switch {
	case err != nil:
		return s.refuseMutation(r, mutateCode(err), c.version(), err.Error()), nil
	case !first:
		// Delivered before: true only if the very same bytes are here. The task
		// waits for the sync that covers them.
		t = newTask(func() error { return c.verify(r) }, func() {})
		c.mu.Lock()
		s.enqueueLocked(c, t)
		c.mu.Unlock()
	case t == nil:
		return s.refuseMutation(r, api.Code_NOT_FOUND, c.version(), "the data is not in the buffer"), nil
	}
	if err := await(ctx, t); err != nil {
		return s.refuseMutation(r, mutateCode(err), c.version(), err.Error()), nil
	}
	if r.PadTo == 0 {
		s.buffer.drop(keyOf(r.Id))
	}
	return &api.MutateReply{Version: r.Version}, nil
}

// checkMutation refuses what no primary sends.
func (s *Server) checkMutation(r *api.MutateRequest, size int) error {
	limit := uint64(s.opts.ChunkBytes)
	switch {
	case r.Serial == 0 || r.Settled >= r.Serial:
		return status.Errorf(codes.InvalidArgument, "serial %d with %d settled", r.Serial, r.Settled)
	case r.Offset >= limit:
		return status.Errorf(codes.InvalidArgument, "offset %d is outside the chunk", r.Offset)
	case r.PadTo != 0 && r.PadTo != limit:
		return status.Errorf(codes.InvalidArgument, "a pad goes to the chunk's end %d, not %d", limit, r.PadTo)
	case r.PadTo != 0:
		return nil
	}
	if err := checkDataID(r.Id); err != nil {
		return err
	}
	if r.Offset+uint64(api.FrameSize(r.Id.Client, size)) > limit {
		return status.Errorf(codes.InvalidArgument, "the record at %d would leave the chunk", r.Offset)
	}
	return nil
}

// takeTurn waits until every lower serial has arrived or was given up. If this
// is the serial's first delivery, it hands t, which may be nil, to the worker in
// the same step, so that no later serial overtakes it, and reports true.
func (s *Server) takeTurn(ctx context.Context, c *chunk, r *api.MutateRequest, t *task) (first bool, err error) {
	patience := time.NewTimer(s.opts.HoleWait)
	defer patience.Stop()
	for {
		c.mu.Lock()
		switch {
		case c.failed != nil:
			c.mu.Unlock()
			return false, c.failed
		case r.Version < c.accepting || r.Term < c.term:
			c.mu.Unlock()
			return false, errStale
		case r.Version > c.accepting:
			c.mu.Unlock()
			return false, errNotHere
		}
		o := &c.order
		o.settle(r.Settled)
		if r.Serial <= o.settled {
			c.mu.Unlock()
			return false, fmt.Errorf("%w: serial %d was given up", errStale, r.Serial)
		}
		if o.arrived[r.Serial] {
			c.mu.Unlock()
			return false, nil
		}
		if o.complete(r.Serial) {
			o.arrive(r.Serial)
			if t != nil {
				s.enqueueLocked(c, t)
			}
			c.mu.Unlock()
			return true, nil
		}
		changed := o.wait()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-patience.C:
			// The missing ones are refused from now on, so order still holds.
			c.mu.Lock()
			if c.accepting == r.Version {
				c.order.settle(r.Serial - 1)
			}
			c.mu.Unlock()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// verify checks that a mutation which was delivered again is here as it says.
func (c *chunk) verify(r *api.MutateRequest) error {
	if err := c.admit(r.Version, r.Term); err != nil {
		return err
	}
	c.mu.Lock()
	f := c.file
	c.mu.Unlock()
	if r.PadTo != 0 {
		want := encodeFrame(r.Handle, r.Version, r.Serial, r.Offset, nil, nil, r.PadTo)
		got := make([]byte, len(want))
		if _, err := f.ReadAt(got, dataStart+int64(r.Offset)); err != nil || !bytes.Equal(got, want) {
			return errContradicts
		}
		return nil
	}
	head := make([]byte, api.FrameSize(r.Id.GetClient(), 0))
	if _, err := f.ReadAt(head, dataStart+int64(r.Offset)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errDead, err)
	}
	got, _, err := api.ParseFrameHeader(head)
	if err != nil || got.Client != r.Id.GetClient() || got.Seq != r.Id.GetSeq() || got.Serial != r.Serial ||
		got.Version != r.Version || got.Offset != r.Offset || got.CRC != r.Crc32C {
		return errContradicts
	}
	return nil
}

var errContradicts = errors.New("another mutation was applied with this serial, or it failed here")

func mutateCode(err error) api.Code {
	switch {
	case errors.Is(err, errStale):
		return api.Code_STALE
	case errors.Is(err, errNotHere):
		return api.Code_NO_CHUNK
	}
	return api.Code_INVALID
}

func (s *Server) refuseMutation(r *api.MutateRequest, code api.Code, version uint64, reason string) *api.MutateReply {
	s.event(Event{Kind: EventRefuse, Handle: r.Handle, Version: r.Version, Term: r.Term, Serial: r.Serial, Offset: r.Offset, Reason: reason})
	return &api.MutateReply{Code: code, Version: version, Reason: reason}
}

func (c *chunk) version() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head.version
}
