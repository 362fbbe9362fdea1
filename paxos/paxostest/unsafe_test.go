package paxostest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/paxos"
)

// TestEveryRefusalHasItsReason: for each reason to refuse switches or quorums there
// is a transcript that shows the refusal, and agreement lost without it.
func TestEveryRefusalHasItsReason(t *testing.T) {
	files, err := filepath.Glob("testdata/unsafe_*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var told string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if told += string(text); !strings.Contains(string(text), "refused: ") || !strings.Contains(string(text), "AGREEMENT LOST") {
			t.Errorf("%s does not show a refusal and what it prevents", file)
		}
	}
	safe, refused := 0, 0
	for q1 := 1; q1 <= 4; q1++ {
		for _, s := range everyMode() {
			if err := s.Safe(4, q1); err == nil {
				safe++
			} else if refused++; !strings.Contains(told, err.Error()[:len("paxos: rule 13")]) {
				t.Errorf("%+v, phase-1 quorum %d: no transcript for: %v", s, q1, err)
			}
		}
	}
	// Re-proposing is safe with everything; keeping only with an up-to-date leader and
	// contiguous acceptance; votes need more than half.
	if safe != 2*(8+2)+2*(4+1) || safe+refused != 4*16 {
		t.Errorf("%d mixes are safe and %d refused", safe, refused)
	}
}

// everyMode lists the mixes of the switches that change what is safe.
func everyMode() (all []paxos.Switches) {
	for _, e := range []paxos.Eligibility{paxos.AnyNode, paxos.UpToDate} {
		for _, t := range []paxos.Number{paxos.Partitioned, paxos.OneVote} {
			for _, c := range []paxos.OldSlots{paxos.Reproposed, paxos.Kept} {
				for _, o := range []paxos.Acceptance{paxos.AnyOrder, paxos.Contiguous} {
					all = append(all, paxos.Switches{Eligibility: e, Number: t, OldSlots: c, Acceptance: o})
				}
			}
		}
	}
	return all
}

// TestEveryModeIsDrawn: the seeds run every safe mix of switches.
func TestEveryModeIsDrawn(t *testing.T) {
	drawn := map[paxos.Switches]int{}
	for seed := range uint64(2000) {
		drawn[drawSwitches(seed, 3).Switches]++
	}
	for _, s := range everyMode() {
		count := 0
		for d, n := range drawn {
			if d.Notice, d.CatchUp = 0, 0; d == s {
				count += n
			}
		}
		if safe := s.Safe(3, 0) == nil; safe != (count > 0) {
			t.Errorf("%+v: safe %t, drawn %d times of 2000", s, safe, count)
		}
	}
}
