package consensus_test

import (
	"slices"
	"strings"
	"testing"

	"gfslab/consensus"
)

// An entry that fits no frame would stop the log for ever.
func TestLimitsKeepEntriesBelowAFrame(t *testing.T) {
	change := map[string]func(l *consensus.Limits, n int){
		"batch":   func(l *consensus.Limits, n int) { l.BatchBytes = n },
		"command": func(l *consensus.Limits, n int) { l.MaxCommandBytes = n },
	}
	for name, set := range change {
		for n, ok := range map[int]bool{0: false, 1: true, consensus.MaxEntryBytes: true, consensus.MaxEntryBytes + 1: false} {
			l := consensus.Matched2()
			set(&l, n)
			if err := l.Validate(); (err == nil) != ok {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}

// TestOwnCoreOnly: whatever only our own core has is refused by name, and the
// names of the default positions are not.
func TestOwnCoreOnly(t *testing.T) {
	for name, set := range map[string]func(*consensus.Limits){
		"switches.eligibility": func(l *consensus.Limits) { l.Switches.Eligibility = "up-to-date" },
		"switches.number":      func(l *consensus.Limits) { l.Switches.Number = "vote" },
		"switches.old_slots":   func(l *consensus.Limits) { l.Switches.OldSlots = "keep" },
		"switches.acceptance":  func(l *consensus.Limits) { l.Switches.Acceptance = "contiguous" },
		"switches.notice":      func(l *consensus.Limits) { l.Switches.Notice = "eager" },
		"switches.catch_up":    func(l *consensus.Limits) { l.Switches.CatchUp = "leader" },
		"phase1_quorum":        func(l *consensus.Limits) { l.Phase1Quorum = 2 },
		"phase2_quorum":        func(l *consensus.Limits) { l.Phase2Quorum = 2 },
	} {
		l := consensus.Matched2()
		if set(&l); l.OwnCoreOnly() == nil || !strings.Contains(l.OwnCoreOnly().Error(), name+" ") {
			t.Errorf("%s: error %v", name, l.OwnCoreOnly())
		}
	}
	l := consensus.Matched2()
	l.Switches = consensus.Switches{
		Eligibility: "any", Number: "partitioned", OldSlots: "re-propose", Acceptance: "any", Notice: "idle", CatchUp: "any"}
	if err := l.OwnCoreOnly(); err != nil {
		t.Errorf("the default positions by name: %v", err)
	}
}

// TestTurnsAreFarApart: among any three to seven nodes with ids in a row, no two
// take their snapshots at about the same time.
func TestTurnsAreFarApart(t *testing.T) {
	for first := consensus.NodeID(1); first < 100; first++ {
		for n := 3; n <= 7; n += 2 {
			var turns []uint64
			for i := range n {
				turns = append(turns, consensus.SnapshotTurn(first+consensus.NodeID(i), 1000))
			}
			slices.Sort(turns)
			turns = append(turns, turns[0]+1000)
			for i := range n {
				if gap := turns[i+1] - turns[i]; turns[i] >= 1000 || gap < 1000/uint64(2*n) {
					t.Fatalf("nodes %d to %d take turns at %v of 1000", first, int(first)+n-1, turns)
				}
			}
		}
	}
}
