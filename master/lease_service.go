package master

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
	"gfslab/master/pathlock"
)

// FindLeaseHolder returns the chunk's primary, granting a lease if none is live. A
// chunk that is named by path and index is taken out of a snapshot's hands first.
func (m *Master) FindLeaseHolder(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	copied := false
	for {
		term, found, f, mine, err := m.seekHolder(ctx, r)
		if err != nil || found != nil {
			return found, unsure(err, copied)
		}
		if err := m.await(ctx, f); err != nil {
			return nil, unsure(err, copied)
		}
		switch {
		case f.kind == copying && mine && f.err == nil && f.reply == nil:
			copied = true
			continue
		case f.kind != granting && (f.kind != copying || !mine):
			continue
		case f.err != nil:
			return nil, unsure(m.o.Directory.ProposeError(f.err), copied)
		case f.kind == copying:
			return indexed(f.reply, r), nil // no copy could be made
		case f.reply != nil && mine:
			return indexed(f.reply, r), nil
		case f.reply != nil && f.reply.Code != api.Code_OK:
			return m.refusal(term, f.reply.Handle, meta.Code(f.reply.Code)), nil
		}
		// Another caller's grant, or none was needed: look again, because the
		// flight may have passed its log entry before this call began.
		if _, reply := m.liveHolder(term, r); reply != nil {
			return reply, nil
		}
	}
}

// unsure turns an error that says that nothing was done into one that does not say
// so, if a copy was put in place.
func unsure(err error, copied bool) error {
	if err == nil || !copied || status.Code(err) != codes.FailedPrecondition {
		return err
	}
	return status.Error(codes.Aborted, "outcome unknown: the chunk was copied, then: "+status.Convert(err).Message())
}

// seekHolder answers from the applied state if that says enough; else it returns
// the flight to wait for. A path is locked meanwhile, but not while anybody waits
// for a flight: a snapshot whose revocations have begun lets no new one begin.
func (m *Master) seekHolder(ctx context.Context, r *api.LeaseRequest) (term uint64, found *api.ChunkReply, f *flight, mine bool, err error) {
	if r.Path != "" && meta.ValidPath(r.Path) {
		held, err := m.paths.Acquire(ctx, pathlock.Read(r.Path))
		if err != nil {
			return 0, nil, nil, false, status.FromContextError(err).Err()
		}
		defer held.Release()
	}
	if term, err = m.authority(ctx); err != nil {
		return 0, nil, nil, false, err
	}
	c, found := m.liveHolder(term, r)
	switch {
	case found != nil:
		m.askAgain(term, c)
		return term, found, nil, false, nil
	case c.Refs > 1:
		f, mine = m.joinCopy(term, r, c)
	default:
		m.wanted(c.Handle)
		f, mine = m.join(term, c.Handle, granting)
	}
	return term, nil, f, mine, nil
}

// joinCopy is join for the copy of a shared chunk. It is apart so that c of other
// calls need not live on the heap.
func (m *Master) joinCopy(term uint64, r *api.LeaseRequest, c meta.Chunk) (f *flight, mine bool) {
	return m.begin(c.Handle, copying, func(ctx context.Context) (*api.ChunkReply, error) {
		return m.copyOnWrite(ctx, term, r.Path, r.ChunkIndex, c)
	})
}

// target looks up the chunk that the request names.
func (m *Master) target(r *api.LeaseRequest) (c meta.Chunk, code meta.Code, at seen) {
	if r.Path == "" {
		return m.machine.chunk(r.Handle)
	}
	return m.machine.chunkAt(r.Path, 0, r.ChunkIndex)
}

// holds reports whether clients are sent to the primary of the chunk's lease: it
// may act, nobody is ending that, it has not restarted since, and, where versions
// fence, it is not dead.
func (m *Master) holds(term uint64, c meta.Chunk) bool {
	return m.leases.live(term, c) && !m.restarted(term, c) && (m.o.LeaseWait || !m.servers.silent(c.Primary))
}

// restarted reports whether the primary was heard under a new boot after what the
// lease counts from. Leases do not outlive the process that claimed them.
func (m *Master) restarted(term uint64, c meta.Chunk) bool {
	start, ok := m.leases.startOf(term, c)
	return ok && m.servers.restartedSince(c.Primary, start)
}

// liveHolder answers from the applied state, without waiting: nil if a grant of
// the chunk has to be made first, or a copy.
func (m *Master) liveHolder(term uint64, r *api.LeaseRequest) (meta.Chunk, *api.ChunkReply) {
	c, code, at := m.target(r)
	switch {
	case code != meta.OK:
	case c.Sealed:
		code = meta.Sealed
	case c.Refs > 1 && r.Path == "":
		code = meta.Shared
	case c.Epoch == 0 || !m.holds(term, c):
		return c, nil
	}
	return c, indexed(m.chunkReply(c, code, m.place(at, term)), r)
}

// indexed notes the index that a chunk was asked for by.
func indexed(reply *api.ChunkReply, r *api.LeaseRequest) *api.ChunkReply {
	if r.Path != "" {
		reply.ChunkIndex = r.ChunkIndex
	}
	return reply
}

// RevokeLease ends the chunk's lease before its time. Where versions fence, it
// does not wait for a primary that does not answer: LEASE_HELD says that the next
// FindLeaseHolder takes the lease away.
func (m *Master) RevokeLease(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	for {
		term, err := m.authority(ctx)
		if err != nil {
			return nil, err
		}
		c, code, at := m.target(r)
		if code != meta.OK || c.Epoch == 0 || r.Epoch != 0 && r.Epoch != c.Epoch {
			return indexed(m.chunkReply(c, code, m.place(at, term)), r), nil
		}
		f, _ := m.join(term, c.Handle, revoking)
		if err := m.await(ctx, f); err != nil {
			return nil, err
		}
		switch {
		case f.kind != revoking:
			continue
		case f.err != nil:
			return nil, m.o.Directory.ProposeError(f.err)
		case f.reply != nil: // the end is the flight's last step: valid for all who waited
			return indexed(proto.CloneOf(f.reply), r), nil
		}
	}
}

// ClaimLease grants a primary its lease, or an extension, for D from the moment
// at which the primary sent the request.
func (m *Master) ClaimLease(ctx context.Context, r *api.ClaimRequest) (*api.ClaimReply, error) {
	term, err := m.authority(ctx)
	if err != nil {
		return nil, err
	}
	return m.confirm(term, r), nil
}

// confirm answers a claim in the name of a term whose authority was proven since
// the claim came.
func (m *Master) confirm(term uint64, r *api.ClaimRequest) *api.ClaimReply {
	var claimed meta.Chunk
	until, ok := m.leases.claim(term, func() (meta.Chunk, bool) {
		c, code, _ := m.machine.chunk(r.Handle)
		claimed = c
		return c, code == meta.OK && r.Epoch != 0 && c.Epoch == r.Epoch && c.Primary == r.Chunkserver && c.Version == r.Version
	})
	if !ok {
		return &api.ClaimReply{Term: term}
	}
	m.observe("claim", term, r.Handle, claimed.Version, claimed.Epoch, claimed.Primary, until)
	return &api.ClaimReply{Granted: true, Term: term, DurationNs: int64(m.o.LeaseTerm)}
}

// authority proves that this replica leads and returns its term; everything
// that earlier leaders logged is applied then.
func (m *Master) authority(ctx context.Context) (term uint64, err error) {
	for {
		before := m.replica.Status()
		if !isLeader(before) {
			return 0, m.o.Directory.NotLeader(before.Leader)
		}
		if _, err := m.replica.ReadBarrier(ctx); err != nil {
			return 0, m.o.Directory.ReadError(err)
		}
		// The barrier proves the leadership of one term; it must be the term in
		// whose name we speak.
		if after := m.replica.Status(); isLeader(after) && after.Term == before.Term {
			m.leases.enter(after.Term)
			return after.Term, nil
		}
	}
}

func isLeader(st consensus.Status) bool { return st.Role == consensus.Leader }

// await waits for a flight.
func (m *Master) await(ctx context.Context, f *flight) error {
	if f == nil {
		return m.o.Directory.NotLeader(0)
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-m.closing.Done():
		return status.Error(codes.Aborted, "outcome unknown: the master is closing")
	}
}

// grantCall is one of a chunkserver's calls about grants.
type grantCall = func(api.ChunkserverClient, context.Context, *api.GrantRequest, ...grpc.CallOption) (*api.GrantReply, error)

// call makes one call about a grant; it is true if the chunkserver agreed.
func (m *Master) call(ctx context.Context, name string, request *api.GrantRequest, method grantCall) bool {
	ok, _ := m.ask(ctx, name, request, method)
	return ok
}

// ask is call; answered tells a chunkserver that refused from one that is silent.
func (m *Master) ask(ctx context.Context, name string, request *api.GrantRequest, method grantCall) (ok, answered bool) {
	client, err := m.servers.client(name)
	if err != nil {
		m.o.Logger.Debug("chunkserver cannot be called", "chunkserver", name, "error", err)
		return false, false
	}
	ctx, cancel := context.WithTimeout(ctx, m.o.CallTimeout)
	defer cancel()
	reply, err := method(client, ctx, request)
	if err != nil {
		m.o.Logger.Debug("call to chunkserver failed", "chunkserver", name, "handle", request.Handle, "error", err)
		return false, false
	}
	if !reply.Ok {
		m.o.Logger.Debug("chunkserver refused", "chunkserver", name, "handle", request.Handle, "reason", reply.Reason)
	}
	return reply.Ok, true
}

// waitUntil waits for a moment on the node's clock; the zero time has passed.
func (m *Master) waitUntil(ctx context.Context, t time.Time) error {
	for {
		wait := t.Sub(m.o.Now())
		if t.IsZero() || wait <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// sweep ends, now and then, the leases of chunks whose files are deleted.
func (m *Master) sweep() {
	ticker := time.NewTicker(max(m.o.LeaseTerm/2, 50*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-m.closing.Done():
			return
		case <-ticker.C:
		}
		var orphans []uint64
		m.machine.view(func(s *meta.State) { orphans = s.Orphans() })
		if len(orphans) == 0 || !isLeader(m.replica.Status()) {
			continue
		}
		ctx, cancel := context.WithTimeout(m.closing, m.o.CallTimeout)
		term, err := m.authority(ctx)
		cancel()
		if err != nil {
			continue
		}
		m.endLeases(term, orphans)
	}
}

// sweepBatch bounds the leases that the sweeper ends at once.
const sweepBatch = 64

// endLeases ends the leases of chunks that no file has, batch by batch, as long as
// this replica leads: a tree that is removed leaves one for each of its chunks.
func (m *Master) endLeases(term uint64, orphans []uint64) {
	for batch := range slices.Chunk(orphans, sweepBatch) {
		if st := m.replica.Status(); !isLeader(st) || st.Term != term {
			return
		}
		var flights []*flight
		for _, handle := range batch {
			if f, mine := m.join(term, handle, revoking); mine {
				flights = append(flights, f)
			}
		}
		for _, f := range flights {
			if m.await(m.closing, f) != nil {
				return
			}
		}
	}
}

func (m *Master) observe(kind string, term, handle, version, epoch uint64, primary string, until time.Time) {
	m.o.OnLease(LeaseEvent{
		At: m.o.Now(), Kind: kind, Handle: handle, Version: version, Epoch: epoch, Term: term, Primary: primary, Until: until,
	})
}
