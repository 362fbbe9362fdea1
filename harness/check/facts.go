package check

import (
	"slices"

	"gfslab/results/rundir"
	"gfslab/workloads"
)

// facts are what several checkers need of one run, worked out once.
type facts struct {
	run *rundir.Run
	// ops are all operations in order of invocation.
	ops []*rundir.Op
	// bySession finds the operation of a client's sequence number.
	bySession map[session]*rundir.Op
	// again are operations under a session that an earlier one had already.
	again []*rundir.Op
	// applied is when the first node applied an index.
	applied  map[uint64]int64
	log      *agreedLog
	replayed *replay
	kv       *kvReplay
	parts    []partition
	bounds   bounds
}

type session struct {
	client string
	seq    uint64
}

func newFacts(run *rundir.Run) *facts {
	f := &facts{run: run, bySession: map[session]*rundir.Op{}, bounds: usualBounds()}
	for i := range run.Ops {
		op := &run.Ops[i]
		f.ops = append(f.ops, op)
		if op.Seq == 0 {
			continue
		}
		key := session{op.Client, op.Seq}
		if f.bySession[key] != nil {
			f.again = append(f.again, op)
			continue
		}
		f.bySession[key] = op
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

// isKV reports whether the run was one of the key-value store.
func (f *facts) isKV() bool { return workloads.IsKV(f.run.Manifest.Plan.Workload) }

// ledger is what comes of the replay.
func (f *facts) ledger() *ledger {
	if !f.isKV() {
		return &f.replay().ledger
	}
	if f.kv == nil {
		f.kv = newKVReplay(f)
		f.kv.run()
	}
	return &f.kv.ledger
}

// firstApplied is when the first node applied the command or commands at index.
// It is not known where the log of a master is missing: that one may have been
// the first.
func (f *facts) firstApplied(index uint64) (at int64, known bool) {
	if len(f.run.Applied) < f.run.Manifest.Plan.Replicas+f.run.Manifest.Plan.Replace {
		return 0, false
	}
	if f.applied == nil {
		f.applied = map[uint64]int64{}
		for _, lines := range f.run.Applied {
			if len(lines) == 0 {
				f.applied = map[uint64]int64{}
				return 0, false
			}
			for i := range lines {
				if t, has := f.applied[lines[i].Index]; !lines[i].Restored && (!has || lines[i].At < t) {
					f.applied[lines[i].Index] = lines[i].At
				}
			}
		}
	}
	at, known = f.applied[index]
	return at, known
}

// appends reports whether records were appended. What the plan calls its workload
// does not excuse a run from being checked for what it did.
func (f *facts) appends() bool {
	return f.run.Manifest.Plan.Workload == workloadAppend || f.did(rundir.KindAppend)
}

// leases reports whether leases were granted.
func (f *facts) leases() bool {
	if f.appends() || f.run.Manifest.Plan.Workload == workloadLease || f.did(rundir.KindFindLease) {
		return true
	}
	for _, events := range f.run.Leases {
		if len(events) > 0 {
			return true
		}
	}
	return false
}

// writes reports whether bytes were written or read at offsets.
func (f *facts) writes() bool { return f.did(rundir.KindWrite) || f.did(rundir.KindReadBytes) }

// readsWhole reports whether anybody read whole files.
func (f *facts) readsWhole() bool { return f.did(rundir.KindReadRecords) }

func (f *facts) did(kind string) bool {
	return slices.ContainsFunc(f.ops, func(op *rundir.Op) bool { return op.Kind == kind })
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
	case rundir.KindCreate, rundir.KindMkdir, rundir.KindDelete, rundir.KindRename, rundir.KindAllocate,
		rundir.KindUndelete, rundir.KindSnapshot, rundir.KindSetAttributes,
		rundir.KindPut, rundir.KindRemove, rundir.KindSwap:
		return true
	}
	return false
}

// looks reports whether an operation is a linearizable read of the master.
func looks(op *rundir.Op) bool {
	switch op.Kind {
	case rundir.KindStat, rundir.KindList, rundir.KindChunkInfo, rundir.KindUsage, rundir.KindGet:
		return !op.Stale
	}
	return false
}

// looksBack reports whether an operation is a read of any replica, which promises
// a prefix of the log only.
func looksBack(op *rundir.Op) bool {
	return op.Kind == rundir.KindGetStale || op.Stale && !mutates(op.Kind)
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
