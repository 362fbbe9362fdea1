package check

import (
	"fmt"
	"slices"

	"gfslab/results/rundir"
)

// ledger is what comes of replaying the agreed log, whatever the state machine:
// where each command stands, and what was wrong.
type ledger struct {
	f        *facts
	faults   []fault
	commands map[session]*logged
	order    []session // of commands, as in the log
	applied  int
	compared int // reads answered

	reads []*rundir.Op // sorted by position
	next  int          // of reads
}

// logged is a session's command at its first place in the log.
type logged struct {
	at position
	// carries tells whether it is what an operation asked for.
	carries func(op *rundir.Op) bool
	// aside: an append may have put it there on its way.
	aside bool
	// text describes it.
	text func() string
}

// fault is one thing that the replay found wrong.
type fault struct {
	op   *rundir.Op
	at   position
	text string
}

func newLedger(f *facts) ledger {
	r := ledger{f: f, commands: map[session]*logged{}}
	for _, op := range f.ops {
		if ok(op) && !mutates(op.Kind) && positioned(op) {
			r.reads = append(r.reads, op)
		}
	}
	l := f.agreed()
	slices.SortStableFunc(r.reads, func(a, b *rundir.Op) int { return sees(l, a).compare(sees(l, b)) })
	return r
}

func (r *ledger) blame(op *rundir.Op, at position, format string, args ...any) {
	r.faults = append(r.faults, fault{op, at, fmt.Sprintf(format, args...)})
}

// blameRead records a lookup that does not fit the log.
func (r *ledger) blameRead(op *rundir.Op, at position, got, want string) {
	r.blame(op, at, "node %s answered %s at index %d offset %d; the log up to there says %s", op.Reply.Node, got, at.index, at.offset, want)
}

// walk applies the agreed log, and has each lookup compared where it stands.
func (r *ledger) walk(apply func(at position, line *rundir.Applied, node string), compare func(op *rundir.Op)) {
	answerBefore := func(p position) {
		l := r.f.agreed()
		for r.next < len(r.reads) && sees(l, r.reads[r.next]).compare(p) <= 0 {
			compare(r.reads[r.next])
			r.next++
			r.compared++
		}
	}
	for _, e := range r.f.agreed().entries {
		answerBefore(position{e.index, 0})
		for i := range e.lines {
			at := position{e.index, e.lines[i].Offset}
			answerBefore(at)
			apply(at, &e.lines[i], e.node)
			r.applied++
		}
	}
	answerBefore(position{^uint64(0), 0})
}

// note remembers a client's command at its first place in the log.
func (r *ledger) note(key session, c *logged) {
	if r.commands[key] != nil {
		return // malformed, or forgotten and applied anew
	}
	r.commands[key] = c
	r.order = append(r.order, key)
}

// whole reports whether a lookup names the last entry that it saw as a whole, as
// it must, and blames it if not.
func (r *ledger) whole(op *rundir.Op) bool {
	l, rep := r.f.agreed(), op.Reply
	n := 0
	if i, ok := l.at[rep.Index]; ok {
		n = len(l.entries[i].lines)
	}
	if int(rep.Offset) != n {
		r.blame(op, position{rep.Index, rep.Offset}, "the reply of node %s stands at index %d offset %d, but the entry has %d commands", rep.Node, rep.Index, rep.Offset, n)
		return false
	}
	return true
}
