package multipaxos

import (
	"strings"
	"testing"

	"gfslab/consensus"
)

// TestSwitchesAreTranslated: every name is known, "" is the first, and a wrong one
// is refused by its key with what would do.
func TestSwitchesAreTranslated(t *testing.T) {
	l := consensus.Matched2()
	zero, err := config(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key   string
		field *string
		first string
		other []string
	}{
		{"eligibility", &l.Switches.Eligibility, "any", []string{"up-to-date"}},
		{"number", &l.Switches.Number, "partitioned", []string{"vote"}},
		{"old_slots", &l.Switches.OldSlots, "re-propose", []string{"keep"}},
		{"acceptance", &l.Switches.Acceptance, "any", []string{"contiguous"}},
		{"notice", &l.Switches.Notice, "idle", []string{"eager", "piggyback", "heartbeat"}},
		{"catch_up", &l.Switches.CatchUp, "any", []string{"leader"}},
	} {
		if *c.field = c.first; true {
			if got, err := config(l); err != nil || got.Switches != zero.Switches {
				t.Errorf("%s %q: %+v, %v; want what an empty name gives", c.key, c.first, got.Switches, err)
			}
		}
		seen := map[any]bool{zero.Switches: true}
		for _, name := range c.other {
			*c.field = name
			got, err := config(l)
			if err != nil || seen[got.Switches] {
				t.Errorf("%s %q: %+v, %v; want a position of its own", c.key, name, got.Switches, err)
			}
			seen[got.Switches] = true
			if e := Effective(l)["switch_"+c.key]; e != name {
				t.Errorf("%s %q is printed as %q", c.key, name, e)
			}
		}
		*c.field = "sideways"
		if _, err := config(l); err == nil || !strings.Contains(err.Error(), "switches."+c.key) || !strings.Contains(err.Error(), c.first) {
			t.Errorf("%s %q gives error %v; want one that names the key and what would do", c.key, "sideways", err)
		}
		*c.field = ""
	}
}

func TestQuorumsAreTranslated(t *testing.T) {
	l := consensus.Matched2()
	l.Phase1Quorum, l.Phase2Quorum = 3, 1
	c, err := config(l)
	if err != nil || c.Phase1Quorum != 3 || c.Phase2Quorum != 1 {
		t.Errorf("quorums %d and %d, %v; want 3 and 1", c.Phase1Quorum, c.Phase2Quorum, err)
	}
	if e := Effective(l); e["phase1_quorum"] != "3" || e["phase2_quorum"] != "1" {
		t.Errorf("quorums are printed as %q and %q", e["phase1_quorum"], e["phase2_quorum"])
	}
}
