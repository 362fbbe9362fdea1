package storage_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestModel compares the log with its twin over random batches and reopenings,
// with segments and tails of every size.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := storage.Options{FS: vfs.NewMem(), Dir: "log",
			SegmentBytes: rapid.SampledFrom([]int64{1, 1 << 10, 16 << 10, 1 << 20}).Draw(rt, "segment"),
			TailBytes:    rapid.SampledFrom([]int64{-1, 100, 4 << 10, 1 << 20}).Draw(rt, "tail"),
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		l := mustOpen(t, o)
		defer func() { _ = l.Close() }()
		w := newTwin()
		for stamp := range uint64(rapid.IntRange(1, 60).Draw(rt, "batches")) {
			b := w.randomBatch(rng, stamp+1)
			if err := l.Commit(b); err != nil {
				rt.Fatalf("commit: %v", err)
			}
			w = w.with(b)
			if rng.IntN(10) == 0 {
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				l = mustOpen(t, o)
			}
			if diff := w.differ(l, twinKeys); diff != "" {
				rt.Fatalf("after batch %d: %s", stamp, diff)
			}
		}
	})
}

func TestEntriesLimits(t *testing.T) {
	for _, tail := range []int64{-1, 0} {
		l := mustOpen(t, storage.Options{FS: vfs.NewMem(), Dir: "d", TailBytes: tail})
		mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(5, 1, 100), entry(6, 1, 100), entry(9, 1, 100), entry(12, 1, 0)}})
		for _, c := range []struct {
			lo, hi uint64
			max    int
			want   string
		}{
			{0, 100, 0, "[5 6 9 12]"}, {6, 9, 0, "[6]"}, {7, 9, 0, "[]"}, {7, 10, 0, "[9]"}, {0, 100, 1, "[5]"},
			{0, 100, 200, "[5 6]"}, {0, 100, 299, "[5 6]"}, {0, 100, 300, "[5 6 9 12]"}, {12, 13, 0, "[12]"}, {13, 12, 0, "[]"},
		} {
			es, err := l.Entries(c.lo, c.hi, c.max, nil)
			got := []uint64{}
			for _, e := range es {
				got = append(got, e.Index)
			}
			if err != nil || fmt.Sprint(got) != c.want {
				t.Errorf("tail %d: Entries(%d, %d, %d) = %v %v, want %s", tail, c.lo, c.hi, c.max, got, err, c.want)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadBatch: a batch that breaks the rules is refused and ends the log; what
// was there stays.
func TestBadBatch(t *testing.T) {
	for _, b := range []storage.Batch{
		{Entries: []storage.Entry{{Index: 0}}},
		{Entries: []storage.Entry{{Index: 8}, {Index: 8}}},
		{Entries: []storage.Entry{{Index: 9}, {Index: 8}}},
		{CompactTo: 8, Entries: []storage.Entry{{Index: 8}}},
		{Entries: []storage.Entry{{Index: 2}}},
		{Entries: []storage.Entry{{Index: 1 << 40}}},
	} {
		o := storage.Options{FS: vfs.NewMem(), Dir: "d"}
		l := mustOpen(t, o)
		mustCommit(t, l, &storage.Batch{CompactTo: 2, Entries: []storage.Entry{entry(7, 1, 1)}})
		if err := l.Commit(&b); !errors.Is(err, storage.ErrBatch) {
			t.Fatalf("%+v: %v", b, err)
		}
		if err := l.Commit(&storage.Batch{}); !errors.Is(err, storage.ErrBatch) {
			t.Fatalf("after %+v: %v", b, err)
		}
		if got, err := l.Entries(0, 10, 0, nil); err != nil || len(got) != 1 || got[0].Index != 7 {
			t.Fatalf("reading after %+v: %v, %v", b, got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(&storage.Batch{}); !errors.Is(err, storage.ErrClosed) {
			t.Fatalf("after close: %v", err)
		}
		if _, err := l.Entries(0, 10, 0, nil); !errors.Is(err, storage.ErrClosed) {
			t.Fatalf("reading after close: %v", err)
		}
		l = mustOpen(t, o)
		if first, last := l.Bounds(); first != 7 || last != 7 {
			t.Fatalf("bounds %d..%d", first, last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskErrors: a failed write or sync ends the log; the batch may be there
// after reopening or not, what was acknowledged is.
func TestDiskErrors(t *testing.T) {
	broken := errors.New("input/output error")
	for _, inject := range []func(*faultdisk.FS, error){(*faultdisk.FS).FailSyncs, (*faultdisk.FS).FailWrites} {
		fs := faultdisk.NewMem(1)
		l := mustOpen(t, storage.Options{FS: fs, Dir: "d"})
		mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(1, 1, 10)}})
		inject(fs, broken)
		if err := l.Commit(&storage.Batch{Entries: []storage.Entry{entry(2, 1, 10)}}); !errors.Is(err, broken) {
			t.Fatalf("commit: %v", err)
		}
		inject(fs, nil)
		if err := l.Commit(&storage.Batch{Entries: []storage.Entry{entry(2, 1, 10)}}); !errors.Is(err, broken) {
			t.Fatalf("commit on a dead log: %v", err)
		}
		if got, err := l.Entries(1, 3, 0, nil); err != nil || len(got) != 1 || got[0].Index != 1 {
			t.Fatalf("reading a dead log: %v, %v; want what was durable", got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, storage.Options{FS: fs.Crash(0), Dir: "d"})
		if first, last := l.Bounds(); first != 1 || last != 1 {
			t.Fatalf("bounds %d..%d", first, last)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInUse(t *testing.T) {
	for _, o := range []storage.Options{{FS: vfs.NewMem(), Dir: "d"}, {FS: disk.Default, Dir: t.TempDir()}, {FS: faultdisk.NewMem(1), Dir: "d"}} {
		l := mustOpen(t, o)
		if second, err := storage.Open(o); err == nil {
			t.Error("opened twice", second.Close())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = mustOpen(t, o)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersBesideWriter reads, counts and snapshots while segments come and go.
func TestReadersBesideWriter(t *testing.T) {
	l := mustOpen(t, storage.Options{FS: disk.Default, Dir: t.TempDir(), SegmentBytes: 8 << 10, TailBytes: 1 << 10})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				first, last := l.Bounds()
				es, err := l.Entries(first, last+1, 0, nil)
				if err != nil {
					t.Errorf("entries %d..%d: %v", first, last, err)
					return
				}
				for _, e := range es {
					if want := entry(e.Index, 1, 300); string(want.Data) != string(e.Data) {
						t.Errorf("entry %d is wrong", e.Index)
						return
					}
				}
				l.Counters()
			}
		})
	}
	for i := uint64(1); i <= 300; i++ {
		b := &storage.Batch{Entries: []storage.Entry{entry(i, 1, 300)}}
		if i > 60 {
			b.CompactTo = i - 60
		}
		mustCommit(t, l, b)
	}
	close(done)
	wg.Wait()
	if c := l.Counters(); c.Removed < 5 || c.Segments > 5 {
		t.Errorf("counters %+v", c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFsyncs counts at the file-system door: one sync a commit, and one of the
// directory for each new segment.
func TestFsyncs(t *testing.T) {
	fs := disk.Count(vfs.NewMem())
	l := mustOpen(t, storage.Options{FS: fs, Dir: "d", SegmentBytes: 64 << 10})
	defer l.Close()
	c0, s0 := l.Counters(), fs.Syncs()
	for i := uint64(1); i <= 2000; i++ {
		mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(i, 1, 100)}})
	}
	c := l.Counters()
	rotated := c.Rotated - c0.Rotated
	if got := fs.Syncs() - s0; got != 2000+rotated || c.Fsyncs-c0.Fsyncs != got || rotated < 3 || rotated > 6 {
		t.Fatalf("%d syncs at the door for 2000 commits and %d new segments; own count %d", got, rotated, c.Fsyncs-c0.Fsyncs)
	}
	before := l.Counters()
	allocs := testing.AllocsPerRun(200, func() { mustCommit(t, l, &storage.Batch{HardState: []byte("x")}) })
	if allocs > 4 { // the record writer's own, the state's copy and this test's two
		t.Errorf("%.1f allocations a commit", allocs)
	}
	if c := l.Counters(); c.Commits != before.Commits+201 {
		t.Errorf("commits %d", c.Commits-before.Commits)
	}
}

// TestVirtualTime: a stalled sync takes virtual time, and readers do not wait.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultdisk.NewMem(1)
		l := mustOpen(t, storage.Options{FS: fs, Dir: "d"})
		mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(1, 1, 10)}})
		fs.StallSyncs(time.Hour)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range uint64(2) {
			wg.Go(func() { mustCommit(t, l, &storage.Batch{Entries: []storage.Entry{entry(2+i, 1, 10)}}) })
		}
		synctest.Wait()
		if _, last := l.Bounds(); last != 1 {
			t.Errorf("an entry shows before it is durable: %d", last)
		}
		wg.Wait()
		if d := time.Since(start); d != 2*time.Hour {
			t.Errorf("two commits took %v", d)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
