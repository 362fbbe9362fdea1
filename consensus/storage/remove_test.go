package storage_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// TestRemoveBy: segments that compaction made useless stay until the job is run,
// and Close removes what is left; reading goes on meanwhile.
func TestRemoveBy(t *testing.T) {
	fs := faultdisk.NewMem(1)
	log, err := storage.Open(storage.Options{FS: fs, Dir: "/log", SegmentBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	segments := func() (n int) {
		names, err := fs.List("/log")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".log") {
				n++
			}
		}
		return n
	}
	var jobs []func()
	log.RemoveBy(func(job func()) { jobs = append(jobs, job) })
	grow := func(from, to uint64) {
		for i := from; i < to; i++ {
			if err := log.Commit(&storage.Batch{Entries: []storage.Entry{{Index: i, Data: make([]byte, 200)}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	compact := func(to uint64) {
		if err := log.Commit(&storage.Batch{CompactTo: to}); err != nil {
			t.Fatal(err)
		}
	}
	grow(1, 100)
	before := segments()
	compact(90)
	grow(100, 110) // crosses a segment, whose head says what is needed
	if got := segments(); before < 10 || got < before || len(jobs) == 0 {
		t.Fatalf("%d segments, %d before compaction, %d jobs: the commit removed some itself", got, before, len(jobs))
	}
	for _, job := range jobs {
		job()
	}
	after := segments()
	if after > before/2 || log.Counters().Removed == 0 {
		t.Fatalf("%d segments of %d are left after the job", after, before)
	}
	jobs = nil
	grow(110, 200)
	compact(199)
	grow(200, 210)
	if len(jobs) == 0 {
		t.Fatal("no job for the second compaction")
	}
	full := segments()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if left := segments(); left >= full {
		t.Fatalf("%d segments of %d are left after Close", left, full)
	}
	jobs[0]() // too late, and harmless
	log, err = storage.Open(storage.Options{FS: fs, Dir: "/log", SegmentBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, last := log.Bounds(); last != 209 {
		t.Errorf("the log ends at %d, want 209", last)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestALargeSnapshotIsRemovedByTheJob: on real files an old snapshot of some
// megabytes goes when the job is run, and until then under a name that opening the
// log removes.
func TestALargeSnapshotIsRemovedByTheJob(t *testing.T) {
	dir := t.TempDir()
	open := func() *storage.Log {
		log, err := storage.Open(storage.Options{FS: disk.Default, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	names := func(suffix string) (found []string) {
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if strings.HasSuffix(e.Name(), suffix) {
				found = append(found, e.Name())
			}
		}
		return found
	}
	var jobs []func()
	log := open()
	log.RemoveBy(func(job func()) { jobs = append(jobs, job) })
	snapshot := func(index uint64) {
		w, err := log.NewSnapshot(storage.SnapshotMeta{Index: index})
		if err == nil {
			_, err = w.Write(make([]byte, 5<<20))
		}
		if err = errors.Join(err, w.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	snapshot(1)
	snapshot(2)
	if retired := names(".tmp"); len(retired) != 1 {
		t.Fatalf("retired: %v", retired)
	}
	for _, job := range jobs {
		job()
	}
	if retired := names(".tmp"); len(retired) != 0 {
		t.Errorf("after the job: %v", retired)
	}
	// One that is open is removed, and can be read to its end.
	_, body, err := log.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	snapshot(3)
	for _, job := range jobs {
		job()
	}
	if retired := names(".tmp"); len(retired) != 0 {
		t.Errorf("an open one: %v", retired)
	}
	if n, err := io.Copy(io.Discard, body); n != 5<<20 || err != nil {
		t.Errorf("an open snapshot that was replaced ends after %d bytes: %v", n, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	snapshot(4)
	if retired := names(".tmp"); len(retired) != 1 {
		t.Errorf("after it was closed: %v", retired)
	}
	if err := log.Close(); err != nil { // no job was run
		t.Fatal(err)
	}
	if retired := names(".tmp"); len(retired) != 0 {
		t.Errorf("after closing: %v", retired)
	}
	log = open()
	var meta storage.SnapshotMeta
	meta, body, err = log.OpenSnapshot()
	if err != nil || meta.Index != 4 {
		t.Fatalf("snapshot %d, %v", meta.Index, err)
	}
	if n, err := io.Copy(io.Discard, body); n != 5<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSegmentsThatAreReadDoNotShrink: on real files, reading goes on beside the
// removal of large segments, and finds an entry whole or not at all.
func TestSegmentsThatAreReadDoNotShrink(t *testing.T) {
	log, err := storage.Open(storage.Options{FS: disk.Default, Dir: t.TempDir(), SegmentBytes: 4 << 20, TailBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	jobs := make(chan func(), 64)
	log.RemoveBy(func(job func()) { jobs <- job })
	var wg sync.WaitGroup
	wg.Go(func() {
		for job := range jobs {
			job()
		}
	})
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for lo := uint64(1); ; lo = max(lo%600, 1) {
				select {
				case <-done:
					return
				default:
				}
				first, _ := log.Bounds()
				lo = max(lo, first)
				entries, err := log.Entries(lo, lo+40, 0, nil)
				for _, e := range entries {
					if len(e.Data) != 64<<10 || e.Data[0] != byte(e.Index) {
						t.Errorf("entry %d has %d bytes", e.Index, len(e.Data))
					}
				}
				if err != nil {
					t.Errorf("reading from %d: %v", lo, err)
					return
				}
			}
		})
	}
	for i := uint64(1); i <= 600; i++ {
		data := make([]byte, 64<<10)
		data[0] = byte(i)
		b := storage.Batch{Entries: []storage.Entry{{Index: i, Data: data}}}
		if i > 100 && i%50 == 0 {
			b.CompactTo = i - 80
		}
		if err := log.Commit(&b); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	close(jobs)
	wg.Wait()
	if err := log.Close(); err != nil || log.Counters().Removed == 0 {
		t.Errorf("%d segments removed, %v", log.Counters().Removed, err)
	}
}

// TestHurryEndsTheRests: who closes a replica waits for the removal under way, but not
// for its rests.
func TestHurryEndsTheRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time passes in rests only
		for _, hurry := range []bool{false, true} {
			log, err := storage.Open(storage.Options{FS: disk.Default, Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			var job func()
			log.RemoveBy(func(j func()) { job = j })
			for i, size := range []int{5 << 20, 1} {
				err := log.SaveSnapshot(storage.SnapshotMeta{Index: uint64(i + 1)}, func(w io.Writer) error {
					_, err := w.Write(make([]byte, size))
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if hurry {
				log.Hurry()
			}
			start := time.Now()
			job()
			if rested := time.Since(start); (rested == 0) != hurry {
				t.Errorf("hurry %v: %v of rests", hurry, rested)
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// openHook calls before ahead of opening a file to read it.
type openHook struct {
	disk.FS
	before func()
}

func (h *openHook) Open(name string, o ...vfs.OpenOption) (disk.File, error) {
	if f := h.before; f != nil {
		h.before = nil
		f()
	}
	return h.FS.Open(name, o...)
}

// TestASnapshotReplacedWhileItIsOpened: whoever has found the newest snapshot, and loses
// it to a newer one before it is open, gets that one.
func TestASnapshotReplacedWhileItIsOpened(t *testing.T) {
	fs := &openHook{FS: faultdisk.NewMem(1)}
	log, err := storage.Open(storage.Options{FS: fs, Dir: "/log"})
	if err != nil {
		t.Fatal(err)
	}
	save := func(index uint64) {
		if err := log.SaveSnapshot(storage.SnapshotMeta{Index: index}, func(io.Writer) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	save(1)
	fs.before = func() { save(2) }
	file, err := log.OpenSnapshotFile()
	if err != nil || file.Info.Index != 2 {
		t.Fatalf("%+v, %v; want the snapshot through 2", file, err)
	}
	if err := errors.Join(file.Close(), log.Close()); err != nil {
		t.Error(err)
	}
}
