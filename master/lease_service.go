package master

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
)

// FindLeaseHolder returns the chunk's primary, granting a lease if none is live.
func (m *Master) FindLeaseHolder(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	for {
		term, err := m.authority(ctx)
		if err != nil {
			return nil, err
		}
		if reply := m.liveHolder(term, r.Handle); reply != nil {
			return reply, nil
		}
		f, mine := m.join(term, r.Handle, granting)
		if err := m.await(ctx, f); err != nil {
			return nil, err
		}
		switch {
		case f.kind != granting:
			continue
		case f.err != nil:
			return nil, m.o.Directory.ProposeError(f.err)
		case f.reply != nil && mine:
			return f.reply, nil
		case f.reply != nil && f.reply.Code != api.Code_OK:
			return m.noChunkserver(term, r.Handle), nil
		}
		// Another caller's grant, or none was needed: look again, because the
		// flight may have passed its log entry before this call began.
		if reply := m.liveHolder(term, r.Handle); reply != nil {
			return reply, nil
		}
	}
}

// liveHolder answers from the applied state, without waiting: nil if a grant has
// to be made first.
func (m *Master) liveHolder(term, handle uint64) *api.ChunkReply {
	c, code, at := m.machine.chunk(handle)
	if code == meta.OK && (c.Epoch == 0 || !m.leases.live(term, c)) {
		return nil
	}
	return m.chunkReply(c, code, m.place(at, term))
}

// RevokeLease ends the chunk's lease before its time.
func (m *Master) RevokeLease(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	for {
		term, err := m.authority(ctx)
		if err != nil {
			return nil, err
		}
		c, code, at := m.machine.chunk(r.Handle)
		if code != meta.OK || c.Epoch == 0 {
			return m.chunkReply(c, code, m.place(at, term)), nil
		}
		f, _ := m.join(term, r.Handle, revoking)
		if err := m.await(ctx, f); err != nil {
			return nil, err
		}
		switch {
		case f.kind != revoking:
			continue
		case f.err != nil:
			return nil, m.o.Directory.ProposeError(f.err)
		case f.reply != nil: // the end is the flight's last step: valid for all who waited
			return f.reply, nil
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

// call makes one call about a grant; it is true if the chunkserver agreed.
func (m *Master) call(ctx context.Context, name string, request *api.GrantRequest,
	method func(api.ChunkserverClient, context.Context, *api.GrantRequest, ...grpc.CallOption) (*api.GrantReply, error),
) bool {
	client, err := m.servers.client(name)
	if err != nil {
		m.o.Logger.Debug("chunkserver cannot be called", "chunkserver", name, "error", err)
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, m.o.CallTimeout)
	defer cancel()
	reply, err := method(client, ctx, request)
	if err != nil {
		m.o.Logger.Debug("call to chunkserver failed", "chunkserver", name, "handle", request.Handle, "error", err)
		return false
	}
	if !reply.Ok {
		m.o.Logger.Debug("chunkserver refused", "chunkserver", name, "handle", request.Handle, "reason", reply.Reason)
	}
	return reply.Ok
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
		for _, handle := range orphans[:min(len(orphans), sweepBatch)] {
			m.join(term, handle, revoking)
		}
	}
}

// sweepBatch bounds the leases that one round of the sweeper ends.
const sweepBatch = 64

func (m *Master) observe(kind string, term, handle, version, epoch uint64, primary string, until time.Time) {
	m.o.OnLease(LeaseEvent{
		At: m.o.Now(), Kind: kind, Handle: handle, Version: version, Epoch: epoch, Term: term, Primary: primary, Until: until,
	})
}
