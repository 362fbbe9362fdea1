package chunkserver

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// mutation is one place in the primary's order.
type mutation struct {
	lease   *lease
	serial  uint64
	offset  uint64
	settled uint64
	id      *api.DataId
	data    []byte
	crc     uint32
	padTo   uint64 // a pad if not 0
	write   bool   // to the offset as it is, not in a frame
	local   *task
}

// proposal is what a client asks the primary for.
type proposal struct {
	id              *api.DataId
	handle, version uint64
	kind            api.ChunkKind
	offset          uint64 // BYTES only
}

// RecordAppend writes the pushed data at an offset of the primary's choice on
// every replica. It answers CHUNK_FULL after it padded the chunk, STALE or
// FAILED_PRECONDITION when this is not the primary of that version, NOT_FOUND
// when the data is not in the buffer, WRONG_KIND if the chunk holds no records:
// nothing was done then. ABORTED means that some replica may have the record and
// some not: the region is inconsistent.
func (s *Server) RecordAppend(ctx context.Context, r *api.AppendRequest) (*api.AppendReply, error) {
	return s.propose(ctx, proposal{id: r.Id, handle: r.Handle, version: r.Version, kind: api.ChunkKind_RECORDS})
}

// Write writes the pushed data at the offset on every replica, in the same order
// as all other mutations of the chunk; from the chunk's end to an offset beyond
// it there will be zeros. It answers as RecordAppend does, CHUNK_FULL excepted.
// A request again gets the first one's answer and writes nothing.
func (s *Server) Write(ctx context.Context, r *api.WriteRequest) (*api.AppendReply, error) {
	return s.propose(ctx, proposal{id: r.Id, handle: r.Handle, version: r.Version, kind: api.ChunkKind_BYTES, offset: r.Offset})
}

func (s *Server) propose(ctx context.Context, r proposal) (*api.AppendReply, error) {
	if err := checkDataID(r.id); err != nil {
		return nil, err
	}
	c := s.chunk(r.handle)
	if c == nil {
		return &api.AppendReply{Code: api.Code_NO_CHUNK}, nil
	}
	key := keyOf(r.id)
	for {
		if reply, err := s.awaitLease(ctx, c, r); reply != nil || err != nil {
			return reply, err
		}
		c.mu.Lock()
		a, done, mine := c.acked.begin(key)
		c.mu.Unlock()
		if mine {
			return s.mutateOnce(ctx, c, r, key, a)
		}
		if done != nil {
			select {
			case <-done:
			case <-ctx.Done():
				return nil, status.FromContextError(ctx.Err()).Err()
			}
		}
		if a.ok {
			return &api.AppendReply{Offset: a.offset, Version: a.version, Serial: a.serial}, nil
		}
	}
}

// awaitLease waits for the first claim of a fresh grant. A reply or an error
// means that this chunkserver is not primary of the version.
func (s *Server) awaitLease(ctx context.Context, c *chunk, r proposal) (*api.AppendReply, error) {
	c.mu.Lock()
	l, have, kind, failed := c.lease, c.head.version, c.head.kind, c.failed
	var over bool
	if l != nil {
		over = l.ended
	}
	c.mu.Unlock()
	switch {
	case failed != nil:
		return nil, status.Error(codes.Internal, failed.Error())
	case have == 0:
		return &api.AppendReply{Code: api.Code_NO_CHUNK}, nil
	case r.version != have:
		return &api.AppendReply{Code: api.Code_STALE, Version: have}, nil
	case r.kind != kind:
		return &api.AppendReply{Code: api.Code_WRONG_KIND, Version: have}, nil
	case l == nil || over || l.version != r.version:
		return nil, errNotPrimary
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.MutateTimeout)
	defer cancel()
	select {
	case <-l.claimed:
		return nil, nil
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return nil, errNotPrimary
}

// mutateOnce runs the one attempt with this key.
func (s *Server) mutateOnce(ctx context.Context, c *chunk, r proposal, key dataKey, a *attempt) (*api.AppendReply, error) {
	m, reply, err := s.order(c, r, key)
	if m == nil {
		c.mu.Lock()
		c.acked.fail(key, a)
		c.mu.Unlock()
		if reply.GetCode() == api.Code_CHUNK_FULL {
			return s.sealFirst(ctx, c, reply)
		}
		return reply, err
	}
	err = s.replicate(c, m)

	c.mu.Lock()
	l := m.lease
	l.finish(m.serial)
	now := s.opts.Now()
	if err == nil && (c.lease != l || !l.live(now)) {
		// The lease may be another's by now: the acknowledgement point decides.
		err = fmt.Errorf("the lease ended before the acknowledgement")
	}
	if m.padTo != 0 {
		l.pad.ok = err == nil
		close(l.pad.done)
	}
	if err != nil {
		c.acked.fail(key, a)
		c.mu.Unlock()
		return nil, status.Errorf(codes.Aborted, "region at offset %d is inconsistent: %v", m.offset, err)
	}
	s.event(Event{At: now, Kind: EventAccept, Handle: c.handle, Version: l.version, Epoch: l.epoch, Term: l.term,
		Serial: m.serial, Offset: m.offset, Until: l.until})
	if m.padTo != 0 {
		c.acked.fail(key, a)
		c.mu.Unlock()
		return s.sealFirst(ctx, c, &api.AppendReply{Code: api.Code_CHUNK_FULL, Version: l.version})
	}
	c.acked.succeed(key, a, m, s.age(now))
	s.acked.add(c)
	c.mu.Unlock()
	s.stats.acknowledged.Add(1)
	s.stats.syncWait.Add(int64(m.local.waited))
	s.buffer.drop(key)
	return &api.AppendReply{Offset: m.offset, Version: l.version, Serial: m.serial}, nil
}

// order gives the mutation its place: serial, offset, and its turn in the local
// queue, all under one lock. Without a mutation, the reply or error is final.
func (s *Server) order(c *chunk, r proposal, key dataKey) (*mutation, *api.AppendReply, error) {
	data, crc, ok := s.buffer.get(key)
	if !ok {
		return nil, &api.AppendReply{Code: api.Code_NOT_FOUND}, nil
	}
	limit := uint64(s.opts.ChunkBytes)
	size := uint64(len(data))
	if r.kind == api.ChunkKind_RECORDS {
		size = uint64(api.FrameSize(key.client, len(data)))
		if size > limit/4 {
			return nil, nil, status.Errorf(codes.InvalidArgument, "a record takes %d bytes, a quarter of a chunk is %d", size, limit/4)
		}
	} else if size == 0 || r.offset >= limit || size > limit-r.offset {
		return nil, nil, status.Errorf(codes.InvalidArgument, "%d bytes at %d: a chunk has %d", size, r.offset, limit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lease
	switch now := s.opts.Now(); {
	case l == nil || l.version != r.version || !l.live(now):
		return nil, nil, errNotPrimary
	case c.full && r.kind == api.ChunkKind_RECORDS:
		l.use(now)
		return nil, &api.AppendReply{Code: api.Code_CHUNK_FULL, Version: l.version}, nil
	default:
		l.use(now)
	}
	m := &mutation{lease: l, serial: l.next(), offset: c.end, settled: l.settled, id: r.id, data: data, crc: crc}
	switch {
	case r.kind == api.ChunkKind_BYTES:
		m.write, m.offset = true, r.offset
		c.end = max(c.end, r.offset+size)
	case c.end+size > limit:
		// Whatever becomes of the pad, nothing is appended here any more.
		m.id, m.data, m.crc, m.padTo = nil, nil, 0, limit
		c.end, c.full = limit, true
		l.pad = &padRun{done: make(chan struct{})}
	default:
		c.end += size
	}
	m.local = s.mutationTask(c, m)
	s.enqueueLocked(c, m.local)
	return m, nil, nil
}

// replicate waits until the mutation is durable on all replicas of the grant,
// or fails on one. It goes on when the client has gone: its place is taken.
func (s *Server) replicate(c *chunk, m *mutation) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.MutateTimeout)
	defer cancel()
	errs := make([]error, len(m.lease.secondaries))
	var wg sync.WaitGroup
	for i, sec := range m.lease.secondaries {
		wg.Go(func() { errs[i] = s.forward(ctx, c, m, sec) })
	}
	local := await(ctx, m.local)
	wg.Wait()
	if local != nil && local == ctx.Err() {
		local = errSlow
	}
	if local != nil {
		s.abandon(c, m.lease, fmt.Errorf("the primary: %w", local))
		return fmt.Errorf("primary: %w", local)
	}
	for i, err := range errs {
		if err != nil {
			err = fmt.Errorf("secondary %s: %w", m.lease.secondaries[i].name, err)
			s.abandon(c, m.lease, err)
			return err
		}
	}
	return nil
}

// forward sends the mutation to one secondary.
func (s *Server) forward(ctx context.Context, c *chunk, m *mutation, to secondary) error {
	conn, err := s.peers.get(to.addr)
	if err != nil {
		return err
	}
	reply, err := api.NewChunkserverClient(conn).Mutate(ctx, &api.MutateRequest{
		Id: m.id, Handle: c.handle, Version: m.lease.version, Term: m.lease.term, Serial: m.serial,
		Offset: m.offset, Crc32C: m.crc, PadTo: m.padTo, Settled: m.settled, Write: m.write,
	})
	if err != nil {
		return err
	}
	if reply.Code != api.Code_OK {
		return &refusedError{reply.Code, reply.Reason}
	}
	return nil
}

// mutationTask applies the mutation to the primary's own replica.
func (s *Server) mutationTask(c *chunk, m *mutation) *task {
	data, kind := m.data, api.ChunkKind_BYTES
	if !m.write {
		kind = api.ChunkKind_RECORDS
		data = encodeFrame(c.handle, m.lease.version, m.serial, m.offset, m.id, m.data, m.padTo)
	}
	return newTask(
		func(b *batch) error {
			c.mu.Lock()
			live := c.lease == m.lease && m.lease.live(s.opts.Now())
			c.mu.Unlock()
			if !live {
				return errLeaseOver
			}
			if err := c.admit(m.lease.version, m.lease.term, kind); err != nil {
				return err
			}
			return b.write(m.offset, data, m.padTo != 0)
		},
		func() { s.mutated(c, m.lease.version, m.lease.term, m.serial, m.offset, len(data), len(m.data)) })
}

// encodeFrame makes the bytes of a record, or of a pad up to padTo.
func encodeFrame(handle, version, serial, offset uint64, id *api.DataId, data []byte, padTo uint64) []byte {
	f := api.Frame{Kind: api.FrameRecord, Client: id.GetClient(), Seq: id.GetSeq(), Handle: handle, Offset: offset,
		Version: version, Serial: serial, Payload: data}
	if padTo == 0 {
		return api.AppendFrame(make([]byte, 0, api.FrameSize(f.Client, len(data))), &f)
	}
	room := padTo - offset
	if room < api.FrameOverhead {
		b := make([]byte, room)
		for i := range b {
			b[i] = api.PadFiller
		}
		return b
	}
	f.Kind, f.Length = api.FramePad, uint32(room-api.FrameOverhead)
	return api.AppendFrame(nil, &f)
}

// mutated notes that a mutation is durable here: size bytes, payload of them the
// client's.
func (s *Server) mutated(c *chunk, version, term, serial, offset uint64, size, payload int) {
	s.stats.mutations.Add(1)
	s.stats.written.Add(uint64(size))
	s.changed(c.handle)
	s.event(Event{Kind: EventMutate, Handle: c.handle, Version: version, Term: term, Serial: serial, Offset: offset,
		Length: uint64(payload)})
}

func checkDataID(id *api.DataId) error {
	if n := len(id.GetClient()); n == 0 || n > api.MaxClientBytes {
		return status.Errorf(codes.InvalidArgument, "a client's name has 1 to %d bytes, not %d", api.MaxClientBytes, n)
	}
	return nil
}
