package cowtree

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/tidwall/btree"
)

// BenchmarkAgainst sets this map beside a copy-on-write B-tree of Go values, as
// docs/adr/0006 quotes it: names below numbered directories, a million of them.
func BenchmarkAgainst(b *testing.B) {
	const files, perDir = 1_000_000, 1000
	type item struct {
		parent, id uint64
		name       string
	}
	rng := rand.New(rand.NewPCG(1, 2))
	items := make([]item, files)
	for i := range items {
		items[i] = item{uint64(i/perDir) << 20, uint64(i)<<20 | 7, fmt.Sprintf("part-%05d-of-01000", i%perDir)}
	}
	rng.Shuffle(files, func(i, j int) { items[i], items[j] = items[j], items[i] })
	key := func(b []byte, x *item) []byte {
		return append(binary.BigEndian.AppendUint64(b, x.parent), x.name...)
	}
	var room [64]byte
	measure := func(b *testing.B, set func(*item), get func(*item) bool, capture func(), length func() int) {
		base := heap()
		for i := range items {
			set(&items[i])
		}
		perFile := float64(heap()-base) / files
		for _, part := range []string{"get", "set", "set-captured"} {
			b.Run(part, func(b *testing.B) {
				if part == "set-captured" {
					capture()
				}
				for i := 0; b.Loop(); i++ {
					if x := &items[i*7919%files]; part != "get" {
						set(x)
					} else if !get(x) {
						b.Fatal("missing")
					}
				}
				b.ReportMetric(perFile, "B/file")
			})
		}
		if length() != files {
			b.Fatal(length())
		}
	}
	b.Run("cowtree", func(b *testing.B) {
		t := &Tree{}
		var value [16]byte
		measure(b,
			func(x *item) { t.Set(key(room[:0], x), binary.AppendUvarint(value[:0], x.id)) },
			func(x *item) bool { _, ok := t.Get(key(room[:0], x)); return ok },
			func() { t.Capture() }, func() int { return t.Len() })
	})
	b.Run("cowtree-full-paths", func(b *testing.B) {
		t := &Tree{}
		var value [16]byte
		path := func(x *item) []byte { return fmt.Appendf(room[:0], "/data/set-%04d/%s", x.parent>>20, x.name) }
		measure(b,
			func(x *item) { t.Set(path(x), binary.AppendUvarint(value[:0], x.id)) },
			func(x *item) bool { _, ok := t.Get(path(x)); return ok },
			func() { t.Capture() }, func() int { return t.Len() })
	})
	b.Run("btree", func(b *testing.B) {
		t := btree.NewBTreeGOptions(func(a, b item) bool {
			if a.parent != b.parent {
				return a.parent < b.parent
			}
			return a.name < b.name
		}, btree.Options{NoLocks: true})
		measure(b,
			func(x *item) { t.Set(item{x.parent, x.id, strings.Clone(x.name)}) },
			func(x *item) bool { _, ok := t.Get(*x); return ok },
			func() { t.Copy() }, t.Len)
	})
}

// heap is the live heap in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
