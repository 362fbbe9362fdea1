package engine

import (
	"errors"
	"io"
	"os"
	"testing"

	"gfslab/consensus/storage"
	"gfslab/internal/disk"
)

// A fetched snapshot that the core did not install is let go once one of the replica's
// own has passed it; one that may still be installed is kept.
func TestAFetchedSnapshotIsOutgrown(t *testing.T) {
	log, err := storage.Open(storage.Options{FS: disk.Default, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.SaveSnapshot(storage.SnapshotMeta{Index: 5}, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	file, err := log.OpenSnapshotFile()
	if err != nil {
		t.Fatal(err)
	}
	r := &Replica{
		sched: NewScheduler(SchedulerOptions{Node: 1, Core: &compactor{}}), fetched: file,
		files: &files{io: NewSnapshotIO(log), wake: make(chan struct{}, 1)},
	}
	for _, c := range []struct {
		index  uint64
		closed bool
	}{{4, false}, {5, true}} {
		r.saved(c.index, 100, nil)
		for _, job := range r.files.queue {
			job()
		}
		r.files.queue = nil
		_, err := file.ReadAt(make([]byte, 1), 0)
		if closed := errors.Is(err, os.ErrClosed); closed != c.closed || (r.fetched == nil) != c.closed {
			t.Errorf("after a snapshot through %d: %v, kept %v; want closed: %v", c.index, err, r.fetched != nil, c.closed)
		}
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
