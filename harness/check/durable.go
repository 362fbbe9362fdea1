package check

import (
	"context"
	"maps"
	"slices"

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
			switch {
			case op.Reply.Index <= log.end || log == longest:
				log.hold(f.agreed(), op, out)
			case !leftDown(f.run, log.node):
				log.lacks[op] = true
			}
		}
		if furthest == nil || compareReplies(op, furthest) > 0 {
			furthest = op
		}
	}
	for _, log := range finals {
		if n := len(log.lacks); n > 0 {
			out.unknown("the final log of node %s ends at index %d, before %d acknowledged mutations: the nodes had not come to rest", log.node, log.end, n)
		}
	}
	out.stat("nodes", len(finals))
	if out.stats["acknowledged"] == 0 {
		out.unknown("no mutation of the master was acknowledged")
	}
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
	// inc is the incarnation; nil for a node that applied nothing.
	inc *incarnation
	// lacks are acknowledged mutations beyond its end.
	lacks map[*rundir.Op]bool
}

func finalLogs(run *rundir.Run) (logs []*finalLog, longest *finalLog) {
	for _, inc := range incarnations(run) {
		if !inc.last {
			continue
		}
		log := newFinalLog(inc.node, inc.end())
		log.inc = inc
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
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		if len(run.Applied[node]) > 0 {
			continue
		}
		log := newFinalLog(node, 0) // the node was there, and had applied nothing
		logs = append(logs, log)
		if longest == nil {
			longest = log
		}
	}
	return logs, longest
}

func newFinalLog(node string, end uint64) *finalLog {
	return &finalLog{node: node, end: end, lines: map[position]*rundir.Applied{}, lacks: map[*rundir.Op]bool{}}
}

func (log *finalLog) hold(l *agreedLog, op *rundir.Op, out *findings) {
	at := position{op.Reply.Index, op.Reply.Offset}
	line := log.lines[at]
	if line == nil && log.inc != nil && log.inc.covers(at.index) {
		line, _ = l.command(at) // its state is that of the agreed log: logs-agree holds it to that
	}
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
		if op.Phase != rundir.PhaseFinal || !positioned(op) || !looks(op) && !looksBack(op) {
			continue
		}
		out.stat("final reads", 1)
		if furthest != nil && op.Start > furthest.End && op.Reply.Index < furthest.Reply.Index {
			out.invalid(op, "a final read on node %s saw the state at index %d; %s was acknowledged at index %d offset %d",
				op.Reply.Node, op.Reply.Index, describe(furthest), furthest.Reply.Index, furthest.Reply.Offset)
		}
	}
	if out.stats["final reads"] == 0 {
		out.unknown("there was no final read")
	}
}
