package master

import (
	"fmt"
	"testing"

	"gfslab/api"
)

// BenchmarkCreate is the master's own cost of a mutation: no network, no log.
func BenchmarkCreate(b *testing.B) {
	c := newCell(b, 1)
	defer c.stop()
	session := &api.Session{Client: "client"}
	paths := make([]string, b.N)
	for i := range paths {
		paths[i] = fmt.Sprintf("/file-%08d", i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, path := range paths {
		session.Seq++
		if r, err := c.masters[0].Create(b.Context(), &api.PathRequest{Session: session, Path: path}); err != nil || r.Code != api.Code_OK {
			b.Fatal(r, err)
		}
	}
}

// BenchmarkFindLeaseHolder is the cost of a lookup of a live lease.
func BenchmarkFindLeaseHolder(b *testing.B) {
	c := newCell(b, 1, three...)
	defer c.stop()
	handle := c.newChunk("/f")
	c.masters[0].leases.term0 = 1 << 40 // the lease outlives the benchmark
	c.find(c.masters[0], handle)
	b.ReportAllocs()
	for b.Loop() {
		c.find(c.masters[0], handle)
	}
}
