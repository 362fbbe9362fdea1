package check

import (
	"math"
	"strings"

	"gfslab/results/rundir"
)

// checkCuts holds what readers found in the copies that snapshots made to the
// moment of the snapshot: all that was acknowledged before it was asked for,
// nothing that was begun after it was answered, and the same ever after.
func (f *facts) checkCuts(acked map[uint64][]*rundir.Op, out *findings) {
	if len(f.agreed().entries) == 0 {
		return
	}
	for _, cut := range f.replay().cuts {
		snap := f.snapshotAt(cut.at)
		if snap == nil || !ok(snap) {
			continue
		}
		out.stat("files in snapshots", 1)
		f.checkCut(cut, snap, acked, out)
	}
}

func (f *facts) snapshotAt(at position) *rundir.Op {
	line, _ := f.agreed().command(at)
	op := f.opOf(line)
	if op == nil || op.Kind != rundir.KindSnapshot {
		return nil
	}
	return op
}

// disturbances are the operations that may have changed a copy itself, or have put
// something else in its place or in that of a directory above it.
func (f *facts) disturbances(path string, snap *rundir.Op) (out []*rundir.Op) {
	touches := func(p string) bool { return p != "" && (p == path || strings.HasPrefix(path, p+"/")) }
	for _, op := range f.ops {
		if op == snap || op.Outcome == rundir.OutcomeFail || ok(op) && op.End < snap.Start {
			continue
		}
		hit := false
		switch op.Kind {
		case rundir.KindAppend, rundir.KindWrite, rundir.KindAllocate:
			hit = op.Path == path
		case rundir.KindDelete, rundir.KindUndelete:
			hit = touches(op.Path)
		case rundir.KindRename, rundir.KindSnapshot:
			hit = touches(op.Path2) || op.Kind == rundir.KindRename && touches(op.Path)
		}
		if hit {
			out = append(out, op)
		}
	}
	return out
}

func (f *facts) checkCut(cut cutFile, snap *rundir.Op, acked map[uint64][]*rundir.Op, out *findings) {
	var first *rundir.Op // the read that all others are compared with
	var firstSeen map[session]bool
	disturbed := f.disturbances(cut.path, snap) // in order of invocation
	for _, op := range f.ops {
		whole := op.Kind == rundir.KindReadRecords && ok(op) && op.Reply.Code == codeOK && op.Path == cut.path && op.Start > snap.End && op.Chunk == 0 && op.Offset == 0
		if !whole || len(disturbed) > 0 && disturbed[0].Start < op.End {
			continue
		}
		out.stat("reads of snapshots", 1)
		seen := map[session]bool{}
		for _, x := range op.Reply.Records {
			seen[session{x.Client, x.Seq}] = true
			if from := f.bySession[session{x.Client, x.Seq}]; from != nil && from.Kind == rundir.KindAppend && from.Start > snap.End {
				out.invalid(op, "it found the record of %s in chunk %d at offset %d, which was begun after %s had been answered", describe(from), x.Handle, x.Offset, describe(snap))
			}
		}
		for _, handle := range cut.chunks {
			f.compareCut(handle, op, seen, first, firstSeen, snap, acked, out)
		}
		if first == nil {
			first, firstSeen = op, seen
		}
	}
}

// compareCut looks in one read of a snapshot for the records acknowledged in one
// of its chunks.
func (f *facts) compareCut(handle uint64, op *rundir.Op, seen map[session]bool, first *rundir.Op, firstSeen map[session]bool, snap *rundir.Op, acked map[uint64][]*rundir.Op, out *findings) {
	for _, from := range f.lineage(handle, math.MaxInt64) {
		for _, a := range acked[from.handle] {
			key := session{a.Client, a.Seq}
			switch {
			case a.Seq == 0 || a.End >= from.until:
			case a.End < snap.Start && !seen[key]:
				out.invalid(a, "acknowledged in chunk %d at offset %d before %s was asked for, and not in the copy as %s found it", from.handle, a.Reply.ChunkOffset, describe(snap), describe(op))
			case first != nil && seen[key] != firstSeen[key]:
				out.invalid(a, "%s found it in the copy that %s made, and %s did not: a snapshot does not change", pick(seen[key], op, first), describe(snap), pick(seen[key], first, op))
			}
		}
	}
}

func pick(yes bool, a, b *rundir.Op) string {
	if yes {
		return describe(a)
	}
	return describe(b)
}

// checkShared finds mutations that were acknowledged in a chunk while a snapshot
// shared it.
func checkShared(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	for _, e := range list {
		if e.Kind != rundir.LeaseAccept {
			continue
		}
		if m := f.momentAt(handle, e.At); m != nil && m.refs > 1 {
			out.invalid(nil, "node %s accepted a mutation of chunk %d version %d at offset %d at %d ns, while %d files shared it (index %d offset %d)",
				e.Node, handle, e.Version, e.Offset, e.At, m.refs, m.at.index, m.at.offset)
		}
	}
}
