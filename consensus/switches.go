package consensus

// Switches lead our own core step by step from Multi-Paxos to Raft. The zero
// value is Multi-Paxos. Backends other than multipaxos refuse any other. Which
// combinations are safe, the core decides when it is opened.
type Switches struct {
	// Eligibility: "any" (or "") node that a quorum promises may lead, or only an
	// "up-to-date" one, by (ballot, slot) of the last entry of its gap-free prefix.
	Eligibility string
	// Number: "partitioned" (or "") ballots belong to one node each; "vote" gives
	// each node one vote a term.
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

// RaftMode is the far end of the switches that make a protocol of its own.
func RaftMode() Switches {
	return Switches{Eligibility: "up-to-date", Number: "vote", OldSlots: "keep", Acceptance: "contiguous", CatchUp: "leader"}
}
