package master

import (
	"context"
	"sync"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/consensus"
)

// CopyChunk notes which handle a copy was made for.
func (c *fakeChunkserver) CopyChunk(ctx context.Context, r *api.CopyChunkRequest) (*api.CloneReply, error) {
	ok, err := c.enter(ctx, "copy")
	if err != nil {
		return nil, err
	}
	if !ok {
		return &api.CloneReply{Code: api.Code_CORRUPT, Reason: "told to refuse"}, nil
	}
	if !c.store.copyTo(r) {
		return &api.CloneReply{Code: api.Code_STALE, Reason: "another version, or a higher term was seen"}, nil
	}
	return &api.CloneReply{Code: api.Code_OK}, nil
}

// restart begins another boot, without the leases of the one before.
func (c *fakeChunkserver) restart() {
	c.mu.Lock()
	clear(c.grants)
	clear(c.until)
	c.mu.Unlock()
	c.store.restart()
}

func (c *fakeChunkserver) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

// whileActing calls f if the chunkserver may act as primary of the version now. It
// acknowledges no end of its lease before f returns; f must not block.
func (c *fakeChunkserver) whileActing(handle, version uint64, f func(grant *api.GrantRequest, silent bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if grant := c.grants[handle]; grant != nil && grant.Version == version && time.Now().Before(c.until[handle]) {
		f(grant, c.silent)
	}
}

// ReadStale implements consensus.StaleReader: the group applies everywhere at
// once, so an index is applied or will not be soon.
func (r *fakeReplica) ReadStale(ctx context.Context, atLeast uint64) (uint64, error) {
	r.group.mu.Lock()
	index, closed := r.group.index, r.closed
	r.group.mu.Unlock()
	switch {
	case closed:
		return 0, consensus.ErrClosed
	case index < atLeast:
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return index, nil
}

// recorder notes the lease events of a cell while it listens.
type recorder struct {
	mu     sync.Mutex
	events []LeaseEvent
}

func (c *fakeCell) record() *recorder {
	r := new(recorder)
	c.mu.Lock()
	c.onLease = func(e LeaseEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	c.mu.Unlock()
	return r
}

// kinds lists the kinds of a chunk's events in order.
func (r *recorder) kinds(handle uint64) (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Handle == handle {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// code checks a mutation's code and returns its reply.
func code[T interface{ GetCode() api.Code }](t *testing.T, want api.Code) func(T, error) T {
	return func(r T, err error) T {
		t.Helper()
		if err != nil || r.GetCode() != want {
			t.Fatalf("reply %v, error %v; want %v", r, err, want)
		}
		return r
	}
}

func (c *fakeCell) snapshot(m *Master, from, to string) (*api.MutationReply, error) {
	return m.Snapshot(c.t.Context(), &api.SnapshotTreeRequest{Session: c.session(), From: from, To: to})
}

func (c *fakeCell) holder(m *Master, path string) (*api.ChunkReply, error) {
	return m.FindLeaseHolder(c.t.Context(), &api.LeaseRequest{Path: path})
}

func (c *fakeCell) chunks(m *Master, path string) []uint64 {
	c.t.Helper()
	r, err := m.Stat(c.t.Context(), &api.ReadRequest{Path: path})
	if err != nil || r.Code != api.Code_OK {
		c.t.Fatal(r, err)
	}
	return r.Chunks
}

// counts returns how many commands were proposed here, and how many barriers asked
// for.
func (r *fakeReplica) counts() (proposed, barriers int) {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	return r.proposed, r.barriers
}
