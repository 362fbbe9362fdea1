package storage_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

// TestPacedWriter: a long body is synced piece by piece, the writer rests six
// times as long as the disk took, and no longer than its bound; it ends when told to.
func TestPacedWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := faultdisk.NewMem(1)
		log, err := storage.Open(storage.Options{FS: fs, Dir: "/log"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}()
		for _, c := range []struct{ stall, want time.Duration }{
			{3 * time.Millisecond, 32 * (3 + 6*3) * time.Millisecond},
			{time.Second, 32 * (time.Second + 50*time.Millisecond)},
		} {
			w, err := log.NewSnapshot(storage.SnapshotMeta{Index: 1})
			if err != nil {
				t.Fatal(err)
			}
			fs.StallSyncs(c.stall)
			syncs, began := fs.Syncs(), time.Now()
			p := storage.NewPacedWriter(w, nil)
			for range 8 << 4 {
				if n, err := p.Write(make([]byte, 64<<10)); n != 64<<10 || err != nil {
					t.Fatalf("%d bytes, %v", n, err)
				}
			}
			if took, n := time.Since(began), fs.Syncs()-syncs; took != c.want || n != 32 {
				t.Errorf("8 MiB at %v a sync: %v and %d syncs, want %v and 32", c.stall, took, n, c.want)
			}
			stop := make(chan struct{})
			close(stop)
			fs.StallSyncs(time.Millisecond)
			if _, err := storage.NewPacedWriter(w, stop).Write(make([]byte, 1<<20)); !errors.Is(err, consensus.ErrClosed) {
				t.Errorf("after stop: %v", err)
			}
			fs.StallSyncs(0)
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
