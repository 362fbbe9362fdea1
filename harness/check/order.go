package check

import (
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// checkSerial holds all replicas of a chunk to the primary's order: the same serial
// means the same place everywhere, and what was acknowledged was made durable in
// order of serials on each.
func checkSerial(handle uint64, list []*rundir.LeaseEvent, out *findings) {
	type place struct{ version, serial uint64 }
	first := map[place]*rundir.LeaseEvent{}
	acked := map[place]bool{}
	for _, e := range list {
		if e.Kind == rundir.LeaseAccept {
			acked[place{e.Version, e.Serial}] = true
		}
	}
	highest := map[string]*rundir.LeaseEvent{} // by node: the acknowledged one furthest on in its version
	done := map[string]map[place]bool{}
	for _, e := range list { // in order of time, each node's in its own order
		p := place{e.Version, e.Serial}
		if e.Kind != rundir.LeaseMutate || e.Serial == 0 {
			continue
		}
		if x := first[p]; x == nil {
			first[p] = e
		} else if acked[p] && x.Offset != e.Offset {
			out.invalid(nil, "chunk %d version %d serial %d is at offset %d on node %s and at offset %d on node %s",
				handle, e.Version, e.Serial, x.Offset, x.Node, e.Offset, e.Node)
		}
		if done[e.Node] == nil {
			done[e.Node] = map[place]bool{}
		}
		if !acked[p] || done[e.Node][p] {
			continue
		}
		done[e.Node][p] = true
		out.stat("mutations in order", 1)
		if h := highest[e.Node]; h != nil && h.Version == e.Version && h.Serial > e.Serial {
			out.invalid(nil, "node %s made chunk %d version %d serial %d durable at %d ns, after serial %d at %d ns",
				e.Node, handle, e.Version, e.Serial, e.At, h.Serial, h.At)
		}
		highest[e.Node] = e
	}
}

// checkStrict holds the places in a whole file to real time, where chunks are
// sealed before the next is used: a record whose append began after another was
// acknowledged lies behind it.
func checkStrict(f *facts, out *findings) {
	byFile := map[*inode][]*rundir.Op{}
	r := f.replay()
	for _, op := range f.ops {
		if op.Kind == rundir.KindAppend && ok(op) && op.Reply.Code == codeOK {
			if owner := r.owners[f.original(op.Reply.Handle)]; owner != nil {
				byFile[owner] = append(byFile[owner], op)
			}
		}
	}
	behind := func(a, b *rundir.Op) bool {
		x, y := r.slots[a.Reply.Handle], r.slots[b.Reply.Handle]
		return x > y || x == y && a.Reply.Handle == b.Reply.Handle && a.Reply.ChunkOffset > b.Reply.ChunkOffset
	}
	for _, ops := range byFile {
		out.stat("appends in strict mode", len(ops))
		ended := slices.Clone(ops) // ops are in order of invocation
		slices.SortStableFunc(ended, func(a, b *rundir.Op) int { return compareInt(a.End, b.End) })
		var furthest *rundir.Op
		i := 0
		for _, op := range ops {
			for ; i < len(ended) && ended[i].End < op.Start; i++ {
				if furthest == nil || behind(ended[i], furthest) {
					furthest = ended[i]
				}
			}
			if furthest != nil && furthest.Path == op.Path && behind(furthest, op) {
				out.invalid(op, "node %s acknowledged it in chunk %d (index %d) at offset %d, though %s had been acknowledged in chunk %d (index %d) at offset %d before it began",
					op.Reply.Node, op.Reply.Handle, r.slots[op.Reply.Handle], op.Reply.ChunkOffset, describe(furthest),
					furthest.Reply.Handle, r.slots[furthest.Reply.Handle], furthest.Reply.ChunkOffset)
			}
		}
	}
}

// original is the chunk that a chunk was copied from at last.
func (f *facts) original(handle uint64) uint64 {
	list := f.lineage(handle, 0)
	return list[len(list)-1].handle
}

// checkUsed holds what clients saw of a chunk's version to itself: nobody is shown
// an older one than he has used before.
func checkUsed(f *facts, out *findings) {
	type user struct {
		thread int
		handle uint64
	}
	used := map[user]*rundir.Op{}
	for _, op := range f.ops { // a thread has one operation open at a time
		if !ok(op) || op.Reply.Code != codeOK || op.Reply.Handle == 0 || op.Reply.Version == 0 {
			continue
		}
		key := user{op.Thread, op.Reply.Handle}
		reads := op.Kind == rundir.KindReadBytes || op.Kind == rundir.KindReadRecord
		if before := used[key]; reads && before != nil && op.Reply.Version < before.Reply.Version {
			out.invalid(op, "node %s read chunk %d version %d for a client that had used version %d before: %s",
				op.Reply.Node, op.Reply.Handle, op.Reply.Version, before.Reply.Version, describe(before))
		}
		// A version that was taken and never granted is nothing to hold anybody to.
		if before := used[key]; reads && (before == nil || op.Reply.Version > before.Reply.Version) && f.committed(op.Reply.Handle, op.Reply.Version) {
			used[key] = op
		}
		if reads {
			out.stat("versions read", 1)
		}
	}
}

// chunksOfEvents lists the chunks that any event is about, in order.
func chunksOfEvents(events map[uint64][]*rundir.LeaseEvent) []uint64 {
	return slices.Sorted(maps.Keys(events))
}
