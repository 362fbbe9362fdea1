package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// checkLinearizable judges the clients' history alone, component by component; very
// large ones piece by piece.
func checkLinearizable(ctx context.Context, f *facts, out *findings) {
	parts := f.partitions()
	out.stat("components", len(parts))
	var worst *rundir.Op
	for i := range parts {
		out.stat("operations", len(parts[i].ops))
		for _, p := range f.cutDown(&parts[i], out) {
			if op := judgeComponent(ctx, f, &p, worst, out); op != nil {
				worst = op
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
	if n := out.counts[rundir.Invalid]; n > 0 {
		out.stat("components not linearizable", n)
	}
	if out.stats["operations"] == 0 {
		out.unknown("the history has no operation on the master")
	}
}

// cutDown is the component itself, or its pieces if it would take too much memory.
func (f *facts) cutDown(p *partition, out *findings) []partition {
	cost, why := p.cost(), "it is no namespace"
	if cost <= f.bounds.whole {
		return []partition{*p}
	}
	if p.names != nil {
		var pieces []partition
		var apart int
		if pieces, apart, why = p.pieces(f.bounds); pieces != nil {
			out.stat("components in pieces", 1)
			out.stat("pieces", len(pieces))
			out.stat("listings taken apart", apart)
			return slices.DeleteFunc(pieces, func(p partition) bool { return f.tooLarge(&p, "it is a piece already", out) })
		}
	}
	if f.tooLarge(p, why, out) {
		return nil
	}
	return []partition{*p}
}

// tooLarge reports whether a component takes more memory than there may be, which
// leaves its verdict open.
func (f *facts) tooLarge(p *partition, why string, out *findings) bool {
	cost := p.cost()
	if cost > f.bounds.most {
		out.unknown("component %q with %d operations was not judged: that takes %d MiB, the bound is %d MiB, and it cannot be cut: %s", p.key, len(p.ops), cost>>20, f.bounds.most>>20, why)
	}
	return cost > f.bounds.most
}

// judgeComponent returns the first bad operation if there is one before the worst so
// far, which has its page then.
func judgeComponent(ctx context.Context, f *facts, p *partition, worst *rundir.Op, out *findings) *rundir.Op {
	switch p.verdict(ctx, p.ops, completedAll) {
	case porcupine.Unknown:
		out.unknown("component %q with %d operations was not decided in time", p.key, len(p.ops))
	case porcupine.Illegal:
		op, ops := p.firstBad(ctx)
		if op == nil {
			out.invalid(nil, "component %q is not linearizable; its first bad operation was not found in time", p.key)
			return nil
		}
		out.invalid(op, "component %q is not linearizable from its completion on: %s at index %d offset %d", p.key, p.model.DescribeOperation(op, op.Reply), op.Reply.Index, op.Reply.Offset)
		if worst == nil || op.Start < worst.Start {
			out.files = p.writePage(ctx, f.run.Dir, ops, op, out.files)
			return op
		}
	}
	return nil
}

func completedAll(*rundir.Op) bool { return true }

// verdict asks porcupine about some operations of the component.
func (p *partition) verdict(ctx context.Context, ops []*rundir.Op, completed func(*rundir.Op) bool) porcupine.CheckResult {
	history := p.porcupineOps(ops, completed)
	if len(history) == 0 {
		return porcupine.Ok
	}
	if len(history) == 1 { // most of a create storm: files that one client made
		if legal, _ := p.model.Step(p.model.Init(), history[0].Input, history[0].Output); !legal {
			return porcupine.Illegal
		}
		return porcupine.Ok
	}
	left, ok := timeLeft(ctx)
	if !ok {
		return porcupine.Unknown
	}
	if p.decide != nil {
		return p.decide(history)
	}
	return porcupine.CheckOperationsTimeout(p.model, history, left)
}

// timeLeft is the time until ctx ends; ok is false when it is over. Without a
// deadline it is 0, porcupine's "for ever".
func timeLeft(ctx context.Context) (left time.Duration, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return 0, true
	}
	left = time.Until(deadline)
	return left, left > 0
}

// firstBad finds the operation with whose completion the component stops being
// linearizable, and the operations invoked until then. It relies on this: what is
// linearizable was so at every moment before, with what had not completed yet
// taken as open.
func (p *partition) firstBad(ctx context.Context) (*rundir.Op, []*rundir.Op) {
	var ended []*rundir.Op
	for _, op := range p.ops {
		if ok(op) {
			ended = append(ended, op)
		}
	}
	slices.SortStableFunc(ended, func(a, b *rundir.Op) int { return compareInt(a.End, b.End) })
	undecided := false
	k := sort.Search(len(ended), func(k int) bool {
		v := p.verdict(ctx, p.until(ended[k].End), completedBy(ended[k].End))
		undecided = undecided || v == porcupine.Unknown
		return v == porcupine.Illegal
	})
	if undecided || k == len(ended) {
		return nil, nil
	}
	return ended[k], p.until(ended[k].End)
}

// until lists the operations invoked no later than t.
func (p *partition) until(t int64) []*rundir.Op {
	n := sort.Search(len(p.ops), func(i int) bool { return p.ops[i].Start > t })
	return p.ops[:n]
}

func completedBy(t int64) func(*rundir.Op) bool {
	return func(op *rundir.Op) bool { return op.End <= t }
}

// maxDrawing bounds porcupine's search for what it draws of a component that was
// decided without it: it may never end. The page shows what was found until then.
const maxDrawing = 5 * time.Second

// writePage writes porcupine's page of the component up to its first bad
// operation, in place of the page that was written before.
func (p *partition) writePage(ctx context.Context, dir string, ops []*rundir.Op, bad *rundir.Op, before []string) []string {
	if dir == "" {
		return before
	}
	left, inTime := timeLeft(ctx)
	if !inTime {
		return before
	}
	if p.decide != nil && (left == 0 || left > maxDrawing) {
		left = maxDrawing
	}
	name := "linearizability-" + strings.Map(fileRune, strings.Trim(p.key, "/")) + ".html"
	for _, old := range before {
		if err := os.Remove(filepath.Join(dir, old)); err != nil {
			return before
		}
	}
	_, info := porcupine.CheckOperationsVerbose(p.model, p.porcupineOps(ops, completedBy(bad.End)), left)
	info.AddAnnotations([]porcupine.Annotation{{
		Tag: "first bad operation", Start: bad.Start, End: bad.End, Description: p.model.DescribeOperation(bad, bad.Reply),
	}})
	if err := porcupine.VisualizePath(p.model, info, filepath.Join(dir, name)); err != nil {
		return nil
	}
	return []string{name}
}

// fileRune keeps what can stand in any file name.
func fileRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
		return r
	}
	return '-'
}
