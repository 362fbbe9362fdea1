package check

import (
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// checkLeft holds what the chunkservers have at the end to the log: good bytes on
// the current replicas, as many of these as the goal says, and nothing else, the
// last two where the run waited for it.
func checkLeft(f *facts, out *findings) {
	book := f.replay().book
	on := map[uint64]map[string]*rundir.Chunk{} // by chunk and node: what is left, the worst of it
	for _, node := range slices.Sorted(maps.Keys(f.run.Chunks)) {
		for i := range f.run.Chunks[node] {
			c := &f.run.Chunks[node][i]
			if on[c.Handle] == nil {
				on[c.Handle] = map[string]*rundir.Chunk{}
			}
			if x := on[c.Handle][node]; x == nil || c.Corrupt && !x.Corrupt {
				on[c.Handle][node] = c
			}
		}
	}
	for _, handle := range slices.Sorted(maps.Keys(on)) {
		for _, node := range slices.Sorted(maps.Keys(on[handle])) {
			judgeLeft(f, book.live(handle), handle, node, on[handle][node], out)
		}
	}
	if slices.Contains(f.run.Counters.Waited, rundir.WaitedReplicas) {
		checkGoals(f, out)
	}
}

func judgeLeft(f *facts, c *chunkFacts, handle uint64, node string, left *rundir.Chunk, out *findings) {
	switch member := c != nil && slices.Contains(c.members, node); {
	case member && left.Corrupt && (!damaged(f, node) || slices.Contains(f.run.Counters.Waited, rundir.WaitedReplicas)):
		out.invalid(nil, "node %s, a current replica, has bytes in chunk %d at offset %d that do not match their checksum", node, handle, left.Offset)
	case c == nil && slices.Contains(f.run.Counters.Waited, rundir.WaitedGarbage):
		out.invalid(nil, "node %s still has chunk %d version %d, which no file has, after the run had waited for garbage to be collected", node, handle, left.Version)
	case c != nil && !member && slices.Contains(f.run.Counters.Waited, rundir.WaitedGarbage) && len(c.members) > 0:
		out.invalid(nil, "node %s still has chunk %d version %d; the current replicas are %v at version %d, and the run had waited for garbage to be collected",
			node, handle, left.Version, c.members, c.version)
	}
	out.stat("replicas left", 1)
}

// damaged reports whether a fault flipped bits on a node's disk.
func damaged(f *facts, node string) bool {
	return slices.ContainsFunc(f.run.Faults, func(x rundir.Fault) bool {
		return x.Name == faultBitRot && (x.Node == node || slices.Contains(x.Nodes, node))
	})
}

const faultBitRot = "bit-rot"

// checkGoals wants as many current replicas of each chunk as its goal says.
func checkGoals(f *facts, out *findings) {
	plan, book := f.run.Manifest.Plan, f.replay().book
	alive := 0
	for node := range f.run.Chunks {
		if !leftDown(f.run, node) {
			alive++
		}
	}
	for _, handle := range slices.Sorted(maps.Keys(book.chunks)) {
		c := book.live(handle)
		if c == nil || len(c.members) == 0 {
			continue
		}
		goal := min(goalOf(plan, c.goal), alive)
		have := 0
		for _, m := range c.members {
			if !leftDown(f.run, m) {
				have++
			}
		}
		out.stat("goals", 1)
		if have < goal {
			out.invalid(nil, "chunk %d has %d current replicas on chunkservers that are up (of %v), and %d are its goal, after the run had waited for them", handle, have, c.members, goal)
		}
	}
}

// goalOf is how many replicas a chunk is to have: its own goal, or the plan's.
func goalOf(plan rundir.Plan, own int) int {
	switch {
	case own != 0:
		return own
	case plan.Replication != 0:
		return plan.Replication
	}
	return min(3, max(1, plan.Chunkservers))
}
