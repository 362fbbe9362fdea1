package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"gfslab/kv/store"
	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// around is the number of log entries shown on each side of the first bad
// operation.
const around = 20

// writeCounterexample leaves counterexample.txt in the run directory and names it
// in every invalid check.
func writeCounterexample(f *facts, checks []rundir.CheckResult) {
	text := counterexample(f, checks)
	if err := os.WriteFile(filepath.Join(f.run.Dir, rundir.CounterexampleFile), []byte(text), 0o644); err != nil {
		for i := range checks {
			if checks[i].Verdict == rundir.Invalid {
				checks[i].Details = append(checks[i].Details, fmt.Sprintf("the counterexample could not be written: %v", err))
			}
		}
		return
	}
	for i := range checks {
		if checks[i].Verdict == rundir.Invalid {
			checks[i].Files = append(checks[i].Files, rundir.CounterexampleFile)
		}
	}
}

// removeOldFindings takes away what an earlier judgement left: it would stand
// beside a verdict that it does not belong to.
func removeOldFindings(dir string) {
	if dir == "" {
		return
	}
	pages, _ := filepath.Glob(filepath.Join(dir, "linearizability-*.html")) // the pattern is right
	for _, old := range append(pages, filepath.Join(dir, rundir.CounterexampleFile)) {
		// One that cannot be removed, as from a read-only copy, is not named by
		// the new verdict.
		_ = os.Remove(old)
	}
}

func counterexample(f *facts, checks []rundir.CheckResult) string {
	var b strings.Builder
	m := f.run.Manifest
	fmt.Fprintf(&b, "Run %s is invalid: %s, workload %s, fault %s, seed %d.\n", m.ID, m.Plan.Backend, m.Plan.Workload, m.Plan.Fault, m.Plan.Seed)
	first := firstBadOp(f, checks)
	for _, c := range checks {
		if c.Verdict != rundir.Invalid {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", c.Name)
		for _, d := range c.Details {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	if first != nil {
		fmt.Fprintf(&b, "\nFirst bad operation\n  %s\n  invoked at %s, completed at %s, outcome %s\n",
			describe(first), milliseconds(first.Start), milliseconds(first.End), first.Outcome)
		if first.Reply != nil {
			fmt.Fprintf(&b, "  answered %s at index %d offset %d\n", describeStep(first, first.Reply), first.Reply.Index, first.Reply.Offset)
		}
		for _, a := range first.Attempts {
			fmt.Fprintf(&b, "  tried node %s from %s to %s %s\n", a.Node, milliseconds(a.Start), milliseconds(a.End), a.Error)
		}
	}
	writeLog(&b, f, first)
	writeFaults(&b, f.run.Faults)
	fmt.Fprintf(&b, "\nReplay\n%s\n", m.Command)
	return b.String()
}

// firstBadOp is the earliest of the checkers' first bad operations.
func firstBadOp(f *facts, checks []rundir.CheckResult) *rundir.Op {
	bad := map[int64]bool{}
	for _, c := range checks {
		if c.Verdict == rundir.Invalid && c.FirstBadOp >= 0 {
			bad[c.FirstBadOp] = true
		}
	}
	for _, op := range f.ops { // in order of invocation
		if bad[op.ID] {
			return op
		}
	}
	return nil
}

// writeLog shows the agreed log around the operation, or its end.
func writeLog(b *strings.Builder, f *facts, op *rundir.Op) {
	l := f.agreed()
	if len(l.entries) == 0 {
		return
	}
	middle := len(l.entries) - 1
	if op != nil {
		index := uint64(0)
		if op.Reply != nil {
			index = op.Reply.Index
		}
		if c := f.ledger().commands[session{op.Client, op.Seq}]; c != nil && op.Seq != 0 {
			index = c.at.index
		}
		if index != 0 {
			for middle > 0 && l.entries[middle].index > index {
				middle--
			}
		}
	}
	from, to := max(0, middle-around), min(len(l.entries), middle+around+1)
	fmt.Fprintf(b, "\nAgreed log, indexes %d to %d\n", l.entries[from].index, l.entries[to-1].index)
	for i, e := range l.entries[from:to] {
		mark := " "
		if from+i == middle {
			mark = ">"
		}
		for j := range e.lines {
			line := &e.lines[j]
			text, answer := describeLine(f, line)
			fmt.Fprintf(b, "%s %d.%d term %d at %s: %s → %s\n", mark, line.Index, line.Offset, line.Term, milliseconds(line.At), text, answer)
		}
	}
}

// describeLine writes a command of the log, and its answer.
func describeLine(f *facts, line *rundir.Applied) (text, answer string) {
	text, answer = "no command", "no reply"
	if f.isKV() {
		if cmd, err := store.ParseCommand(line.Command); err == nil {
			text = fmt.Sprintf("operation %d key %q value %q expect %q absent %v by %s seq %d", cmd.Op, cmd.Key, cmd.Value, cmd.Expect, cmd.Absent, cmd.Client, cmd.Seq)
		}
		if reply, err := store.ParseReply(line.Reply); err == nil {
			answer = describeKV(reply)
		}
		return text, answer
	}
	var cmd metapb.Command
	if proto.Unmarshal(line.Command, &cmd) == nil {
		text = cmd.String()
	}
	if reply, err := decodeReply(line); err == nil {
		answer = codeName(reply.GetCode())
	}
	return text, answer
}

func writeFaults(b *strings.Builder, faults []rundir.Fault) {
	b.WriteString("\nFaults\n")
	if len(faults) == 0 {
		b.WriteString("  none\n")
	}
	for _, x := range faults {
		fmt.Fprintf(b, "  %s on node %s %v: injected %s, detected %s, new leader %s, its first commit %s, healed %s\n",
			x.Name, x.Node, x.Args, milliseconds(x.Inject), orNever(x.Detected), orNever(x.Elected), orNever(x.Committed), milliseconds(x.Heal))
		for _, e := range x.Evidence {
			fmt.Fprintf(b, "    %s\n", e)
		}
	}
}

func orNever(ns int64) string {
	if ns == 0 {
		return "never"
	}
	return milliseconds(ns)
}

// milliseconds writes a time of the run.
func milliseconds(ns int64) string {
	if ns < 0 {
		return "never"
	}
	return fmt.Sprintf("%.3f ms", float64(ns)/1e6)
}
