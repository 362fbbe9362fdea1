package etcdraft

import (
	"errors"
	"testing"

	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// Between a failed commit and the moment at which the engine hears of it, the
// library may need an older entry, and it panics when it does not get it.
func TestTheLibraryOutlivesItsLogForAMoment(t *testing.T) {
	fs := faultdisk.NewMem(1)
	log, err := storage.Open(storage.Options{FS: disk.FS(fs), Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := NewCore(testConfig(1), log, founded(testConfig(1)))
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*core)
	drain := func() (applied int, err error) {
		for c.HasReady() {
			var rd engine.Ready
			c.Ready(&rd)
			if rd.Token != 0 {
				p := rd.Persist
				if err := log.Commit(&storage.Batch{HardState: p.HardState, TruncateFrom: p.TruncateFrom, Entries: p.Entries}); err != nil {
					return applied, err
				}
				c.Persisted(rd.Token)
			}
			applied += len(rd.Apply)
		}
		return applied, nil
	}
	for range 100 { // a cluster of one elects itself
		c.Tick()
		if _, err := drain(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Propose([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(); err != nil {
		t.Fatal(err)
	}
	c.store.recent = nil // as after a restart, or once it is applied
	gone := errors.New("the disk is gone")
	fs.FailSyncs(gone)
	if err := c.Propose([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(); !errors.Is(err, gone) {
		t.Fatalf("the commit: %v", err)
	}
	if got, err := c.store.Entries(2, 3, 1<<20); err != nil || string(got[0].GetData()) != "kept" {
		t.Errorf("the library reads %v, %v", got, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
