package check

import (
	"cmp"
	"context"
	"hash/crc32"
	"maps"
	"math"
	"slices"

	"gfslab/results/rundir"
	"gfslab/workloads"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// written is one write of a client to a chunk of bytes.
type written struct {
	op       *rundir.Op
	from, to uint64
	data     []byte
}

func newWritten(op *rundir.Op) *written {
	return &written{op: op, from: op.Offset, to: op.Offset + uint64(op.Length)}
}

// bytes are what it wrote, made anew.
func (w *written) bytes() []byte {
	if w.data == nil {
		w.data = make([]byte, w.to-w.from)
		workloads.Payload(w.data, w.op.Client, w.op.Seq)
	}
	return w.data
}

// before reports whether the primary ordered w before x; both are acknowledged in
// one chunk.
func (w *written) before(x *written) bool {
	a, b := w.op.Reply, x.op.Reply
	if a.Serial == 0 || b.Serial == 0 {
		return w.op.End < x.op.Start
	}
	return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Serial, b.Serial)) < 0
}

// wrote is all that the clients wrote.
type wrote struct {
	f *facts
	// acked are by chunk, loose by index in the file: those of which nobody knows
	// whether, where and when they took effect.
	acked map[uint64][]*written
	loose map[uint32][]*written
}

// maxWrite bounds what is made anew for one write; no chunk is larger.
const maxWrite = 64 << 20

func newWrote(f *facts) *wrote {
	w := &wrote{f: f, acked: map[uint64][]*written{}, loose: map[uint32][]*written{}}
	for _, op := range f.ops {
		switch {
		case op.Kind != rundir.KindWrite || op.Outcome == rundir.OutcomeFail || op.Length > maxWrite || op.Offset > math.MaxInt64:
		case ok(op) && op.Reply.Code == codeOK:
			w.acked[op.Reply.Handle] = append(w.acked[op.Reply.Handle], newWritten(op))
		default:
			w.loose[op.Chunk] = append(w.loose[op.Chunk], newWritten(op))
		}
	}
	return w
}

// checkWrites holds what was read and what lies on the replicas to the writes.
func checkWrites(ctx context.Context, f *facts, out *findings) {
	if len(f.agreed().entries) == 0 {
		out.unknown("there is no log that says which replicas are current")
		return
	}
	w := newWrote(f)
	for _, handle := range slices.Sorted(maps.Keys(w.acked)) {
		out.stat("acknowledged", len(w.acked[handle]))
		w.checkOrder(handle, out)
	}
	for _, op := range f.ops {
		if ctx.Err() != nil {
			return
		}
		if op.Kind == rundir.KindReadBytes && unread(op) {
			out.unknown("%s at the end found nothing: %s", describe(op), op.Error)
		}
		if op.Kind == rundir.KindReadBytes && ok(op) && op.Reply.Code == codeOK {
			out.stat("reads", 1)
			w.checkRead(op, out)
		}
	}
	w.checkReplicas(ctx, out)
}

// checkOrder holds the primary's order to real time, and each place in it to one
// write.
func (w *wrote) checkOrder(handle uint64, out *findings) {
	if _, ever := w.f.replay().handles[handle]; !ever {
		out.invalid(w.acked[handle][0].op, "node %s acknowledged it in chunk %d, a chunk that the log does not have", w.acked[handle][0].op.Reply.Node, handle)
		return
	}
	type place struct{ version, serial uint64 }
	at := map[place]*written{}
	ended := slices.Clone(w.acked[handle]) // these are in order of invocation
	slices.SortStableFunc(ended, func(a, b *written) int { return compareInt(a.op.End, b.op.End) })
	var highest *written
	i := 0
	for _, x := range w.acked[handle] {
		p := place{x.op.Reply.Version, x.op.Reply.Serial}
		if other := at[p]; other != nil && p.serial != 0 {
			out.invalid(x.op, "acknowledged in chunk %d as version %d serial %d, as %s was", handle, p.version, p.serial, describe(other.op))
		}
		at[p] = x
		for ; i < len(ended) && ended[i].op.End < x.op.Start; i++ {
			if highest == nil || highest.before(ended[i]) {
				highest = ended[i]
			}
		}
		if highest != nil && x.before(highest) {
			out.invalid(x.op, "acknowledged in chunk %d as version %d serial %d, though %s had been acknowledged as version %d serial %d before it began",
				handle, p.version, p.serial, describe(highest.op), highest.op.Reply.Version, highest.op.Reply.Serial)
		}
	}
}

// checkRead holds the bytes that a client read to the writes.
func (w *wrote) checkRead(op *rundir.Op, out *findings) {
	rep := op.Reply
	v := view{
		w: w, handle: rep.Handle, version: w.currentAs(rep.Handle, rep.Node, rep.Version), from: op.Offset, to: op.Offset + uint64(rep.Length), start: op.Start, end: op.End, crc: rep.CRC,
	}
	if rep.Handle == 0 || rep.Length > maxWrite || op.Offset > math.MaxInt64 || rep.Length > op.Length {
		return
	}
	if last := v.surely(); v.to < op.Offset+uint64(op.Length) && last != nil && last.to > v.to {
		out.invalid(op, "node %s read chunk %d version %d to offset %d only; %s had been acknowledged up to offset %d",
			rep.Node, rep.Handle, rep.Version, v.to, describe(last.op), last.to)
		return
	}
	v.judge(op, "node "+rep.Node+" returned", out)
}

// currentAs is the highest version up to the given one at which a node was a
// current replica. One that missed the log's word on a newer version may still serve
// clients that know no newer one either, and lack what was written since.
func (w *wrote) currentAs(handle uint64, node string, version uint64) (as uint64) {
	for _, m := range w.f.replay().book.past[handle] {
		if m.version <= version && m.version > as && slices.Contains(m.members, node) {
			as = m.version
		}
	}
	return as
}

// checkReplicas holds what lies on each current replica at the end to the writes.
func (w *wrote) checkReplicas(ctx context.Context, out *findings) {
	book := w.f.replay().book
	for _, handle := range slices.Sorted(maps.Keys(book.chunks)) {
		c := book.chunks[handle]
		if c.kind != kindBytes || c.gone || c.version == 0 || ctx.Err() != nil {
			continue
		}
		for _, member := range c.members {
			list, has := w.f.run.Chunks[member]
			if !has {
				out.unknown("the chunk list of %s is missing; it is a current replica of chunk %d", member, handle)
				continue
			}
			w.checkBlocks(c, member, list, out)
		}
	}
}

func (w *wrote) checkBlocks(c *chunkFacts, member string, list []rundir.Chunk, out *findings) {
	end := uint64(0)
	for i := range list {
		b := &list[i]
		if b.Handle != c.handle || b.Kind != rundir.ChunkBlock || b.Corrupt || b.Length > maxWrite || b.Offset > math.MaxInt64 {
			continue
		}
		end = max(end, b.Offset+uint64(b.Length))
		out.stat("blocks", 1)
		if b.Version < c.version || b.Version > c.reserved {
			out.invalid(nil, "node %s, a current replica, has chunk %d at version %d; the log commits version %d and reserves up to %d",
				member, c.handle, b.Version, c.version, c.reserved)
			return
		}
		v := view{w: w, handle: c.handle, version: math.MaxUint64, from: b.Offset, to: b.Offset + uint64(b.Length), start: math.MaxInt64, end: math.MaxInt64, crc: b.CRC}
		v.judge(nil, "node "+member+", a current replica, has", out)
	}
	v := view{w: w, handle: c.handle, version: math.MaxUint64, start: math.MaxInt64, end: math.MaxInt64}
	if last := v.surely(); last != nil && last.to > end {
		out.invalid(last.op, "acknowledged in chunk %d up to offset %d; node %s, a current replica, has %d bytes", c.handle, last.to, member, end)
	}
}
