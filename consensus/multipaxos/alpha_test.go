package multipaxos

import (
	"strings"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// A log keeps the alpha that it was begun with, across a power cut too, and a node
// does not open with another one. A log of a time when it was not kept takes the first
// with which a node opens; what was refused for something else leaves no trace.
func TestAlphaIsForGood(t *testing.T) {
	fs := faultdisk.NewMem(1)
	quorum := 2 // of one voter
	open := func(window int) error {
		log, err := storage.Open(storage.Options{FS: disk.FS(fs), Dir: "log"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		}()
		cfg := consensus.Config{Cluster: "x", Self: 1, Limits: consensus.Matched2(), Peers: []consensus.Peer{{ID: 1, Addr: "x"}}}
		cfg.Limits.Window, cfg.Limits.Phase1Quorum, cfg.Limits.Phase2Quorum = window, quorum, quorum
		if window == 0 { // as it was before
			return log.Commit(&storage.Batch{Entries: []storage.Entry{{Index: 1, Stamp: 1 << 16, Data: []byte{1}}}})
		}
		_, err = NewCore(cfg, log, engine.Start{Founders: consensus.Founders(cfg.Peers)})
		return err
	}
	if err := open(9); err == nil || strings.Contains(err.Error(), "window") {
		t.Fatalf("quorums of 2 of one voter: %v", err)
	}
	quorum = 0
	for _, window := range []int{0, 7, 7} {
		if err := open(window); err != nil {
			t.Fatalf("window %d: %v", window, err)
		}
		fs = fs.Crash(0)
	}
	err := open(8)
	if err == nil {
		t.Fatal("a log begun with a window of 7 opens with one of 8")
	}
	for _, word := range []string{"is 8", "with 7", "set the window to 7"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the refusal does not say %q: %v", word, err)
		}
	}
	if err := open(7); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
