package consensus

import "fmt"

// Switches lead our own core step by step from Multi-Paxos to Raft. The zero
// value is Multi-Paxos. Backends other than multipaxos refuse any other. Which
// combinations are safe, the core decides when it is opened.
type Switches struct {
	// Eligibility: "any" (or "") node that a quorum promises may lead, or only an
	// "up-to-date" one, by (ballot, slot) of the last entry of its gap-free prefix.
	Eligibility string
	// Number: "partitioned" (or "") ballots belong to one node each; "vote" gives
	// each node one vote a term; then the members do not change.
	Number string
	// OldSlots: "re-propose" (or "") at the new ballot, or "keep" their term.
	OldSlots string
	// Acceptance: in "any" (or "") order, or "contiguous".
	Acceptance string
	// Notice of what is chosen: "idle" (or "": with the next Accept, or at once when
	// nothing is in flight), "eager" (at once, always), "piggyback" (Accepts and
	// heartbeats), "heartbeat" (heartbeats only).
	Notice string
	// CatchUp from "any" (or "") peer, or from the "leader" only.
	CatchUp string
}

// OwnCoreOnly returns an error that names the first field which only our own core
// implements and l sets; the other backends refuse it.
func (l Limits) OwnCoreOnly() error {
	s := l.Switches
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"switches.eligibility", s.Eligibility != "" && s.Eligibility != "any"},
		{"switches.number", s.Number != "" && s.Number != "partitioned"},
		{"switches.old_slots", s.OldSlots != "" && s.OldSlots != "re-propose"},
		{"switches.acceptance", s.Acceptance != "" && s.Acceptance != "any"},
		{"switches.notice", s.Notice != "" && s.Notice != "idle"},
		{"switches.catch_up", s.CatchUp != "" && s.CatchUp != "any"},
		{"phase1_quorum", l.Phase1Quorum != 0},
		{"phase2_quorum", l.Phase2Quorum != 0},
	} {
		if f.set {
			return fmt.Errorf("consensus: %s is set; only multipaxos has it", f.name)
		}
	}
	return nil
}

// RaftMode is the far end of the switches that make a protocol of its own.
func RaftMode() Switches {
	return Switches{Eligibility: "up-to-date", Number: "vote", OldSlots: "keep", Acceptance: "contiguous", CatchUp: "leader"}
}
