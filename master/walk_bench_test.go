package master

import (
	"fmt"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// BenchmarkWalk is what the leader's walk over the chunks costs a chunk, with
// 100,000 chunks of three replicas in memory.
func BenchmarkWalk(b *testing.B) {
	const chunks, servers = 100_000, 10
	c := newCellWith(b, func(o *Options) { o.DeadAfter = time.Hour; o.ReplicateAfter = -1 }, 1)
	defer c.stop()
	m := c.masters[0]
	for s := range servers {
		r := &api.HeartbeatRequest{Chunkserver: fmt.Sprintf("cs%d", s), Address: "a", Boot: "b", Full: true}
		for h := range uint64(chunks) {
			if (h+uint64(s))%servers < 3 {
				r.Chunks = append(r.Chunks, &api.ChunkReport{Handle: h + 1, Version: 1, Length: 1})
			}
		}
		if _, err := m.Heartbeat(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
	page := make([]meta.Chunk, chunks)
	for h := range uint64(chunks) {
		page[h] = meta.Chunk{Handle: h + 1, Version: 1}
		for s := range uint64(servers) {
			if (h+s)%servers < 3 {
				page[h].Members = append(page[h].Members, fmt.Sprintf("cs%d", s))
			}
		}
	}
	m.upkeep.mu.Lock()
	m.upkeep.reset(1)
	m.upkeep.warm, m.upkeep.walks = true, 1
	m.upkeep.mu.Unlock()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += walkPage {
		from := i % (chunks - walkPage)
		m.lookAt(1, page[from:from+walkPage])
	}
	if n := m.upkeep.under.count; n != 0 {
		b.Fatalf("%d chunks are below their goal", n)
	}
}
