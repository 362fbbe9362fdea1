package check

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// position is a place in the log: after so many commands of the entry at index.
type position struct {
	index  uint64
	offset uint32
}

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.index, q.index), cmp.Compare(p.offset, q.offset))
}

// entry is the commands of one index as applied, in order.
type entry struct {
	index uint64
	lines []rundir.Applied
	node  string // whose lines these are
}

// agreedLog is the sequence that the nodes' applied logs are held to: at each
// index what most incarnations applied.
type agreedLog struct {
	entries []entry
	at      map[uint64]int // index to place in entries
}

// incarnation is the applied log of one node from one start to its end.
type incarnation struct {
	node    string
	run     int
	last    bool // the node's last one
	entries []entry
	// restored are the snapshots that it took over, in order.
	restored []restorePoint
	faults   []string // what is wrong with the log by itself
	bad      []rundir.Applied
}

// restorePoint is a snapshot that an incarnation took over: it then has everything
// through the index to, of which it may have applied what is not above from.
type restorePoint struct {
	from, to uint64
	line     rundir.Applied
}

// covers reports whether the incarnation has the entry at index from a snapshot.
func (inc *incarnation) covers(index uint64) bool {
	return slices.ContainsFunc(inc.restored, func(p restorePoint) bool { return index > p.from && index <= p.to })
}

func (l *agreedLog) command(p position) (line *rundir.Applied, node string) {
	i, ok := l.at[p.index]
	if !ok || int(p.offset) >= len(l.entries[i].lines) {
		return nil, ""
	}
	return &l.entries[i].lines[p.offset], l.entries[i].node
}

// incarnations cuts the applied logs of all nodes apart, in order of node and
// incarnation.
func incarnations(run *rundir.Run) []*incarnation {
	var out []*incarnation
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		var cur *incarnation
		before := int64(0) // when the node applied the line before
		for _, line := range run.Applied[node] {
			if cur == nil || line.Run != cur.run {
				if cur != nil && line.Run < cur.run {
					cur.faults = append(cur.faults, "incarnations are out of order")
					cur.bad = append(cur.bad, line)
				}
				cur = &incarnation{node: node, run: line.Run}
				out = append(out, cur)
			}
			if line.At < before {
				cur.faults = append(cur.faults, "time goes backwards")
				cur.bad = append(cur.bad, line)
			}
			before = line.At
			cur.add(line)
		}
		if cur != nil {
			cur.last = true
		}
	}
	return out
}

// add appends a line, and notes where the log is no log.
func (inc *incarnation) add(line rundir.Applied) {
	fault := ""
	if line.Restored {
		p := restorePoint{from: inc.end(), to: line.Index, line: line}
		if p.to < p.from {
			fault = "a snapshot takes the state back"
			inc.faults, inc.bad = append(inc.faults, fault), append(inc.bad, line)
		}
		inc.restored = append(inc.restored, p)
		return
	}
	if n := len(inc.entries); n > 0 && line.Index == inc.entries[n-1].index {
		e := &inc.entries[n-1]
		switch {
		case int(line.Offset) < len(e.lines):
			fault = "a command is applied twice"
		case int(line.Offset) > len(e.lines):
			fault = "a command of the entry is missing before this one"
		case line.Hash != e.lines[0].Hash:
			fault = "one entry has two state hashes"
		}
		e.lines = append(e.lines, line)
	} else {
		switch {
		case line.Index <= inc.end():
			fault = "an index is applied again, or out of order"
		case line.Offset != 0:
			fault = "the entry's first commands are missing"
		}
		inc.entries = append(inc.entries, entry{index: line.Index, lines: []rundir.Applied{line}, node: inc.node})
	}
	if fault != "" {
		inc.faults = append(inc.faults, fault)
		inc.bad = append(inc.bad, line)
	}
}

// end is the index of the last command that the incarnation applied, or took over
// in a snapshot.
func (inc *incarnation) end() (end uint64) {
	if n := len(inc.entries); n > 0 {
		end = inc.entries[n-1].index
	}
	if n := len(inc.restored); n > 0 {
		end = max(end, inc.restored[n-1].to)
	}
	return end
}

// same reports whether two entries hold the same commands.
func (e entry) same(o entry) bool {
	return slices.EqualFunc(e.lines, o.lines, func(a, b rundir.Applied) bool {
		return a.Offset == b.Offset && bytes.Equal(a.Command, b.Command)
	})
}

// agree takes at each index what most incarnations applied; where as many say one
// thing as another, the first in order of node.
func agree(run *rundir.Run) *agreedLog {
	type variant struct {
		entry entry
		votes int
	}
	variants := map[uint64][]variant{}
	for _, inc := range incarnations(run) {
		for _, e := range inc.entries {
			vs := variants[e.index]
			i := slices.IndexFunc(vs, func(v variant) bool { return v.entry.same(e) })
			if i < 0 {
				variants[e.index] = append(vs, variant{e, 1})
			} else {
				vs[i].votes++
			}
		}
	}
	l := &agreedLog{at: make(map[uint64]int, len(variants))}
	for _, index := range slices.Sorted(maps.Keys(variants)) {
		best := variants[index][0]
		for _, v := range variants[index][1:] {
			if v.votes > best.votes {
				best = v
			}
		}
		l.at[index] = len(l.entries)
		l.entries = append(l.entries, best.entry)
	}
	return l
}

// checkLogs holds every incarnation of every node to the agreed log.
func checkLogs(ctx context.Context, f *facts, out *findings) {
	l := f.agreed()
	incs := incarnations(f.run)
	if len(l.entries) == 0 {
		out.unknown("no node left an applied log with a command in it")
		return
	}
	for _, inc := range incs {
		if ctx.Err() != nil {
			return
		}
		for i, fault := range inc.faults {
			line := inc.bad[i]
			out.invalid(f.opOf(&line), "%s: index %d offset %d on node %s, incarnation %d", fault, line.Index, line.Offset, inc.node, inc.run)
		}
		compareWithAgreed(f, l, inc, out)
		compareRestored(f, l, inc, out)
		out.stat("entries", len(inc.entries))
		out.stat("restored snapshots", len(inc.restored))
	}
	out.stat("incarnations", len(incs))
	checkCounts(f, l, incs, out)
}

// compareWithAgreed walks both logs side by side up to the incarnation's end.
func compareWithAgreed(f *facts, l *agreedLog, inc *incarnation, out *findings) {
	mine := make(map[uint64]entry, len(inc.entries))
	for _, e := range inc.entries {
		mine[e.index] = e
	}
	end := inc.end()
	for _, want := range l.entries {
		if want.index > end {
			return
		}
		got, has := mine[want.index]
		if !has && inc.covers(want.index) {
			continue
		}
		if !has {
			line := &want.lines[0]
			out.invalid(f.opOf(line), "index %d offset %d is missing from the applied log of node %s, incarnation %d, which goes on to index %d; node %s applied it",
				line.Index, line.Offset, inc.node, inc.run, end, want.node)
			continue
		}
		compareEntry(f, want, got, inc, out)
	}
}

// compareRestored holds every snapshot that was taken over to the state that the
// log makes at its index.
func compareRestored(f *facts, l *agreedLog, inc *incarnation, out *findings) {
	for _, p := range inc.restored {
		i, has := l.at[p.to]
		if !has {
			out.invalid(nil, "node %s, incarnation %d, took over a snapshot through index %d, at which no node applied a command", inc.node, inc.run, p.to)
			continue
		}
		if want := &l.entries[i].lines[0]; p.line.Hash != want.Hash {
			out.invalid(f.opOf(want), "node %s, incarnation %d, took over a snapshot through index %d whose state (hash) differs from that of node %s there",
				inc.node, inc.run, p.to, l.entries[i].node)
		}
	}
}

func compareEntry(f *facts, want, got entry, inc *incarnation, out *findings) {
	for i := range max(len(want.lines), len(got.lines)) {
		if i >= len(got.lines) || i >= len(want.lines) {
			longer, has, lacks := want, want.node, inc.node
			if i >= len(want.lines) {
				longer, has, lacks = got, inc.node, want.node
			}
			line := &longer.lines[i]
			out.invalid(f.opOf(line), "index %d offset %d is missing from the applied log of node %s; node %s applied it", line.Index, line.Offset, lacks, has)
			return
		}
		a, b := &want.lines[i], &got.lines[i]
		what := ""
		switch {
		case !bytes.Equal(a.Command, b.Command):
			what = "different commands"
		case a.Hash != b.Hash:
			what = "different states (hash) after the entry"
		case !bytes.Equal(a.Reply, b.Reply):
			what = "different replies"
		case a.Client != b.Client || a.Seq != b.Seq:
			what = "different sessions"
		default:
			continue
		}
		out.invalid(f.opOf(a), "%s at index %d offset %d on nodes %s and %s", what, a.Index, a.Offset, want.node, inc.node)
		return
	}
}

// checkCounts compares the length of each last incarnation with what the node
// itself counted, so that lines lost from the end of a log are missed.
func checkCounts(f *facts, l *agreedLog, incs []*incarnation, out *findings) {
	lines := map[string]uint64{}
	for _, inc := range incs {
		if inc.last {
			for _, e := range inc.entries {
				lines[inc.node] += uint64(len(e.lines))
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(f.run.Counters.Applied)) {
		want := f.run.Counters.Applied[node]
		switch {
		case lines[node] == want:
		case want == 0 && slices.Contains(f.run.Counters.Left, node):
			// It came back from a crash only to leave: no log of it is final.
		case want == 0:
			// Its last incarnation has no line by which it could be told apart.
			out.unknown("node %s applied nothing in its last incarnation", node)
		default:
			op, next := f.after(l, incs, node)
			out.invalid(op, "node %s counted %d applied commands in its last incarnation, its applied log has %d, up to index %d%s",
				node, want, lines[node], lastIndexOf(incs, node), next)
		}
	}
}

// after is the agreed log's first command beyond the end of a node's log, in
// words, and the operation that asked for it.
func (f *facts) after(l *agreedLog, incs []*incarnation, node string) (*rundir.Op, string) {
	end := position{lastIndexOf(incs, node), 0}
	for _, inc := range incs {
		if n := len(inc.entries); inc.node == node && inc.last && n > 0 && inc.entries[n-1].index == end.index {
			end.offset = uint32(len(inc.entries[n-1].lines)) // the first that is not there
		}
	}
	for _, e := range l.entries {
		for i := range e.lines {
			if line := &e.lines[i]; (position{e.index, line.Offset}).compare(end) >= 0 {
				return f.opOf(line), fmt.Sprintf("; the next command is at index %d offset %d, on node %s", e.index, line.Offset, e.node)
			}
		}
	}
	return nil, ""
}

func lastIndexOf(incs []*incarnation, node string) uint64 {
	end := uint64(0)
	for _, inc := range incs {
		if inc.node == node && inc.last {
			end = inc.end()
		}
	}
	return end
}

// opOf is the client operation that a line of the log belongs to, or nil.
func (f *facts) opOf(line *rundir.Applied) *rundir.Op {
	if line == nil || line.Client == "" {
		return nil
	}
	return f.bySession[session{line.Client, line.Seq}]
}
