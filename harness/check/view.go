package check

import (
	"hash/crc32"
	"slices"

	"gfslab/results/rundir"
)

// view is one look at the bytes of a chunk: a read, or what lay on a replica at
// the end. Its bytes are known by their sum alone, so the checker asks whether any
// order of the writes that the log and real time allow makes that sum.
type view struct {
	w          *wrote
	handle     uint64
	version    uint64
	from, to   uint64
	start, end int64
	crc        uint32
}

// visible is a write that a view may show.
type visible struct {
	*written
	depth int // in how many copies ago it was written
}

// maxChoices bounds the combinations of writes that are tried for one view.
const maxChoices = 512

// reach lists the acknowledged writes to the chunk, and to those that it was copied
// from as long as it was not.
func (v *view) reach() (out []visible) {
	for depth, from := range v.w.f.lineage(v.handle, v.end) {
		for _, x := range v.w.acked[from.handle] {
			if x.op.Start < from.until && x.op.Reply.Version <= v.version {
				out = append(out, visible{x, depth})
			}
		}
	}
	return out
}

// before is the primary's order; what was written to a copy comes after what was
// copied.
func (a visible) before(b visible) bool {
	if a.depth != b.depth {
		return a.depth > b.depth
	}
	return a.written.before(b.written)
}

// surely is the write that reaches furthest of those that must be visible.
func (v *view) surely() (last *written) {
	for _, x := range v.reach() {
		if x.op.End < v.start && (last == nil || x.to > last.to) {
			last = x.written
		}
	}
	return last
}

// judge holds the view's sum to all that the writes allow.
func (v *view) judge(op *rundir.Op, who string, out *findings) {
	acked := slices.DeleteFunc(v.reach(), func(x visible) bool { return x.to <= v.from || x.from >= v.to })
	torn := false
	for _, x := range acked {
		torn = torn || x.op.End >= v.start // it may have been seen half done
	}
	slot := v.w.f.replay().slots[v.handle]
	for _, x := range v.w.loose[slot] {
		torn = torn || x.from < v.to && v.from < x.to && x.op.Start < v.end
	}
	if torn {
		out.stat("views beside a write that is open", 1)
		return
	}
	if v.retried() {
		out.stat("views beside a write that was tried before", 1)
		return
	}
	segments, choices := v.segments(acked)
	if choices > maxChoices {
		out.stat("views of too many orders", 1)
		return
	}
	out.stat("views judged", 1)
	buf := make([]byte, v.to-v.from)
	if !v.try(buf, segments) {
		var last *rundir.Op
		if n := len(segments); n > 0 && len(segments[0].choices) > 0 && segments[0].choices[0] != nil {
			last = segments[0].choices[0].op
		}
		if op == nil {
			op = last
		}
		out.invalid(op, "%s bytes with crc %08x in chunk %d version %d from offset %d to %d, which no order of the writes makes", who, v.crc, v.handle, v.version, v.from, v.to)
	}
}

// retried reports whether a write that was acknowledged under a newer version may
// have reached the replica before, by an attempt of its that failed elsewhere.
func (v *view) retried() bool {
	for _, x := range v.w.acked[v.handle] {
		failed := func(a rundir.Attempt) bool { return a.Error != "" }
		if x.op.Reply.Version > v.version && x.op.Start < v.end && x.from < v.to && v.from < x.to && slices.ContainsFunc(x.op.Attempts, failed) {
			return true
		}
	}
	return false
}

// segment is a part of a view that every write covers whole or not at all; nil
// among the choices stands for bytes that nobody wrote, zeros.
type segment struct {
	from, to uint64
	choices  []*written
}

// segments cuts the view at the ends of the writes, and finds for each part the
// writes that may be the last one there.
func (v *view) segments(acked []visible) (out []segment, combinations int) {
	cuts := []uint64{v.from, v.to}
	for _, x := range acked {
		cuts = append(cuts, max(x.from, v.from), min(x.to, v.to))
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	combinations = 1
	for i := 1; i < len(cuts); i++ {
		s := segment{from: cuts[i-1], to: cuts[i]}
		for _, x := range acked {
			over := func(y visible) bool { return y.from <= s.from && y.to >= s.to && x.before(y) }
			if x.from <= s.from && x.to >= s.to && !slices.ContainsFunc(acked, over) {
				s.choices = append(s.choices, x.written)
			}
		}
		if len(s.choices) == 0 {
			s.choices = []*written{nil}
		}
		if combinations *= len(s.choices); combinations > maxChoices {
			return nil, combinations
		}
		out = append(out, s)
	}
	return out, combinations
}

// try fills the bytes in every way that is allowed until the sum fits.
func (v *view) try(buf []byte, rest []segment) bool {
	if len(rest) == 0 {
		return crc32.Checksum(buf, castagnoli) == v.crc
	}
	s := rest[0]
	part := buf[s.from-v.from : s.to-v.from]
	for _, x := range s.choices {
		if x == nil {
			clear(part)
		} else {
			copy(part, x.bytes()[s.from-x.from:s.to-x.from])
		}
		if v.try(buf, rest[1:]) {
			return true
		}
	}
	return false
}
