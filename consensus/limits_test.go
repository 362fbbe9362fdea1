package consensus_test

import (
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
