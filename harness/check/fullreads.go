package check

import (
	"context"
	"math"

	"gfslab/results/rundir"
)

// checkFullReads holds what readers of whole files found to what was appended: no
// record that nobody sent, none twice, and in the end every one acknowledged.
func checkFullReads(ctx context.Context, f *facts, out *findings) {
	sent := newSentRecords(f)
	acked := ackedByChunk(f)
	for _, op := range f.ops {
		if ctx.Err() != nil {
			return
		}
		if op.Kind == rundir.KindReadRecords && unread(op) {
			out.unknown("%s at the end found nothing: %s", describe(op), op.Error)
		}
		if op.Kind != rundir.KindReadRecords || !ok(op) || op.Reply.Code != codeOK {
			continue
		}
		out.stat("full reads", 1)
		seen := f.checkSeen(op, sent, out)
		if op.Phase == rundir.PhaseFinal && op.Chunk == 0 && op.Offset == 0 && len(f.agreed().entries) > 0 {
			f.checkComplete(op, seen, acked, out)
		}
	}
	f.checkCuts(acked, out)
}

// unread reports whether a read of what lies in chunks failed when all was over.
func unread(op *rundir.Op) bool {
	return op.Phase == rundir.PhaseFinal && !ok(op) && (op.Kind == rundir.KindReadRecords || op.Kind == rundir.KindReadBytes)
}

func ackedByChunk(f *facts) map[uint64][]*rundir.Op {
	acked := map[uint64][]*rundir.Op{}
	for _, op := range f.ops {
		if op.Kind == rundir.KindAppend && ok(op) && op.Reply.Code == codeOK {
			acked[op.Reply.Handle] = append(acked[op.Reply.Handle], op)
		}
	}
	return acked
}

// checkSeen holds the records that one reader found to what was sent.
func (f *facts) checkSeen(op *rundir.Op, sent sentRecords, out *findings) map[session]bool {
	seen := map[session]bool{}
	for _, x := range op.Reply.Records {
		out.stat("records read", 1)
		key := session{x.Client, x.Seq}
		from := sent.bySession[key]
		switch {
		case seen[key]:
			out.invalid(op, "the record of client %s seq %d was returned twice, again from chunk %d at offset %d", x.Client, x.Seq, x.Handle, x.Offset)
		case from == nil && !sent.byBytes[sentBytes{x.Client, x.CRC, x.Length}]:
			out.invalid(op, "a record of client %s seq %d was returned from chunk %d at offset %d that was never sent", x.Client, x.Seq, x.Handle, x.Offset)
		case from != nil && (from.CRC != x.CRC || from.Length != x.Length):
			out.invalid(op, "the record of client %s seq %d was returned from chunk %d at offset %d with other bytes than were sent", x.Client, x.Seq, x.Handle, x.Offset)
		case from != nil && from.Start > op.End:
			out.invalid(op, "the record of %s was returned from chunk %d at offset %d before it was sent", describe(from), x.Handle, x.Offset)
		case from != nil && from.Outcome == rundir.OutcomeFail:
			out.invalid(op, "%s was reported as surely not done, and was returned from chunk %d at offset %d", describe(from), x.Handle, x.Offset)
		}
		seen[key] = true
	}
	return seen
}

// checkComplete wants in a final read of a file from its beginning every record
// that was acknowledged in its chunks, or in those that they were copied from.
func (f *facts) checkComplete(op *rundir.Op, seen map[session]bool, acked map[uint64][]*rundir.Op, out *findings) {
	n, _ := f.replay().root.lookup(op.Path)
	if n == nil || n.dir {
		return // it is not there any more
	}
	for _, handle := range n.chunks {
		for _, from := range f.lineage(handle, math.MaxInt64) {
			for _, a := range acked[from.handle] {
				if a.End >= from.until || a.End >= op.Start {
					continue
				}
				out.stat("records wanted", 1)
				if a.Seq != 0 && !seen[session{a.Client, a.Seq}] {
					out.invalid(a, "acknowledged in chunk %d at offset %d, and not in the full read of %s at the end, %s", from.handle, a.Reply.ChunkOffset, op.Path, describe(op))
				}
			}
		}
	}
}
