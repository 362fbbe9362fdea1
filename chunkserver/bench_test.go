package chunkserver

import (
	"fmt"
	"net"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// Appends of a primary without secondaries, one after the other, without a
// network: what the replica itself costs. On memory a sync is free.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, where := range []string{"memory", "disk"} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, where), func(b *testing.B) { benchmarkAppend(b, size, where == "disk") })
		}
	}
}

func benchmarkAppend(b *testing.B, size int, real bool) {
	var fs disk.FS = faultdisk.NewMem(testSeed)
	if real {
		fs = disk.Default
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s, err := Start(Options{Name: "a", FS: fs, Dir: b.TempDir(), Listener: l})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	data := make([]byte, size)
	b.SetBytes(int64(size))
	version, full := uint64(0), true
	for seq := uint64(1); b.Loop(); seq++ {
		if full {
			version++
			r := &api.GrantRequest{Handle: version, Version: 1, Term: 1, Epoch: 1, Primary: "a", Replicas: []string{"a"}}
			if reply, err := s.PrepareGrant(b.Context(), r); err != nil || !reply.Ok {
				b.Fatal(reply, err)
			}
			lease := newLease(r, "a")
			lease.until = time.Now().Add(time.Hour)
			close(lease.claimed)
			s.chunk(version).lease = lease
		}
		s.buffer.put(keyOf(id(seq)), data, 0)
		reply, err := s.RecordAppend(b.Context(), &api.AppendRequest{Id: id(seq), Handle: version, Version: 1})
		if err != nil {
			b.Fatal(err)
		}
		full = reply.Code == api.Code_CHUNK_FULL
	}
}
