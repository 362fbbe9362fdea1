package check

import (
	"context"
	"slices"

	"gfslab/results/rundir"
)

// checkLeaders holds the terms that replies tell to each other: one leader a term,
// and none that answers before it has all that earlier ones acknowledged.
func checkLeaders(_ context.Context, f *facts, out *findings) {
	leader := map[uint64]*rundir.Op{}
	var told []*rundir.Op
	for _, op := range f.ops {
		if !positioned(op) || looksBack(op) || op.Reply.Term == 0 {
			continue
		}
		told = append(told, op)
		if before := leader[op.Reply.Term]; before == nil {
			leader[op.Reply.Term] = op
		} else if before.Reply.Node != op.Reply.Node {
			out.invalid(op, "node %s answered as leader of term %d at index %d offset %d, and node %s did for %s",
				op.Reply.Node, op.Reply.Term, op.Reply.Index, op.Reply.Offset, before.Reply.Node, describe(before))
		}
	}
	out.stat("terms", len(leader))
	out.stat("replies", len(told))
	slices.SortStableFunc(told, func(a, b *rundir.Op) int { return compareInt(int64(a.Reply.Term), int64(b.Reply.Term)) })
	l := f.agreed()
	var furthest, pending *rundir.Op // of the terms before; of this term
	for i, op := range told {
		if i > 0 && told[i-1].Reply.Term != op.Reply.Term && pending != nil {
			if furthest == nil || sees(l, pending).compare(sees(l, furthest)) > 0 {
				furthest = pending
			}
			pending = nil
		}
		if mutates(op.Kind) && (pending == nil || sees(l, op).compare(sees(l, pending)) > 0) {
			pending = op
		}
		if furthest != nil && sees(l, op).compare(sees(l, furthest)) < 0 && !mutates(op.Kind) {
			out.invalid(op, "node %s answered in term %d from index %d offset %d, before it had what node %s acknowledged in term %d at index %d offset %d: %s",
				op.Reply.Node, op.Reply.Term, op.Reply.Index, op.Reply.Offset, furthest.Reply.Node, furthest.Reply.Term, furthest.Reply.Index, furthest.Reply.Offset, describe(furthest))
		}
	}
}
