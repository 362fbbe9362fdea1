package chunkserver

import (
	"context"
	"errors"
	"fmt"
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
	if err := s.checkPush(r.Id, uint64(len(r.Data)), r.Chain); err != nil {
		return nil, err
	}
	if got := api.Checksum(r.Data); got != r.Crc32C {
		return nil, status.Errorf(codes.InvalidArgument, "data arrived with crc32c %08x, not %08x", got, r.Crc32C)
	}
	if !s.buffer.put(keyOf(r.Id), r.Data, r.Crc32C) {
		return nil, status.Error(codes.ResourceExhausted, "the data exceeds the buffer")
	}
	s.stats.pushed.Add(uint64(len(r.Data)))
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
	var t *task
	if r.PadTo != 0 || buffered && crc == r.Crc32C {
		t = s.secondaryTask(c, r, data)
	}
	first, was, err := s.takeTurn(ctx, c, r, t)
	switch {
	case err != nil:
		return s.refuseMutation(r, mutateCode(err), c.version(), err.Error()), nil
	case !first && !was.same(r):
		return s.refuseMutation(r, api.Code_INVALID, c.version(), errContradicts.Error()), nil
	case !first:
		t = was.task // delivered before: the answer waits for the same sync
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

// secondaryTask applies the primary's mutation.
func (s *Server) secondaryTask(c *chunk, r *api.MutateRequest, data []byte) *task {
	payload := len(data)
	if r.PadTo != 0 {
		payload = 0
	}
	if !r.Write {
		data = encodeFrame(r.Handle, r.Version, r.Serial, r.Offset, r.Id, data, r.PadTo)
	}
	end := r.Offset + uint64(len(data))
	return newTask(
		func(b *batch) error {
			if err := c.admit(r.Version, r.Term, kindOf(r)); err != nil {
				return err
			}
			if !r.Write {
				if err := c.reserve(r.Offset, end, r.PadTo != 0); err != nil {
					return err
				}
			}
			return b.write(r.Offset, data, r.PadTo != 0)
		},
		func() { s.mutated(c, r.Version, r.Term, r.Serial, r.Offset, len(data), payload) })
}

func kindOf(r *api.MutateRequest) api.ChunkKind {
	if r.Write {
		return api.ChunkKind_BYTES
	}
	return api.ChunkKind_RECORDS
}

// arrivalOf describes a delivery.
func arrivalOf(r *api.MutateRequest, t *task) arrival {
	return arrival{key: keyOf(r.Id), offset: r.Offset, crc: r.Crc32C, padTo: r.PadTo, write: r.Write, task: t}
}

// same reports whether a repeated delivery says what the first one said, and the
// data was here then.
func (a arrival) same(r *api.MutateRequest) bool {
	return a.task != nil && a == arrivalOf(r, a.task)
}

// checkMutation refuses what no primary sends.
func (s *Server) checkMutation(r *api.MutateRequest, size int) error {
	limit := uint64(s.opts.ChunkBytes)
	switch {
	case r.Serial == 0 || r.Settled >= r.Serial:
		return status.Errorf(codes.InvalidArgument, "serial %d with %d settled", r.Serial, r.Settled)
	case r.Offset > limit || r.Offset == limit && r.PadTo == 0: // the pad of a chunk filled to the byte is empty
		return status.Errorf(codes.InvalidArgument, "offset %d is outside the chunk", r.Offset)
	case r.PadTo != 0 && r.PadTo != limit:
		return status.Errorf(codes.InvalidArgument, "a pad goes to the chunk's end %d, not %d", limit, r.PadTo)
	case r.PadTo != 0 && r.Write:
		return status.Error(codes.InvalidArgument, "a write pads nothing")
	case r.PadTo != 0:
		return nil
	}
	if err := checkDataID(r.Id); err != nil {
		return err
	}
	if !r.Write {
		size = api.FrameSize(r.Id.Client, size)
	}
	if r.Offset+uint64(size) > limit {
		return status.Errorf(codes.InvalidArgument, "the mutation at %d would leave the chunk", r.Offset)
	}
	return nil
}

// takeTurn waits until every lower serial has arrived or was given up. If this
// is the serial's first delivery, it hands t, which may be nil, to the worker in
// the same step, so that no later serial overtakes it, and reports true; else it
// returns what was delivered before.
func (s *Server) takeTurn(ctx context.Context, c *chunk, r *api.MutateRequest, t *task) (first bool, was arrival, err error) {
	patience := time.NewTimer(s.opts.HoleWait)
	defer patience.Stop()
	for {
		c.mu.Lock()
		if err := c.admitLocked(r.Version, r.Term, kindOf(r)); err != nil {
			c.mu.Unlock()
			return false, was, err
		}
		o := &c.order
		o.settle(r.Settled)
		if r.Serial <= o.settled {
			c.mu.Unlock()
			return false, was, fmt.Errorf("%w: serial %d was given up", errStale, r.Serial)
		}
		if was, ok := o.arrived[r.Serial]; ok {
			c.mu.Unlock()
			return false, was, nil
		}
		if o.complete(r.Serial) {
			o.arrive(r.Serial, arrivalOf(r, t))
			if t != nil {
				s.enqueueLocked(c, t)
			}
			c.mu.Unlock()
			return true, was, nil
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
			return false, was, ctx.Err()
		}
	}
}

var errContradicts = errors.New("another mutation was applied with this serial, or it failed here")

func mutateCode(err error) api.Code {
	switch {
	case errors.Is(err, errStale):
		return api.Code_STALE
	case errors.Is(err, errNotHere), errors.Is(err, errRestarted):
		return api.Code_NO_CHUNK
	case errors.Is(err, errCorrupt):
		return api.Code_CORRUPT
	case errors.Is(err, errKind):
		return api.Code_WRONG_KIND
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
