package check

import (
	"slices"

	"gfslab/results/rundir"
)

// facts are what several checkers need of one run, worked out once.
type facts struct {
	run *rundir.Run
	// ops are all operations in order of invocation.
	ops []*rundir.Op
	// bySession finds the operation of a client's sequence number.
	bySession map[session]*rundir.Op
	log       *agreedLog
	replayed  *replay
	parts     []partition
}

type session struct {
	client string
	seq    uint64
}

func newFacts(run *rundir.Run) *facts {
	f := &facts{run: run, bySession: map[session]*rundir.Op{}}
	for i := range run.Ops {
		op := &run.Ops[i]
		f.ops = append(f.ops, op)
		if op.Seq != 0 {
			f.bySession[session{op.Client, op.Seq}] = op
		}
	}
	slices.SortStableFunc(f.ops, func(a, b *rundir.Op) int { return compareInt(a.Start, b.Start) })
	return f
}

// agreed is the log that the nodes agree on.
func (f *facts) agreed() *agreedLog {
	if f.log == nil {
		f.log = agree(f.run)
	}
	return f.log
}

// replay is the agreed log run through the model, with every reply compared.
func (f *facts) replay() *replay {
	if f.replayed == nil {
		f.replayed = newReplay(f)
		f.replayed.run()
	}
	return f.replayed
}

// partitions are the components of the clients' history.
func (f *facts) partitions() []partition {
	if f.parts == nil {
		f.parts = split(f.ops)
	}
	return f.parts
}

// mutates reports whether a kind of operation puts one command of its own, under
// its own session, into the log.
func mutates(kind string) bool {
	switch kind {
	case rundir.KindCreate, rundir.KindMkdir, rundir.KindDelete, rundir.KindRename, rundir.KindAllocate:
		return true
	}
	return false
}

// looks reports whether a kind of operation is a linearizable read of the master.
func looks(kind string) bool {
	switch kind {
	case rundir.KindStat, rundir.KindList, rundir.KindChunkInfo:
		return true
	}
	return false
}

func ok(op *rundir.Op) bool { return op.Outcome == rundir.OutcomeOK && op.Reply != nil }

// codeOK is the name of a reply's code when the operation did what was asked.
const codeOK = "OK"

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
