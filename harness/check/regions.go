package check

import (
	"cmp"
	"slices"

	"gfslab/results/rundir"
)

// checkRegions holds what a current replica has of a chunk apart, and its version
// to the log.
func checkRegions(run *rundir.Run, c *chunkFacts, member string, out *findings) {
	var list []*rundir.Chunk
	for i := range run.Chunks[member] {
		if x := &run.Chunks[member][i]; x.Handle == c.handle && x.Kind != rundir.ChunkBlock && !(x.Kind == rundir.ChunkEmpty && x.Corrupt) {
			list = append(list, x)
		}
	}
	for _, x := range list {
		// An intent that came to nothing leaves a version above the committed one.
		if x.Version < c.version || x.Version > c.reserved {
			out.invalid(nil, "node %s, a current replica, has chunk %d at version %d (at offset %d); the log commits version %d and reserves up to %d",
				member, c.handle, x.Version, x.Offset, c.version, c.reserved)
			break
		}
	}
	slices.SortStableFunc(list, func(a, b *rundir.Chunk) int { return cmp.Compare(a.Offset, b.Offset) })
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if b.Offset == a.Offset || b.Offset < a.Offset+uint64(a.Length) {
			out.invalid(nil, "node %s has a %s of client %q seq %d in chunk %d at offset %d, inside the %s of client %q seq %d at offset %d",
				member, b.Kind, b.Client, b.Seq, b.Handle, b.Offset, a.Kind, a.Client, a.Seq, a.Offset)
		}
	}
}
