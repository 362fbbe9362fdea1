package check

import (
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// assumeWhole wants the evidence of every node of the run, and every operation:
// what is not there cannot speak against the run.
func assumeWhole(f *facts, out *findings) {
	run, plan := f.run, f.run.Manifest.Plan
	wantNodes(run, "an applied log", slices.Sorted(maps.Keys(run.Applied)), plan.Replicas+plan.Replace, "masters", out)
	wantNodes(run, "a chunk list", slices.Sorted(maps.Keys(run.Chunks)), plan.Chunkservers, "chunkservers", out)
	wantNodes(run, "lease events", slices.Sorted(maps.Keys(run.Leases)), plan.Chunkservers, "chunkservers", out)
	for _, node := range run.Manifest.Nodes {
		_, master := run.Applied[node]
		_, chunks := run.Chunks[node]
		_, leases := run.Leases[node]
		if !master && !(chunks && leases) {
			out.unknown("node %s left neither an applied log nor both a chunk list and lease events", node)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		if _, counted := run.Counters.Applied[node]; !counted && !leftDown(run, node) {
			out.unknown("node %s did not count what it applied, so that its applied log may lack its end", node)
		}
	}
	assumeIDs(run.Ops, out)
}

// wantNodes compares those who left a kind of evidence with the plan's number and
// the manifest's names.
func wantNodes(run *rundir.Run, what string, have []string, want int, whose string, out *findings) {
	if len(have) != want {
		out.unknown("%d nodes left %s (%v); the plan has %d %s", len(have), what, have, want, whose)
	}
	for _, node := range have {
		if !slices.Contains(run.Manifest.Nodes, node) {
			out.unknown("node %s left %s, and the manifest does not name it", node, what)
		}
	}
}

// leftDown reports whether a node was down at the end: a fault on it was never
// healed, or it was removed from the cluster.
func leftDown(run *rundir.Run, node string) bool {
	return slices.Contains(run.Counters.Left, node) || slices.ContainsFunc(run.Faults, func(x rundir.Fault) bool { return x.Node == node && x.Heal < 0 })
}

// assumeIDs wants the ids from 1 on without a hole: the recorder leaves none.
func assumeIDs(ops []rundir.Op, out *findings) {
	ids := make([]int64, len(ops))
	for i := range ops {
		ids[i] = ops[i].ID
	}
	slices.Sort(ids)
	for i, id := range ids {
		if want := int64(i) + 1; id != want {
			out.unknown("operation %d is missing from the history, and perhaps others: it has %d, with ids up to %d", want, len(ids), ids[len(ids)-1])
			return
		}
	}
}
