package storage_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

type crashTotals struct {
	crashes, inOpen, torn, kept, lost, rotated, removed, snapshots int
}

// crashLife runs one disk through several generations and checks every reopened
// log against the only states that the acknowledgements allow.
type crashLife struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand
	fs      *faultdisk.FS
	acked   *twin // what was acknowledged
	pending *twin // the same with the batch under way; nil = none
	// snapshot indexes: acknowledged, and under way
	snap, snapPending uint64
	stamp             uint64
	totals            *crashTotals
}

func (c *crashLife) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("seed %d generation %d: %s", c.seed, c.fs.Generation(), fmt.Sprintf(format, args...))
}

func (c *crashLife) generation() {
	tr := faultdisk.NewTrigger(c.fs, 0, c.rng.IntN(2) == 0, []int{0, 20, 50, 100}[c.rng.IntN(4)])
	switch c.rng.IntN(3) {
	case 0:
		tr.Arm(1 + c.rng.IntN(10)) // inside Open
	default:
		tr.Arm(10 + c.rng.IntN(60))
	}
	l, err := storage.Open(storage.Options{FS: tr, Dir: "n/log", SegmentBytes: 8 << 10, TailBytes: 4 << 10})
	if err != nil {
		c.fatalf("open: %v", err)
	}
	if tr.Next() == nil {
		c.check(l)
	} else {
		c.totals.inOpen++
	}
	for tr.Next() == nil {
		c.step(l, tr)
	}
	n := l.Counters()
	c.totals.rotated += int(n.Rotated)
	c.totals.removed += int(n.Removed)
	if err := l.Close(); err != nil {
		c.fatalf("close: %v", err)
	}
	c.fs = tr.Next()
	c.totals.crashes++
}

// check compares the reopened log with what it may be, and takes what it is as
// acknowledged from now on: it has been seen.
func (c *crashLife) check(l *storage.Log) {
	if l.Recovery().TornTail {
		c.totals.torn++
	}
	diff := c.acked.differ(l, twinKeys)
	switch {
	case c.pending == nil:
	case c.pending.differ(l, twinKeys) == "":
		c.totals.kept++
		c.acked, diff = c.pending, ""
	default:
		c.totals.lost++
	}
	if diff != "" {
		c.fatalf("neither what was acknowledged nor that with the batch under way (%v): %s, recovery %+v", c.pending != nil, diff, l.Recovery())
	}
	c.pending = nil
	meta, r, err := l.OpenSnapshot()
	if errors.Is(err, storage.ErrNoSnapshot) && c.snap == 0 {
		c.snapPending = 0
		return
	}
	if err != nil {
		c.fatalf("snapshot: %v", err)
	}
	body, err := io.ReadAll(r)
	if err != nil || string(body) != fmt.Sprint("body", meta.Index) || (meta.Index != c.snap && meta.Index != c.snapPending) {
		c.fatalf("snapshot %d %q (%v), want %d or %d", meta.Index, body, err, c.snap, c.snapPending)
	}
	if err := r.Close(); err != nil {
		c.fatalf("snapshot: %v", err)
	}
	c.snap, c.snapPending = meta.Index, 0
}

func (c *crashLife) step(l *storage.Log, tr *faultdisk.Trigger) {
	c.stamp++
	if c.rng.IntN(12) == 0 {
		c.snapPending = c.stamp
		err := l.SaveSnapshot(storage.SnapshotMeta{Index: c.stamp, Stamp: 1}, func(w io.Writer) error {
			_, err := fmt.Fprint(w, "body", c.stamp)
			return err
		})
		if err != nil {
			c.fatalf("save snapshot: %v", err)
		}
		if tr.Next() == nil {
			c.totals.snapshots++
			c.snap, c.snapPending = c.snapPending, 0
		}
		return
	}
	b := c.acked.randomBatch(c.rng, c.stamp)
	c.pending = c.acked.with(b)
	if err := l.Commit(b); err != nil {
		c.fatalf("commit: %v", err)
	}
	if tr.Next() == nil {
		c.acked, c.pending = c.pending, nil
	}
}

func runCrashes(t *testing.T, seeds int, newFS func(seed uint64) *faultdisk.FS) {
	base := uint64(time.Now().UnixNano())
	if s := os.Getenv("GFSLAB_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		base, seeds = n, 1
	}
	start := time.Now()
	var totals crashTotals
	for i := range uint64(seeds) {
		seed := base + i
		c := &crashLife{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), fs: newFS(seed), acked: newTwin(), totals: &totals}
		for range 8 {
			c.generation()
		}
	}
	t.Logf("seeds %d.. (%d): %+v in %v", base, seeds, totals, time.Since(start).Round(time.Millisecond))
	if seeds >= 100 && (totals.inOpen == 0 || totals.torn == 0 || totals.kept == 0 || totals.lost == 0 || totals.rotated == 0 || totals.removed == 0 || totals.snapshots == 0) {
		t.Fatalf("the search did not reach all it should: %+v", totals)
	}
}

func envInt(t *testing.T, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestCrash crashes at single file operations, in commits, rotations, snapshots
// and recoveries. GFSLAB_CRASH_SEEDS widens it (8 crashes a seed), GFSLAB_SEED
// repeats one seed.
func TestCrash(t *testing.T) {
	runCrashes(t, envInt(t, "GFSLAB_CRASH_SEEDS", 640), faultdisk.NewMem)
}

// TestCrashRealFiles is the same over real files and real syncs.
func TestCrashRealFiles(t *testing.T) {
	dir := t.TempDir()
	runCrashes(t, 4, func(seed uint64) *faultdisk.FS {
		fs, err := faultdisk.NewReal(fmt.Sprintf("%s/%d", dir, seed), seed)
		if err != nil {
			t.Fatal(err)
		}
		return fs
	})
}
