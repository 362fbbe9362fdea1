package consensustest

import (
	"reflect"

	"gfslab/consensus"
)

// config is a configuration that one incarnation has announced.
type config struct {
	Node        consensus.NodeID
	Incarnation int
	Members     consensus.Members
}

// checkConfigs checks that the entry at one index made the same configuration
// everywhere, that each replica's follow each other, and that no identity came
// back after it had left.
func checkConfigs(configs []config, report reporter) {
	made := map[uint64]config{}
	last := map[consensus.NodeID]config{}
	for _, c := range configs {
		first, seen := made[c.Members.Index]
		if !seen {
			made[c.Members.Index] = c
		} else if !sameMembers(first.Members, c.Members) {
			report("membership: at index %d node %d is in %+v, node %d in %+v", c.Members.Index, first.Node, first.Members, c.Node, c.Members)
		}
		before, ok := last[c.Node]
		last[c.Node] = c
		switch {
		case !ok || before.Incarnation != c.Incarnation:
		case c.Members.Index < before.Members.Index || c.Members.MaxID < before.Members.MaxID:
			report("membership: node %d (life %d) goes back from %+v to %+v", c.Node, c.Incarnation, before.Members, c.Members)
		default:
			for _, p := range c.Members.All() {
				if p.ID <= before.Members.MaxID && !before.Members.IsMember(p.ID) && c.Members.Index != before.Members.Index {
					report("membership: node %d (life %d) takes identity %d in again, from %+v to %+v", c.Node, c.Incarnation, p.ID, before.Members, c.Members)
				}
			}
		}
	}
}

func sameMembers(a, b consensus.Members) bool {
	same := func(x, y []consensus.Peer) bool { return len(x) == 0 && len(y) == 0 || reflect.DeepEqual(x, y) }
	return a.Index == b.Index && a.MaxID == b.MaxID &&
		same(a.Voters, b.Voters) && same(a.Learners, b.Learners) && same(a.Outgoing, b.Outgoing)
}

// checkStale holds reads that promise a prefix of the log to that promise: not
// before what their client had seen, and not from the future. (That the value is
// the log's at their position, checkResults has seen.)
func checkStale(ops []operation, log []appliedCommand, report reporter) {
	at, invoked := map[Position]uint64{}, map[uint64]int64{}
	for _, c := range log {
		at[c.At] = c.ID
	}
	for _, o := range ops {
		if o.Kind == opSwap {
			invoked[o.ID] = o.Invoke
		}
	}
	for _, o := range ops {
		if o.Kind != opStale || o.Outcome != consensus.OK {
			continue
		}
		if o.At.less(o.Pin) {
			report("session order: node %d served a client that had seen %+v from a state at %+v", o.Node, o.Pin, o.At)
		}
		if id, ok := at[o.At]; o.At != (Position{}) && (!ok || invoked[id] > o.Return) {
			report("read from the future: node %d served a state at %+v, which is not in the log or was proposed later", o.Node, o.At)
		}
	}
}
