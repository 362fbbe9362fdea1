package check

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// defaultChunkBytes is the size of a chunk when the plan does not say.
const defaultChunkBytes = 64 << 20

// anywhere reports whether some chunkserver has a record with those bytes there.
func anywhere(found map[string]map[place]*rundir.Chunk, at place, crc uint32) bool {
	for _, list := range found {
		if c := list[at]; c != nil && c.Kind == rundir.ChunkRecord && c.CRC == crc {
			return true
		}
	}
	return false
}

// place is where a record lies.
type place struct {
	handle, offset uint64
}

// checkRecords compares what the clients were told of their appends with what the
// chunk files hold at the end.
func checkRecords(ctx context.Context, f *facts, out *findings) {
	acked := map[uint64][]*rundir.Op{} // by chunk
	sent := newSentRecords(f)
	for _, op := range f.ops {
		if op.Kind == rundir.KindAppend && ok(op) && op.Reply.Code == codeOK {
			acked[op.Reply.Handle] = append(acked[op.Reply.Handle], op)
		}
	}
	if len(acked) == 0 {
		out.unknown("no record append was acknowledged")
		return
	}
	if len(f.agreed().entries) == 0 {
		out.unknown("there is no log that says which replicas are current")
		return
	}
	found := indexChunks(f.run)
	book := f.replay().book
	for _, handle := range slices.Sorted(maps.Keys(acked)) {
		if ctx.Err() != nil {
			return
		}
		ops := acked[handle]
		out.stat("acknowledged", len(ops))
		checkPlaces(f, ops, out)
		checkAppendOrder(ops, out)
		c := book.live(handle)
		if c == nil {
			if _, ever := f.replay().handles[handle]; !ever {
				out.invalid(ops[0], "node %s acknowledged it in chunk %d at offset %d, a chunk that the log does not have", ops[0].Reply.Node, handle, ops[0].Reply.ChunkOffset)
			}
			continue
		}
		if len(c.members) == 0 {
			out.invalid(ops[0], "acknowledged in chunk %d at offset %d, which never had a replica by the log", handle, ops[0].Reply.ChunkOffset)
		}
		for _, member := range c.members {
			checkReplica(found, member, ops, out)
			checkRegions(f.run, c, member, out)
		}
	}
	checkSent(f, book, sent, out)
	checkRecordReads(f, book, found, acked, out)
}

func indexChunks(run *rundir.Run) map[string]map[place]*rundir.Chunk {
	found := map[string]map[place]*rundir.Chunk{}
	for server, list := range run.Chunks {
		m := make(map[place]*rundir.Chunk, len(list))
		for i := range list {
			if k := list[i].Kind; k != rundir.ChunkBlock && k != rundir.ChunkEmpty {
				m[place{list[i].Handle, list[i].Offset}] = &list[i]
			}
		}
		found[server] = m
	}
	return found
}

// checkReplica looks for each acknowledged record of a chunk on one replica.
func checkReplica(found map[string]map[place]*rundir.Chunk, member string, ops []*rundir.Op, out *findings) {
	list, has := found[member]
	if !has {
		out.unknown("the chunk list of %s is missing; it is a current replica of chunk %d", member, ops[0].Reply.Handle)
		return
	}
	for _, op := range ops {
		out.stat("replicas compared", 1)
		at := place{op.Reply.Handle, op.Reply.ChunkOffset}
		c := list[at]
		switch {
		case c == nil:
			out.invalid(op, "acknowledged in chunk %d at offset %d, and not there on node %s, a current replica", at.handle, at.offset, member)
		case c.Kind != rundir.ChunkRecord:
			out.invalid(op, "acknowledged in chunk %d at offset %d, where node %s, a current replica, has a %s", at.handle, at.offset, member, c.Kind)
		case c.CRC != op.CRC || c.Length != op.Length:
			out.invalid(op, "node %s, a current replica, has other bytes in chunk %d at offset %d: %d bytes with crc %08x, sent were %d with %08x",
				member, at.handle, at.offset, c.Length, c.CRC, op.Length, op.CRC)
		case op.Reply.CRC != 0 && op.Reply.CRC != op.CRC:
			out.invalid(op, "node %s acknowledged crc %08x in chunk %d at offset %d; sent was %08x", op.Reply.Node, op.Reply.CRC, at.handle, at.offset, op.CRC)
		case c.Client != op.Client || op.Seq != 0 && c.Seq != op.Seq:
			out.invalid(op, "node %s, a current replica, has the record of client %s seq %d in chunk %d at offset %d", member, c.Client, c.Seq, at.handle, at.offset)
		}
	}
}

// checkPlaces holds acknowledged regions of one chunk apart and inside it.
func checkPlaces(f *facts, ops []*rundir.Op, out *findings) {
	size := uint64(f.run.Manifest.Plan.ChunkBytes)
	if size == 0 {
		size = defaultChunkBytes
	}
	sorted := slices.SortedFunc(slices.Values(ops), func(a, b *rundir.Op) int {
		return cmp.Or(cmp.Compare(a.Reply.ChunkOffset, b.Reply.ChunkOffset), cmp.Compare(a.ID, b.ID))
	})
	var before *rundir.Op
	for _, op := range sorted {
		start, end := op.Reply.ChunkOffset, op.Reply.ChunkOffset+uint64(op.Length)
		if end > size {
			out.invalid(op, "node %s acknowledged it in chunk %d at offset %d, which leaves the chunk of %d bytes", op.Reply.Node, op.Reply.Handle, start, size)
		}
		if before != nil && (start == before.Reply.ChunkOffset || start < before.Reply.ChunkOffset+uint64(before.Length)) {
			out.invalid(op, "node %s acknowledged it in chunk %d at offset %d, in the region of %s at offset %d",
				op.Reply.Node, op.Reply.Handle, start, describe(before), before.Reply.ChunkOffset)
		}
		if before == nil || end > before.Reply.ChunkOffset+uint64(before.Length) {
			before = op
		}
	}
}

// checkAppendOrder holds the offsets in one chunk to real time: a record whose
// append began after another was acknowledged lies above it.
func checkAppendOrder(ops []*rundir.Op, out *findings) {
	ended := slices.Clone(ops) // ops are in order of invocation
	slices.SortStableFunc(ended, func(a, b *rundir.Op) int { return compareInt(a.End, b.End) })
	var highest *rundir.Op
	i := 0
	for _, op := range ops {
		for ; i < len(ended) && ended[i].End < op.Start; i++ {
			if highest == nil || ended[i].Reply.ChunkOffset > highest.Reply.ChunkOffset {
				highest = ended[i]
			}
		}
		if highest != nil && op.Reply.ChunkOffset < highest.Reply.ChunkOffset {
			out.invalid(op, "node %s acknowledged it in chunk %d at offset %d, though %s had been acknowledged at offset %d before it began",
				op.Reply.Node, op.Reply.Handle, op.Reply.ChunkOffset, describe(highest), highest.Reply.ChunkOffset)
		}
	}
}

// sentRecords knows every record that any client ever sent, whatever came of it.
type sentRecords struct {
	bySession map[session]*rundir.Op
	// byBytes is for operations that ended before they were told their number.
	byBytes map[sentBytes]bool
}

type sentBytes struct {
	client      string
	crc, length uint32
}

func newSentRecords(f *facts) sentRecords {
	s := sentRecords{bySession: map[session]*rundir.Op{}, byBytes: map[sentBytes]bool{}}
	for _, op := range f.ops {
		if op.Kind != rundir.KindAppend {
			continue
		}
		if op.Seq != 0 {
			s.bySession[session{op.Client, op.Seq}] = op
		} else {
			s.byBytes[sentBytes{op.Client, op.CRC, op.Length}] = true
		}
	}
	return s
}

// checkSent finds records on current replicas that nobody ever sent.
func checkSent(f *facts, book *chunkbook, sent sentRecords, out *findings) {
	for _, server := range slices.Sorted(maps.Keys(f.run.Chunks)) {
		for _, c := range f.run.Chunks[server] {
			facts := book.live(c.Handle)
			if c.Kind != rundir.ChunkRecord || facts == nil || !slices.Contains(facts.members, server) {
				continue
			}
			out.stat("records found", 1)
			op := sent.bySession[session{c.Client, c.Seq}]
			switch {
			case op == nil && !sent.byBytes[sentBytes{c.Client, c.CRC, c.Length}]:
				out.invalid(nil, "node %s has a record of client %s seq %d in chunk %d at offset %d that was never sent", server, c.Client, c.Seq, c.Handle, c.Offset)
			case op != nil && (op.Outcome == rundir.OutcomeFail || ok(op) && op.Reply.Code != codeOK):
				out.invalid(op, "it was reported as surely not done, and node %s has it in chunk %d at offset %d", server, c.Handle, c.Offset)
			case op != nil && (op.CRC != c.CRC || op.Length != c.Length):
				out.invalid(op, "node %s has it with other bytes in chunk %d at offset %d than were sent", server, c.Handle, c.Offset)
			}
		}
	}
}

// checkRecordReads compares the records that clients read back with those
// acknowledged at the same place.
func checkRecordReads(f *facts, book *chunkbook, found map[string]map[place]*rundir.Chunk, acked map[uint64][]*rundir.Op, out *findings) {
	at := map[place]*rundir.Op{}
	for handle, ops := range acked {
		for _, op := range ops {
			at[place{handle, op.Reply.ChunkOffset}] = op
		}
	}
	for _, op := range f.ops {
		h := recordSeen(op)
		if op.Kind != rundir.KindReadRecord || h == 0 {
			continue
		}
		out.stat("records read", 1)
		where := place{h, op.Reply.ChunkOffset}
		w := at[where]
		switch {
		case w == nil && book.live(h) != nil && !anywhere(found, where, op.Reply.CRC):
			out.invalid(op, "node %s returned a record with crc %08x from chunk %d at offset %d, where no node has such a record", op.Reply.Node, op.Reply.CRC, h, op.Reply.ChunkOffset)
		case w != nil && w.CRC != op.Reply.CRC:
			out.invalid(op, "node %s returned crc %08x for chunk %d offset %d; %s was acknowledged there with crc %08x",
				op.Reply.Node, op.Reply.CRC, h, op.Reply.ChunkOffset, describe(w), w.CRC)
		}
	}
}
