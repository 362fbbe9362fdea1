package check

import (
	"context"
	"strings"

	"gfslab/consensus"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// What a run must have had for its verdict to mean anything.
const (
	minReadPercent  = 20  // linearizable reads of what others change
	minOverlaps     = 100 // pairs of operations that overlapped in one component
	minAroundFaults = 50  // operations that succeeded before and after each fault
)

// checkAssumptions asks whether the run could have shown a violation at all.
func checkAssumptions(_ context.Context, f *facts, out *findings) {
	assumeWhole(f, out)
	ops := make([]*rundir.Op, 0, len(f.ops))
	for _, op := range f.ops {
		if op.Phase == rundir.PhaseRun || op.Phase == rundir.PhaseWarmUp {
			ops = append(ops, op)
		}
	}
	out.stat("operations", len(ops))
	if len(ops) == 0 {
		out.unknown("the run has no operations")
		return
	}
	promised, known := workloads.Find(f.run.Manifest.Plan.Workload)
	if !known {
		promised.Reads, promised.Meets = minReadPercent, true
	}
	assumeReads(f, len(ops), promised.Reads, out)
	assumeOverlap(f, promised.Meets, out)
	if plan := f.run.Manifest.Plan.Fault; plan != "" && plan != "none" && len(f.run.Faults) == 0 {
		out.void("the plan asks for the fault %s, and none was injected", plan)
	}
	for i := range f.run.Faults {
		assumeInjected(&f.run.Faults[i], f.run.Manifest.Plan.Fault, out)
		assumeFault(f, &f.run.Faults[i], ops, out)
	}
}

// assumeReads wants enough linearizable reads by clients other than those who
// change what is read: as many, in percent, as the workload promises. A profile of
// nothing but writes has its power in the log and in the final reads.
func assumeReads(f *facts, total, want int, out *findings) {
	counted := map[int64]bool{}
	for _, p := range f.partitions() {
		for _, op := range p.ops {
			inLoad := op.Phase == rundir.PhaseRun || op.Phase == rundir.PhaseWarmUp
			others := len(p.changers) > 1 || len(p.changers) == 1 && !p.changers[op.Thread]
			if inLoad && f.telling(op) && ok(op) && others {
				counted[op.ID] = true
			}
		}
	}
	for _, op := range f.ops { // in no partition: they promise a prefix only
		inLoad := op.Phase == rundir.PhaseRun || op.Phase == rundir.PhaseWarmUp
		if inLoad && looksBack(op) && f.telling(op) && ok(op) {
			counted[op.ID] = true
		}
	}
	out.stat("reads by others", len(counted))
	if percent := 100 * float64(len(counted)) / float64(total); percent < float64(want) {
		out.unknown("%.1f %% of the operations are linearizable reads by other clients; at least %d %% are needed", percent, want)
	}
}

// telling reports whether an operation is a read in the run's read mode.
func (f *facts) telling(op *rundir.Op) bool {
	if f.run.Manifest.Plan.Limits.ReadMode == string(consensus.ReadStale) {
		return looksBack(op)
	}
	return looks(op)
}

// assumeOverlap wants enough concurrency in one component, if the workload has its
// clients meet there.
func assumeOverlap(f *facts, meets bool, out *findings) {
	best, key, sum := 0, "", 0
	parts := f.partitions()
	for i := range parts {
		n := parts[i].overlaps()
		sum += n
		if n > best {
			best, key = n, parts[i].key
		}
	}
	out.stat("overlapping pairs", sum)
	out.stat("overlapping pairs in the best component", best)
	if meets && best < minOverlaps {
		out.unknown("at most %d pairs of operations overlapped in one component (%q); at least %d are needed", best, key, minOverlaps)
	}
}

// assumeInjected wants the fault that was planned, and that it was felt.
func assumeInjected(fault *rundir.Fault, planned string, out *findings) {
	switch {
	case fault.Name != planned:
		out.void("the plan asks for the fault %s, and %s was injected on node %s", planned, fault.Name, fault.Node)
	case !fault.Observed:
		out.void("the fault %s on node %s was not observed", fault.Name, fault.Node)
	case len(fault.Evidence) == 0:
		out.void("the fault %s on node %s is said to have been observed, without evidence", fault.Name, fault.Node)
	case fault.Heal >= 0 && fault.Heal < fault.Inject:
		out.void("the fault %s on node %s was healed at %d ns, before it was injected at %d ns", fault.Name, fault.Node, fault.Heal, fault.Inject)
	}
}

// assumeFault wants operations around a fault, and reads at the
// leader that it deposed.
func assumeFault(f *facts, fault *rundir.Fault, ops []*rundir.Op, out *findings) {
	over, known := overBy(fault)
	before, after, atDeposed := 0, 0, 0
	for _, op := range ops {
		switch {
		case ok(op) && op.End < fault.Inject:
			before++
		case ok(op) && known && op.Start > over:
			after++
		}
		if f.telling(op) && triedAt(op, fault) {
			atDeposed++
		}
	}
	out.stat("ok before faults", before)
	out.stat("ok after faults", after)
	if before < minAroundFaults {
		out.unknown("%d operations succeeded before the fault %s on node %s; at least %d are needed", before, fault.Name, fault.Node, minAroundFaults)
	}
	if after < minAroundFaults {
		out.unknown("%d operations invoked after the fault %s on node %s was over succeeded; at least %d are needed", after, fault.Name, fault.Node, minAroundFaults)
	}
	if fault.Elected != 0 && !strings.HasPrefix(fault.Name, "crash") && fault.Name != "power-loss" {
		out.stat("reads tried at deposed leaders", atDeposed)
		if w, known := workloads.Find(f.run.Manifest.Plan.Workload); atDeposed == 0 && (!known || w.Reads > 0) {
			out.unknown("no read was tried at node %s after the fault %s had deposed it", fault.Node, fault.Name)
		}
	}
}

// overBy is when the service could be expected back: the new leader or the heal,
// whichever came first.
func overBy(fault *rundir.Fault) (at int64, known bool) {
	if fault.Elected != 0 {
		at, known = fault.Elected, true
	}
	if fault.Heal >= 0 && (!known || fault.Heal < at) {
		at, known = fault.Heal, true
	}
	return at, known
}

// triedAt reports whether an operation was sent to the fault's victim while the
// fault lasted.
func triedAt(op *rundir.Op, fault *rundir.Fault) bool {
	for _, a := range op.Attempts {
		if a.Node == fault.Node && a.Start >= fault.Inject && (fault.Heal < 0 || a.Start <= fault.Heal) {
			return true
		}
	}
	return false
}
