package harness

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/harness/cluster"
	"gfslab/results/rundir"
)

// recordVirtual runs a plan in a bubble of virtual time and loads what it left.
func recordVirtual(t *testing.T, p rundir.Plan) (*rundir.Run, Stats) {
	t.Helper()
	p.Tier = "virtual"
	dir := filepath.Join(t.TempDir(), "run")
	var stats Stats
	synctest.Test(t, func(t *testing.T) {
		world := cluster.VirtualWorld(p.Seed)
		var err error
		stats, err = Record(context.Background(), p, RunOptions{Dir: dir, Host: &rundir.Host{}, World: &world})
		if err != nil {
			t.Fatalf("%v\nreplay: %s", err, ReplayCommand(p))
		}
	})
	loaded, err := rundir.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return loaded, stats
}

// hardPlan makes appends with steps (small chunks), redirects, and operations of
// unknown end (they give up before the fault is over).
func hardPlan(workload string, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed = "etcdraft", workload, "crash-leader", seed
	p.Arrival, p.Rate, p.Clients, p.ChunkBytes, p.RecordBytes = "open", 600, 6, 8192, 700
	p.OpTimeout = rundir.Duration(60 * time.Millisecond)
	p.FaultRepeat, p.Duration = 3, rundir.Duration(2500*time.Millisecond)
	p.FaultEvery = rundir.Duration(700 * time.Millisecond)
	return p
}

func TestHistoryOfAppends(t *testing.T) {
	testHistory(t, "append", "allocate ok", "allocate unknown", "find-lease ok", "append ok")
}

func TestHistoryOfCreates(t *testing.T) {
	testHistory(t, "create", "create ok", "create unknown", "create fail", "list ok")
}

// testHistory runs a workload and holds its record to what a recorder must do.
// The runs must make every one of the kinds. How many come of one seed depends on
// which goroutine of an instant goes first, so further seeds run until all are met.
func testHistory(t *testing.T, workload string, want ...string) {
	kinds := map[string]int{}
	missing := want
	for seed := uint64(5); len(missing) > 0; seed++ {
		if seed == 15 {
			t.Fatalf("ten seeds make no operation %q: too little of what this test is about", missing)
		}
		t.Logf("seed %d", seed)
		testHistoryOf(t, hardPlan(workload, seed), kinds)
		missing = slices.DeleteFunc(slices.Clone(missing), func(kind string) bool { return kinds[kind] > 0 })
		t.Log(kinds)
	}
}

// testHistoryOf holds one run's record to what a recorder must do, and counts its
// operations by kind and outcome.
func testHistoryOf(t *testing.T, p rundir.Plan, kinds map[string]int) {
	run, stats := recordVirtual(t, p)
	threads := map[int][]rundir.Op{} // own operations, in order of invocation
	var steps []rundir.Op
	for _, op := range run.Ops {
		kinds[op.Kind+" "+op.Outcome]++
		if isStep(run.Ops, op) {
			steps = append(steps, op)
			continue
		}
		threads[op.Thread] = append(threads[op.Thread], op)
	}
	for _, ops := range threads {
		checkThread(t, ops)
	}
	for _, s := range steps {
		if !within(threads[s.Thread], s) {
			t.Errorf("step %+v lies in no append of its thread and client", s)
		}
	}
	sessions := map[string]int64{}
	for _, op := range run.Ops {
		if op.Seq == 0 {
			continue
		}
		key := fmt.Sprint(op.Client, " ", op.Seq)
		if id, twice := sessions[key]; twice {
			t.Errorf("operations %d and %d share session %s", id, op.ID, key)
		}
		sessions[key] = op.ID
	}
	checkWindow(t, run, stats)
}

// isStep reports whether an append, or a reading of a file's records, of the same
// thread was under way all through the operation: a thread does one thing of its own at a time.
func isStep(ops []rundir.Op, op rundir.Op) bool {
	for _, a := range ops {
		if (a.Kind == rundir.KindAppend || a.Kind == rundir.KindReadRecords) && a.Thread == op.Thread && a.ID < op.ID && a.Start <= op.Start && lastAttempt(a) >= lastAttempt(op) {
			return true
		}
	}
	return false
}

func lastAttempt(op rundir.Op) int64 {
	if n := len(op.Attempts); n > 0 {
		return op.Attempts[n-1].End
	}
	return op.End
}

func checkThread(t *testing.T, ops []rundir.Op) {
	t.Helper()
	given := map[string]bool{} // clients given up
	last := map[string]uint64{}
	for i, op := range ops {
		if op.Due > op.Start {
			t.Errorf("operation %d began %d ns before it was due", op.ID, op.Due-op.Start)
		}
		for _, a := range op.Attempts {
			if a.Start < op.Start || a.End < a.Start || op.End >= 0 && a.End > op.End {
				t.Errorf("operation %d in [%d, %d] has an attempt in [%d, %d]", op.ID, op.Start, op.End, a.Start, a.End)
			}
		}
		if i > 0 && op.Start < lastAttempt(ops[i-1]) {
			t.Errorf("operation %d began while %d of its thread was under way", op.ID, ops[i-1].ID)
		}
		if given[op.Client] {
			t.Errorf("operation %d is of client %s, which has one of unknown end", op.ID, op.Client)
		}
		given[op.Client] = op.Outcome == rundir.OutcomeUnknown
		if op.Seq != 0 {
			if op.Seq != last[op.Client]+1 {
				t.Errorf("operation %d of client %s has seq %d after %d", op.ID, op.Client, op.Seq, last[op.Client])
			}
			last[op.Client] = op.Seq
		}
		if op.Kind == rundir.KindAppend && (op.CRC == 0 || op.Length == 0) {
			t.Errorf("append %d tells nothing of its bytes", op.ID)
		}
	}
}

func within(ops []rundir.Op, s rundir.Op) bool {
	for _, a := range ops {
		// A step of an append keeps the append's client, or has one of its own
		// for allocations.
		own := a.Kind == rundir.KindAppend || a.Kind == rundir.KindReadRecords
		if own && a.Start <= s.Start && lastAttempt(a) >= lastAttempt(s) && (a.Client == s.Client || s.Kind == rundir.KindAllocate) {
			return true
		}
	}
	return false
}

// checkWindow holds the counters to the history.
func checkWindow(t *testing.T, run *rundir.Run, stats Stats) {
	t.Helper()
	c, p := run.Counters, run.Manifest.Plan
	if got, want := c.Seconds, time.Duration(p.Duration).Seconds(); got < want || got > want+0.05 {
		t.Errorf("the window took %v s, planned were %v s", got, want)
	}
	began := run.Faults[0].Due - int64(p.FaultAt)
	end := began + int64(c.Seconds*1e9)
	var answered uint64
	var all int64
	for _, op := range run.Ops {
		if op.Phase != rundir.PhasePreload {
			all++
		}
		own := op.Phase == rundir.PhaseRun && op.Outcome == rundir.OutcomeOK && op.End <= end
		if own && !isStep(run.Ops, op) {
			answered++
		}
	}
	if c.Operations != answered {
		t.Errorf("%d operations counted, %d were answered in the window", c.Operations, answered)
	}
	if stats.Operations != all || stats.OK+stats.Fail+stats.Unknown != all {
		t.Errorf("summed up as %+v, there are %d", stats, all)
	}
	f := run.Faults[0]
	if !f.Observed || f.Inject < f.Due || f.Inject-f.Due > 1e6 || f.Heal-f.Inject < int64(p.FaultFor) ||
		f.Detected <= f.Inject || f.Elected < f.Detected || f.Committed < f.Elected {
		t.Errorf("the fault is told as %+v", f)
	}
	for node, n := range c.Applied {
		last := 0
		for _, line := range run.Applied[node] {
			last = max(last, line.Run)
		}
		var lines uint64
		for _, line := range run.Applied[node] {
			if line.Run == last {
				lines++
			}
		}
		if lines < n {
			t.Errorf("%s has %d applied lines, %d commands were counted", node, lines, n)
		}
	}
}
