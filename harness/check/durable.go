package check

import (
	"context"

	"gfslab/results/rundir"
)

// checkDurable looks for every acknowledged mutation in the final log of every
// node, up to where that node had come, and in the longest one in any case. Final
// reads must have come after all of them.
func checkDurable(ctx context.Context, f *facts, out *findings) {
	finals, longest := finalLogs(f.run)
	if longest == nil {
		out.unknown("no node left an applied log")
		return
	}
	var furthest *rundir.Op
	for _, op := range f.ops {
		if ctx.Err() != nil {
			return
		}
		if !mutates(op.Kind) || !positioned(op) {
			continue
		}
		out.stat("acknowledged", 1)
		for _, log := range finals {
			if op.Reply.Index <= log.end || log == longest {
				log.hold(op, out)
			}
		}
		if furthest == nil || compareReplies(op, furthest) > 0 {
			furthest = op
		}
	}
	out.stat("nodes", len(finals))
	checkFinalReads(f, furthest, out)
}

func compareReplies(a, b *rundir.Op) int {
	return position{a.Reply.Index, a.Reply.Offset}.compare(position{b.Reply.Index, b.Reply.Offset})
}

// finalLog is what a node had applied at the end.
type finalLog struct {
	node  string
	lines map[position]*rundir.Applied
	end   uint64
}

func finalLogs(run *rundir.Run) (logs []*finalLog, longest *finalLog) {
	for _, inc := range incarnations(run) {
		if !inc.last {
			continue
		}
		log := &finalLog{node: inc.node, lines: map[position]*rundir.Applied{}, end: inc.end()}
		for _, e := range inc.entries {
			for i := range e.lines {
				log.lines[position{e.index, e.lines[i].Offset}] = &e.lines[i]
			}
		}
		logs = append(logs, log)
		if longest == nil || log.end > longest.end {
			longest = log
		}
	}
	return logs, longest
}

func (log *finalLog) hold(op *rundir.Op, out *findings) {
	at := position{op.Reply.Index, op.Reply.Offset}
	line := log.lines[at]
	switch {
	case line == nil:
		out.invalid(op, "acknowledged at index %d offset %d, and not in the final log of node %s, which ends at index %d", at.index, at.offset, log.node, log.end)
	case line.Client != op.Client || line.Seq != op.Seq:
		out.invalid(op, "acknowledged at index %d offset %d, where the final log of node %s has a command of client %q seq %d", at.index, at.offset, log.node, line.Client, line.Seq)
	}
}

// checkFinalReads holds the reads made after the load had ended to the furthest
// acknowledged mutation.
func checkFinalReads(f *facts, furthest *rundir.Op, out *findings) {
	for _, op := range f.ops {
		if op.Phase != rundir.PhaseFinal || !positioned(op) || !looks(op.Kind) {
			continue
		}
		out.stat("final reads", 1)
		if furthest != nil && op.Start > furthest.End && op.Reply.Index < furthest.Reply.Index {
			out.invalid(op, "a final read on node %s saw the state at index %d; %s was acknowledged at index %d offset %d",
				op.Reply.Node, op.Reply.Index, describe(furthest), furthest.Reply.Index, furthest.Reply.Offset)
		}
	}
}
