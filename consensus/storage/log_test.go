package storage_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/consensus/storage"
	"gfslab/internal/disk"
)

func mustOpen(t testing.TB, o storage.Options) *storage.Log {
	t.Helper()
	l, err := storage.Open(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func mustCommit(t testing.TB, l *storage.Log, b *storage.Batch) {
	t.Helper()
	if err := l.Commit(b); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func entry(index, stamp uint64, size int) storage.Entry {
	d := make([]byte, size)
	copy(d, fmt.Sprintf("%d/%d", index, stamp))
	return storage.Entry{Index: index, Stamp: stamp, Data: d}
}

// TestReopen writes every kind of change over many segments and reads all back.
func TestReopen(t *testing.T) {
	for _, real := range []bool{false, true} {
		t.Run(fmt.Sprintf("real=%v", real), func(t *testing.T) {
			o := storage.Options{FS: vfs.NewMem(), Dir: "a/b", SegmentBytes: 4 << 10, TailBytes: 1 << 10}
			if real {
				o.FS, o.Dir = disk.Default, t.TempDir()+"/a/b"
			}
			l := mustOpen(t, o)
			for i := uint64(1); i <= 100; i++ {
				mustCommit(t, l, &storage.Batch{
					HardState: []byte{byte(i)},
					Entries:   []storage.Entry{entry(i, 1, 200)},
					Stable:    []storage.KV{{Key: fmt.Sprint(i % 3), Value: []byte{byte(i)}}},
				})
			}
			mustCommit(t, l, &storage.Batch{TruncateFrom: 90, CompactTo: 50, Entries: []storage.Entry{entry(95, 2, 70000)},
				Stable: []storage.KV{{Key: "0"}}})
			check := func() {
				t.Helper()
				if f, last := l.Bounds(); f != 51 || last != 95 {
					t.Fatalf("bounds %d..%d", f, last)
				}
				es, err := l.Entries(0, 1000, 0, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(es) != 40 {
					t.Fatalf("%d entries", len(es))
				}
				for _, e := range es {
					want := entry(e.Index, e.Stamp, len(e.Data))
					if string(want.Data) != string(e.Data) || e.Stamp != 1+e.Index/95 {
						t.Fatalf("entry %d stamp %d is wrong", e.Index, e.Stamp)
					}
				}
				if string(l.HardState()) != string([]byte{100}) {
					t.Fatalf("hard state %v", l.HardState())
				}
				if _, ok := l.Stable("0"); ok {
					t.Fatal("deleted key is there")
				}
				if v, _ := l.Stable("1"); string(v) != string([]byte{100}) {
					t.Fatalf("stable 1 = %v", v)
				}
				if _, ok := l.Stamp(93); ok {
					t.Fatal("stamp in a gap")
				}
			}
			check()
			c := l.Counters()
			if c.Fsyncs-c.DirSyncs != c.Commits+1 || c.Rotated < 5 {
				t.Fatalf("counters %+v", c)
			}
			for range 3 {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = mustOpen(t, o)
				check()
			}
			mustCommit(t, l, &storage.Batch{})
			if c := l.Counters(); c.Removed != 0 {
				t.Fatalf("counters %+v", c)
			}
			if r := l.Recovery(); r.TornTail || r.Entries != 40 {
				t.Fatalf("recovery %+v", r)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func benchCommit(b *testing.B, size int) {
	fs := disk.Count(disk.Default)
	l := mustOpen(b, storage.Options{FS: fs, Dir: b.TempDir()})
	defer l.Close()
	before := fs.Syncs()
	data := make([]byte, size)
	batch := storage.Batch{Entries: make([]storage.Entry, 1)}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var i uint64
	for b.Loop() {
		i++
		batch.CompactTo = 0
		if i%4096 == 0 {
			batch.CompactTo = i - 2048
		}
		batch.Entries[0] = storage.Entry{Index: i, Stamp: 1, Data: data}
		if err := l.Commit(&batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(fs.Syncs()-before)/float64(b.N), "fsyncs/op")
}

// BenchmarkCommit100B is a lone durable append on real files.
func BenchmarkCommit100B(b *testing.B) { benchCommit(b, 100) }

// BenchmarkCommit64KiB is a large batch on real files.
func BenchmarkCommit64KiB(b *testing.B) { benchCommit(b, 64<<10) }

// TestAFarJump: a snapshot installed in place of a short log may end anywhere, and
// what follows it may come in the same batch.
func TestAFarJump(t *testing.T) {
	const far = 1 << 24
	for _, b := range []storage.Batch{
		{CompactTo: far, Entries: []storage.Entry{entry(far+1, 1, 10)}},
		{TruncateFrom: 1, CompactTo: far, Entries: []storage.Entry{entry(far+1, 1, 10)}},
		{TruncateFrom: 1, Entries: []storage.Entry{entry(far+1, 1, 10)}},
	} {
		l := mustOpen(t, storage.Options{FS: vfs.NewMem(), Dir: "l"})
		mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(1, 1, 10), entry(2, 1, 10)}})
		mustCommit(t, l, &b)
		if first, last := l.Bounds(); first != far+1 || last != far+1 {
			t.Errorf("bounds %d..%d, want %d alone", first, last, far+1)
		}
		if err := l.Commit(&storage.Batch{Entries: []storage.Entry{entry(2*far, 1, 10)}}); err == nil {
			t.Error("a far entry was taken beside another")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
