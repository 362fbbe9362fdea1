package master

import (
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// TestReplicaSetIsAMap: against a plain map, handles near each other and far.
func TestReplicaSetIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		set, want := newReplicaSet(), make(map[uint64]heldReplica)
		bad := make(map[uint64]bool)
		for range 3000 {
			handle := 1 + rng.Uint64N(20_000)
			if rng.IntN(10) == 0 {
				handle = rng.Uint64()
			}
			if rng.IntN(3) == 0 {
				set.drop(handle)
				delete(want, handle)
				delete(bad, handle)
				continue
			}
			x := heldReplica{version: rng.Uint32(), length: rng.Uint32()}
			corrupt := rng.IntN(5) == 0
			set.put(handle, x, corrupt)
			want[handle] = x
			bad[handle] = corrupt
		}
		var bytes uint64
		for handle, x := range want {
			bytes += uint64(x.length)
			if got, found := set.get(handle); !found || got != x || set.isCorrupt(handle) != bad[handle] {
				t.Fatalf("seed %d: handle %d: %v, %v, corrupt %v; want %v, %v", seed, handle, got, found, set.isCorrupt(handle), x, bad[handle])
			}
		}
		if set.count != len(want) || set.bytes != bytes {
			t.Fatalf("seed %d: %d replicas of %d bytes, want %d of %d", seed, set.count, set.bytes, len(want), bytes)
		}
		if _, found := set.get(rng.Uint64() | 1<<63); found {
			t.Fatalf("seed %d: found what was never put", seed)
		}
		var pages []uint64
		for from := uint64(0); ; {
			before := len(pages)
			var next uint64
			if pages, next = set.page(pages, from, 7); len(pages)-before > 7 {
				t.Fatalf("seed %d: a page of %d", seed, len(pages)-before)
			}
			if from = next; next == 0 {
				break
			}
		}
		if !slices.Equal(pages, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("seed %d: pages hold %d handles, want %d in order", seed, len(pages), len(want))
		}
	}
}

// TestReplicaSetMemory: a chunkserver's share of two million chunks.
func TestReplicaSetMemory(t *testing.T) {
	const replicas, chunks = 1_500_000, 2_000_000
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	set := newReplicaSet()
	for i := range uint64(replicas) {
		set.put(1+i*chunks/replicas, heldReplica{version: uint32(i), length: uint32(i)}, false)
	}
	each := float64(heap()-before) / replicas
	t.Logf("%.1f bytes a replica", each)
	if each > 16 {
		t.Fatalf("%.1f bytes a replica, want at most 16", each)
	}
	runtime.KeepAlive(set)
}

// BenchmarkReplicaLookup is one lookup among the replicas of a large chunkserver.
func BenchmarkReplicaLookup(b *testing.B) {
	const replicas = 1_500_000
	set := newReplicaSet()
	for i := range uint64(replicas) {
		set.put(1+i, heldReplica{version: 1}, false)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		if _, found := set.get(1 + rng.Uint64N(replicas)); !found {
			b.Fatal("not found")
		}
	}
}
