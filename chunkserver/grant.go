package chunkserver

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// PrepareGrant makes (version, term) durable before it answers. The same
// request again is answered the same. From then on mutations of lower versions
// are refused, and a lease of a lower version ends.
func (s *Server) PrepareGrant(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	if r.Handle == 0 || r.Version == 0 || api.ChunkKind_name[int32(r.Kind)] == "" {
		return nil, status.Error(codes.InvalidArgument, "handle and version must not be 0, and the kind must be known")
	}
	if seen := s.termSeen(); r.Term < seen {
		return s.refuseGrant(r, s.chunk(r.Handle), fmt.Sprintf("term %d was seen", seen)), nil
	}
	s.raiseTerm(r.Term)
	c, done := s.chunkOrNew(r.Handle)
	defer done()
	var next slot
	t := newTask(
		func(b *batch) error {
			var err error
			next, err = s.raiseVersion(b, r)
			return err
		},
		func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if next.generation > c.head.generation {
				c.head = next
				s.changed(c.handle)
				s.event(Event{Kind: EventPrepare, Handle: r.Handle, Version: r.Version, Epoch: r.Epoch, Term: r.Term})
			}
		})
	c.mu.Lock()
	s.enqueueLocked(c, t)
	c.mu.Unlock()
	if err := await(ctx, t); err != nil {
		return s.refuseGrant(r, c, err.Error()), nil
	}
	return &api.GrantReply{Ok: true, Version: r.Version, Term: s.termSeen()}, nil
}

// raiseVersion writes the header of the new version; called by the worker.
func (s *Server) raiseVersion(b *batch, r *api.GrantRequest) (slot, error) {
	c := b.c
	c.mu.Lock()
	switch {
	case c.corrupt:
		c.mu.Unlock()
		return slot{}, errCorrupt
	case r.Version < c.accepting || r.Term < c.term:
		c.mu.Unlock()
		return slot{}, errStale
	case b.f == nil && r.Existing:
		c.mu.Unlock()
		return slot{}, fmt.Errorf("%w: the chunk has members, and this is none", errNotHere)
	case b.f != nil && r.Kind != c.head.kind:
		c.mu.Unlock()
		return slot{}, errKind
	case r.Version == c.accepting && b.f != nil:
		// Seen before: an earlier task wrote it, this one's sync covers it.
		c.mu.Unlock()
		return slot{}, nil
	}
	next := slot{handle: c.handle, version: r.Version, term: r.Term, generation: c.generation + 1,
		chunkBytes: s.opts.ChunkBytes, kind: r.Kind, settled: c.settled}
	if c.generation > c.head.generation {
		next.generation++ // overwrite the header that is not synced yet, not the one that is
	}
	c.generation = next.generation
	c.accepting, c.term = r.Version, r.Term
	c.head.kind = r.Kind
	c.order.wake()
	c.order = newSerialOrder()
	s.endLeaseLocked(c, c.lease, "a higher version was prepared")
	c.mu.Unlock()
	if b.f == nil {
		return next, s.createFile(b, next)
	}
	if err := next.write(b.f); err != nil {
		return slot{}, fmt.Errorf("%w: %w", errDead, err)
	}
	return next, nil
}

// ActivateGrant makes this chunkserver primary of the epoch. It may act only
// when the master has confirmed the lease, which it asks for at once.
func (s *Server) ActivateGrant(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	if r.Primary != s.opts.Name || !slices.Contains(r.Replicas, s.opts.Name) || r.Epoch == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "not a grant for %s", s.opts.Name)
	}
	for _, name := range r.Replicas {
		if name != s.opts.Name && r.Addresses[name] == "" {
			return nil, status.Errorf(codes.InvalidArgument, "no address of %s", name)
		}
	}
	c := s.chunk(r.Handle)
	if seen := s.termSeen(); r.Term < seen {
		return s.refuseGrant(r, c, fmt.Sprintf("term %d was seen", seen)), nil
	}
	if c == nil {
		return s.refuseGrant(r, c, errNotHere.Error()), nil
	}
	if err := s.observeTerm(r.Term); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if reason := s.activate(c, r); reason != "" {
		return s.refuseGrant(r, c, reason), nil
	}
	return &api.GrantReply{Ok: true, Version: r.Version, Term: s.termSeen()}, nil
}

// activate installs the lease and starts claiming it; it returns why not.
func (s *Server) activate(c *chunk, r *api.GrantRequest) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch old := c.lease; {
	case c.failed != nil:
		return c.failed.Error()
	case c.corrupt:
		return errCorrupt.Error()
	case c.head.version != r.Version || c.accepting != r.Version:
		return errNotHere.Error()
	case r.Version == c.recovered:
		return "restarted since that version was prepared"
	case r.Epoch <= c.ended:
		return "the epoch has ended"
	case old != nil && old.epoch == r.Epoch && !old.ended:
		return "" // a repeated request
	case old != nil && old.epoch > r.Epoch:
		return "a higher epoch is active"
	default:
		s.endLeaseLocked(c, old, "a higher epoch was activated")
	}
	l := newLease(r, s.opts.Name)
	if old := c.lease; old != nil && old.epoch == r.Epoch {
		l.resume(old)
	}
	c.lease = l
	c.end = max(c.end, c.durable)
	s.event(Event{Kind: EventActivate, Handle: r.Handle, Version: r.Version, Epoch: r.Epoch, Term: r.Term})
	s.background.Go(func() { s.holdLease(c, l) })
	return ""
}

// EndLease stops acting on the epoch, and on earlier ones, before it answers. A
// chunkserver that knows no such lease is not acting either.
func (s *Server) EndLease(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	c := s.chunk(r.Handle)
	if seen := s.termSeen(); r.Term < seen {
		return s.refuseGrant(r, c, fmt.Sprintf("term %d was seen", seen)), nil
	}
	if err := s.observeTerm(r.Term); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	reply := &api.GrantReply{Ok: true, Term: s.termSeen()}
	if c == nil {
		return reply, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = max(c.ended, r.Epoch)
	if c.lease != nil && c.lease.epoch <= r.Epoch {
		s.endLeaseLocked(c, c.lease, "the master ended it")
	}
	reply.Version = c.head.version
	return reply, nil
}

func (s *Server) refuseGrant(r *api.GrantRequest, c *chunk, reason string) *api.GrantReply {
	s.event(Event{Kind: EventRefuse, Handle: r.Handle, Version: r.Version, Epoch: r.Epoch, Term: r.Term, Reason: reason})
	reply := &api.GrantReply{Term: s.termSeen(), Reason: reason}
	if c != nil {
		c.mu.Lock()
		reply.Version = c.head.version
		c.mu.Unlock()
	}
	return reply
}

// await waits for the task; it goes on without the caller if ctx ends first.
func await(ctx context.Context, t *task) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}
