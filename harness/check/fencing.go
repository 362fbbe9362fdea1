package check

import (
	"gfslab/results/rundir"
)

// mutation names one mutation of a chunk on all its replicas. Writes come to the same
// offset again and again: the serial tells them apart.
type mutation struct {
	handle, version, serial, offset uint64
}

func mutationOf(e *rundir.LeaseEvent) mutation {
	return mutation{e.Handle, e.Version, e.Serial, e.Offset}
}

// acceptances tells the serial of what primaries accepted at a place of a chunk, for
// operations whose replies do not tell it: those of runs from before replies had it,
// which have appends only, and two of these are never at one place of a version.
type acceptances map[mutation]uint64

func (a acceptances) add(e *rundir.LeaseEvent) {
	m := mutationOf(e)
	m.serial = 0
	a[m] = e.Serial
}

// mutationAt is the mutation that an acknowledged append or write became.
func (a acceptances) mutationAt(op *rundir.Op) mutation {
	m := mutation{op.Reply.Handle, op.Reply.Version, op.Reply.Serial, op.Reply.ChunkOffset}
	if op.Kind == rundir.KindWrite {
		m.offset = op.Offset
	}
	if m.serial == 0 {
		m.serial = a[m]
	}
	return m
}

// mutatesChunk reports whether a kind of operation changes a chunk's bytes.
func mutatesChunk(kind string) bool { return kind == rundir.KindAppend || kind == rundir.KindWrite }

// checkFencing holds the versions of a chunk apart: every durable acceptance of
// an acknowledged mutation comes before the first acceptance under a newer
// version. (A cut-off primary may still accept alone what nobody acknowledges.)
func checkFencing(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	acked, at := map[mutation]*rundir.Op{}, acceptances{}
	for _, e := range list {
		if e.Kind == rundir.LeaseAccept {
			at.add(e)
			acked[mutationOf(e)] = nil
		}
	}
	for _, op := range f.ops {
		if mutatesChunk(op.Kind) && ok(op) && op.Reply.Code == codeOK && op.Reply.Handle == handle {
			acked[at.mutationAt(op)] = op
		}
	}
	var newest *rundir.LeaseEvent // the first acceptance of the highest version so far
	for _, e := range list {      // in order of time
		if e.Kind != rundir.LeaseAccept && e.Kind != rundir.LeaseMutate {
			continue
		}
		if newest == nil || e.Version > newest.Version {
			newest = e
			continue
		}
		op, is := acked[mutationOf(e)]
		if e.Version < newest.Version && e.At > newest.At && is {
			out.invalid(op, "node %s accepted an acknowledged mutation of chunk %d version %d at offset %d at %d ns, after node %s had accepted one under version %d at %d ns",
				e.Node, handle, e.Version, e.Offset, e.At, newest.Node, newest.Version, newest.At)
		}
	}
}

// checkReplicaOrder holds each replica to the highest version that it accepted a
// mutation under.
func checkReplicaOrder(handle uint64, list []*rundir.LeaseEvent, out *findings) {
	highest := map[string]*rundir.LeaseEvent{}
	for _, e := range list {
		if e.Kind != rundir.LeaseMutate {
			continue
		}
		if h := highest[e.Node]; h == nil || e.Version > h.Version {
			highest[e.Node] = e
		} else if e.Version < h.Version {
			out.invalid(nil, "node %s accepted a mutation of chunk %d version %d at offset %d at %d ns, after one under version %d at %d ns",
				e.Node, handle, e.Version, e.Offset, e.At, h.Version, h.At)
		}
	}
}

// checkAcknowledged wants an acceptance by a primary behind every acknowledged
// append and write.
func checkAcknowledged(f *facts, events map[uint64][]*rundir.LeaseEvent, out *findings) {
	accepted, at := map[mutation]bool{}, acceptances{}
	for _, list := range events {
		for _, e := range list {
			if e.Kind == rundir.LeaseAccept {
				at.add(e)
				accepted[mutationOf(e)] = true
			}
		}
	}
	for _, op := range f.ops {
		if !mutatesChunk(op.Kind) || !ok(op) || op.Reply.Code != codeOK {
			continue
		}
		out.stat("mutations acknowledged", 1)
		if !accepted[at.mutationAt(op)] {
			out.invalid(op, "node %s acknowledged it in chunk %d version %d at offset %d, and no primary accepted it under a live lease",
				op.Reply.Node, op.Reply.Handle, op.Reply.Version, op.Reply.ChunkOffset)
		}
	}
}
