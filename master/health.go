package master

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/master/meta"
)

// Health describes chunkservers and replication as this master has heard of them.
// It waits for nothing: the position says what this replica had applied.
func (m *Master) Health(ctx context.Context, _ *api.StatusRequest) (*api.HealthReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if m.closing.Err() != nil {
		return nil, status.Error(codes.Unavailable, "the master is closed")
	}
	reply := &api.HealthReply{WarmingUp: m.warmingUp(), Chunkservers: m.servers.describe()}
	m.machine.view(func(s *meta.State) {
		reply.At = m.place(seenBy(s), m.term())
		_, chunks, _ := s.Sizes()
		reply.Chunks = uint64(chunks)
	})
	r := m.upkeep
	r.mu.Lock()
	defer r.mu.Unlock()
	reply.Leader = r.term != 0
	reply.Under, reply.Without = uint64(r.under.count), uint64(r.without.count)
	reply.Queued, reply.Running = uint64(r.queue.waiting()), uint64(r.running)
	reply.ClonedChunks, reply.ClonedBytes = r.inTerm.ClonedChunks, r.inTerm.ClonedBytes
	reply.RemovedReplicas, reply.CorruptReplicas = r.inTerm.RemovedByName, r.inTerm.CorruptReplicas
	return reply, nil
}

// describe lists the chunkservers that were ever heard of, by name.
func (t *chunkservers) describe() []*api.ChunkserverInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	all := make([]*api.ChunkserverInfo, 0, len(t.byName))
	for _, c := range t.byName {
		all = append(all, &api.ChunkserverInfo{
			Name: c.name, Address: c.addr, Rack: c.rack, Alive: t.alive(c, now), Chunks: uint64(c.replicas.count),
			UsedBytes: c.use(), CapacityBytes: c.capacity, SilentNs: int64(now.Sub(c.heard)),
		})
	}
	slices.SortFunc(all, func(a, b *api.ChunkserverInfo) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
