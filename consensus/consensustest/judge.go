package consensustest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"gfslab/consensus"
)

// appliedList is what one incarnation of one node applied.
type appliedList struct {
	Node        consensus.NodeID
	Incarnation int
	Commands    []appliedCommand
}

func (l appliedList) String() string { return fmt.Sprintf("node %d (life %d)", l.Node, l.Incarnation) }

// evidence is all that a scenario leaves to be judged.
type evidence struct {
	Ops     []operation
	Applied []appliedList
	Configs []config
}

// maxFindings bounds what one judgement reports: one bug breaks many rules.
const maxFindings = 12

// judge returns the violations of the contract that the evidence proves; none
// means that no check failed.
func judge(ev evidence) []string {
	var found []string
	report := func(format string, args ...any) {
		if len(found) < maxFindings {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	log := agreedLog(ev.Applied, report)
	positions := checkOnce(log, ev.Ops, report)
	checkOutcomes(ev.Ops, positions, report)
	checkResults(ev.Ops, log, report)
	checkRealTime(ev.Ops, report)
	checkStale(ev.Ops, log, report)
	checkConfigs(ev.Configs, report)
	if len(found) == 0 {
		// The search is for what the log does not show; a history that is known
		// to be wrong may keep it busy for hours.
		checkLinearizable(ev.Ops, report)
	}
	return found
}

type reporter func(format string, args ...any)

// agreedLog returns the longest list, after checking that every other one is a
// prefix of it: all replicas apply the same commands at the same positions.
func agreedLog(lists []appliedList, report reporter) []appliedCommand {
	var longest appliedList
	for _, l := range lists {
		if len(l.Commands) > len(longest.Commands) {
			longest = l
		}
	}
	for _, l := range lists {
		for i, c := range l.Commands {
			if want := longest.Commands[i]; c != want {
				report("agreement: %v applied command %d at %+v as its number %d, %v applied command %d at %+v",
					l, c.ID, c.At, i, longest, want.ID, want.At)
				break
			}
		}
	}
	return longest.Commands
}

// checkOnce checks that each command in the log was proposed, and occurs once.
func checkOnce(log []appliedCommand, ops []operation, report reporter) map[uint64]Position {
	proposed := map[uint64]bool{}
	for _, o := range ops {
		if o.Kind == opSwap {
			proposed[o.ID] = true
		}
	}
	positions := map[uint64]Position{}
	for _, c := range log {
		if c.ID == 0 {
			continue
		}
		if first, twice := positions[c.ID]; twice {
			report("exactly once: command %d was applied at %+v and again at %+v", c.ID, first, c.At)
			continue
		}
		if !proposed[c.ID] {
			report("exactly once: command %d at %+v was never proposed", c.ID, c.At)
		}
		positions[c.ID] = c.At
	}
	return positions
}

// checkOutcomes holds what each client was told against the log.
func checkOutcomes(ops []operation, positions map[uint64]Position, report reporter) {
	for _, o := range ops {
		if o.Kind != opSwap || o.ID == 0 {
			continue
		}
		at, applied := positions[o.ID]
		switch {
		case o.Outcome == consensus.OK && !applied:
			report("lost write: command %d was acknowledged by node %d at %+v and is not in the log", o.ID, o.Node, o.At)
		case o.Outcome == consensus.OK && at != o.At:
			report("wrong result: command %d was acknowledged by node %d at %+v and applied at %+v", o.ID, o.Node, o.At, at)
		case o.Outcome == consensus.Fail && applied:
			report("false failure: node %d answered %q to command %d, which was applied at %+v", o.Node, o.Err, o.ID, at)
		}
	}
}

// checkResults replays the log and compares every answer with it.
func checkResults(ops []operation, log []appliedCommand, report reporter) {
	swaps := map[uint64]operation{}
	reads := []operation{}
	for _, o := range ops {
		switch {
		case o.Outcome != consensus.OK:
		case o.Kind == opSwap:
			swaps[o.ID] = o
		default:
			reads = append(reads, o)
		}
	}
	slices.SortFunc(reads, func(a, b operation) int { return comparePositions(a.At, b.At) })
	registers := map[uint8]uint64{}
	next := 0
	readUpTo := func(limit Position) {
		for ; next < len(reads) && reads[next].At.less(limit); next++ {
			if r := reads[next]; r.Value != registers[r.Key] {
				report("wrong read: node %d read %d from key %d at %+v, where the log has %d", r.Node, r.Value, r.Key, r.At, registers[r.Key])
			}
		}
	}
	for _, c := range log {
		readUpTo(c.At)
		if c.ID == 0 {
			continue
		}
		if o, ok := swaps[c.ID]; ok && o.Value != registers[c.Key] {
			report("wrong result: command %d displaced %d in the log, node %d answered %d", c.ID, registers[c.Key], o.Node, o.Value)
		}
		registers[c.Key] = c.ID
	}
	readUpTo(Position{Index: ^uint64(0)})
}

func comparePositions(a, b Position) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.Offset, b.Offset))
}

// checkRealTime checks that whatever was invoked after another operation had
// returned comes after it in the log, reads included. It takes the positions
// from the answers and needs no search.
func checkRealTime(ops []operation, report reporter) {
	type event struct {
		stamp int64
		op    int
	}
	var events []event
	for i, o := range ops {
		if o.Outcome == consensus.OK && o.Kind != opStale {
			events = append(events, event{o.Invoke, i}, event{o.Return, i})
		}
	}
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.stamp, b.stamp) })
	var newest Position
	var newestOp operation
	floor := map[int]operation{}
	for _, e := range events {
		o := ops[e.op]
		if e.stamp == o.Invoke {
			floor[e.op] = newestOp
			continue
		}
		f := floor[e.op]
		if f.Kind == 0 {
			// Nothing had returned before it was invoked.
		} else if o.Kind == opRead && o.At.less(f.At) {
			report("stale read: node %d read key %d at %+v after %s had returned %+v", o.Node, o.Key, o.At, f.describe(), f.At)
		} else if o.Kind == opSwap && !f.At.less(o.At) {
			report("real-time order: command %d of node %d is at %+v although %s had returned %+v before it was invoked", o.ID, o.Node, o.At, f.describe(), f.At)
		}
		if newestOp.Kind == 0 || newest.less(o.At) {
			newest, newestOp = o.At, o
		}
	}
}

func (o operation) describe() string {
	if o.Kind != opSwap {
		return fmt.Sprintf("a read on node %d", o.Node)
	}
	return fmt.Sprintf("command %d on node %d", o.ID, o.Node)
}

// registerInput and registerOutput are what porcupine sees of an operation.
type registerInput struct {
	kind opKind
	id   uint64
}

type registerOutput struct {
	value   uint64
	unknown bool
}

// registerModel is a register of ids, 0 at first, that is read and swapped.
func registerModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, output any) (bool, any) {
			in, out := input.(registerInput), output.(registerOutput)
			ok := out.unknown || out.value == state.(uint64)
			if in.kind == opRead {
				return ok, state
			}
			return ok, in.id
		},
		Equal: func(a, b any) bool { return a.(uint64) == b.(uint64) },
	}
}

// searchLimit bounds the search over all keys together.
const searchLimit = 10 * time.Second

// checkLinearizable is the second, independent verdict: it uses what clients
// saw alone, no position and no log, one register at a time.
func checkLinearizable(ops []operation, report reporter) {
	seenBy := firstSeen(ops)
	byKey := map[uint8][]porcupine.Operation{}
	for i, o := range ops {
		if o.Outcome == consensus.Fail || o.Kind == opRead && o.Outcome != consensus.OK || o.Kind == opStale {
			continue
		}
		op := porcupine.Operation{
			ClientId: i, Input: registerInput{o.Kind, o.ID}, Call: o.Invoke,
			Output: registerOutput{o.Value, o.Outcome == consensus.Unknown}, Return: o.Return,
		}
		if o.Outcome == consensus.Unknown {
			seen, ok := seenBy[o.ID]
			if !ok {
				continue
			}
			op.Return = max(seen, o.Invoke+1)
		}
		byKey[o.Key] = append(byKey[o.Key], op)
	}
	deadline := time.Now().Add(searchLimit)
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		list := byKey[key]
		switch porcupine.CheckOperationsTimeout(registerModel(), list, max(time.Millisecond, time.Until(deadline))) {
		case porcupine.Illegal:
			report("linearizability: the %d operations on key %d have no legal order", len(list), key)
		case porcupine.Unknown:
			report("linearizability: no verdict on the %d operations on key %d within %v", len(list), key, searchLimit)
		}
	}
}

// firstSeen tells of each id when the first operation that saw it returned. Ids
// are unique, so this settles unknown writes exactly: one that was seen took
// effect before that moment; one that nobody saw may as well have taken effect
// at the very end, or before another unseen one, and constrains nothing.
func firstSeen(ops []operation) map[uint64]int64 {
	seen := map[uint64]int64{}
	for _, o := range ops {
		if o.Outcome != consensus.OK {
			continue
		}
		if at, ok := seen[o.Value]; !ok || o.Return < at {
			seen[o.Value] = o.Return
		}
	}
	return seen
}
