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

// mutationAt is the mutation that an acknowledged append or write became.
func mutationAt(op *rundir.Op) mutation {
	if op.Kind == rundir.KindWrite {
		return mutation{op.Reply.Handle, op.Reply.Version, op.Reply.Serial, op.Offset}
	}
	return mutation{op.Reply.Handle, op.Reply.Version, op.Reply.Serial, op.Reply.ChunkOffset}
}

// mutatesChunk reports whether a kind of operation changes a chunk's bytes.
func mutatesChunk(kind string) bool { return kind == rundir.KindAppend || kind == rundir.KindWrite }

// checkFencing holds the versions of a chunk apart: every durable acceptance of
// an acknowledged mutation comes before the first acceptance under a newer
// version. (A cut-off primary may still accept alone what nobody acknowledges.)
func checkFencing(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	acked := map[mutation]*rundir.Op{}
	for _, e := range list {
		if e.Kind == rundir.LeaseAccept {
			acked[mutationOf(e)] = nil
		}
	}
	for _, op := range f.ops {
		if mutatesChunk(op.Kind) && ok(op) && op.Reply.Code == codeOK && op.Reply.Handle == handle {
			acked[mutationAt(op)] = op
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
	accepted := map[mutation]bool{}
	for _, list := range events {
		for _, e := range list {
			if e.Kind == rundir.LeaseAccept {
				accepted[mutationOf(e)] = true
			}
		}
	}
	for _, op := range f.ops {
		if !mutatesChunk(op.Kind) || !ok(op) || op.Reply.Code != codeOK {
			continue
		}
		out.stat("mutations acknowledged", 1)
		if !accepted[mutationAt(op)] {
			out.invalid(op, "node %s acknowledged it in chunk %d version %d at offset %d, and no primary accepted it under a live lease",
				op.Reply.Node, op.Reply.Handle, op.Reply.Version, op.Reply.ChunkOffset)
		}
	}
}
