package nemesis

import (
	"fmt"

	"gfslab/consensus"
	"gfslab/results/rundir"
)

// Seen is one protocol event of one node, on the run's clock (nanoseconds).
type Seen struct {
	At    int64
	Node  string
	Event consensus.Event
}

// Before is what was true just before an injection.
type Before struct {
	Leader string
	Term   uint64
}

// Felt counts the effects of a fault.
type Felt struct {
	Count  uint64
	Effect string // what was counted
}

// OnNetwork is what a fault of nodes or links is felt by.
const OnNetwork = "reads, writes, dials or connections met the fault"

// Explain fills in what a fault did, from the events that followed it: when it
// was detected, when another leader came and committed, and by what the fault
// was observed. felt counts its effects, lag is how many entries the victim was
// behind at the heal.
func Explain(f *rundir.Fault, before Before, events []Seen, felt Felt, lag uint64) {
	end := f.Heal
	for _, e := range events {
		if e.At < f.Inject {
			continue
		}
		switch e.Event.Kind {
		case consensus.EventCampaign:
			// A victim that campaigns has not detected itself.
			if f.Detected == 0 && e.Node != f.Node {
				f.Detected = e.At
			}
		case consensus.EventLeader:
			if f.Elected == 0 && e.Event.Term > before.Term {
				f.Elected = e.At
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s leads term %d; before the fault %s led term %d", e.Node, e.Event.Term, before.Leader, before.Term))
			}
		case consensus.EventCommit:
			if f.Committed == 0 && f.Elected != 0 && e.Event.Term > before.Term {
				f.Committed = e.At
			}
		case consensus.EventStepDown:
			if e.Node == f.Node && (end < 0 || e.At <= end) {
				f.Evidence = append(f.Evidence, fmt.Sprintf("%s stepped down from term %d", e.Node, e.Event.Term))
			}
		}
	}
	if felt.Count > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d %s", felt.Count, felt.Effect))
	}
	if lag > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s was %d entries behind when the fault was healed", f.Node, lag))
	}
	// A new leader that came only after the heal does not prove that the fault
	// itself was felt.
	f.Observed = felt.Count > 0 || lag > 0 || f.Elected != 0 && (end < 0 || f.Elected <= end)
}
