package check

import (
	"context"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

// TestPower takes away, one by one, what a run needs to mean anything. None of
// these runs violates anything, and none may pass.
func TestPower(t *testing.T) {
	for _, c := range []struct {
		name, workload, checker, verdict, says string
		do                                     func(run *rundir.Run)
	}{
		{"few reads", "create", "assumptions", rundir.Unknown, "linearizable reads by other clients", func(run *rundir.Run) {
			keep := run.Ops[:0]
			for _, op := range run.Ops {
				if !looks(&op) || op.ID%4 == 0 {
					keep = append(keep, op)
				}
			}
			run.Ops = keep
		}},
		{"reads by the only writer", "create", "assumptions", rundir.Unknown, "linearizable reads by other clients", func(run *rundir.Run) {
			for i := range run.Ops {
				run.Ops[i].Thread = 0
			}
		}},
		{"no overlap", "append", "assumptions", rundir.Unknown, "overlapped", func(run *rundir.Run) {
			for i := range run.Ops {
				if op := &run.Ops[i]; op.End >= 0 {
					op.Start = op.End // a moment: shorter intervals are harder to satisfy, and still right
				}
			}
		}},
		{"a fault that nobody saw", "create", "assumptions", rundir.Void, "was not observed", func(run *rundir.Run) { run.Faults[0].Observed = false }},
		{"a fault that was never injected", "create", "assumptions", rundir.Void, "none was injected", func(run *rundir.Run) { run.Faults = nil }},
		{"a fault too early", "create", "assumptions", rundir.Unknown, "succeeded before the fault", func(run *rundir.Run) { run.Faults[0].Inject = 1 }},
		{"a fault that never ended", "create", "assumptions", rundir.Unknown, "was over succeeded", func(run *rundir.Run) { run.Faults[0].Elected, run.Faults[0].Heal = 0, -1 }},
		{"nobody asked the deposed leader", "create", "assumptions", rundir.Unknown, "had deposed it", func(run *rundir.Run) {
			for i := range run.Ops {
				run.Ops[i].Attempts = nil
			}
		}},
		{"no applied logs", "create", "logs-agree", rundir.Unknown, "no node left an applied log", func(run *rundir.Run) { run.Applied, run.Counters.Applied = nil, nil }},
		{"no log to replay", "lease-churn", "certificate", rundir.Unknown, "no log to replay", func(run *rundir.Run) { run.Applied = nil }},
		{"no lease events", "lease-churn", "leases", rundir.Unknown, "no lease to check", func(run *rundir.Run) { run.Leases = nil }},
		{"no appends", "append", "records", rundir.Unknown, "no record append was acknowledged", func(run *rundir.Run) { run.Ops = run.Ops[:5] }},
		{"a chunk list missing", "append", "records", rundir.Unknown, "chunk list of cs2 is missing", func(run *rundir.Run) { delete(run.Chunks, "cs2") }},
		{"no history", "create", "linearizable", rundir.Unknown, "no operation on the master", func(run *rundir.Run) { run.Ops = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := simulate(t, c.workload, 5, 8, 1200)
			c.do(run)
			v, byName := judge(t, run)
			got := byName[c.checker]
			if got.Verdict != c.verdict || !strings.Contains(strings.Join(got.Details, "\n"), c.says) {
				t.Errorf("%s by %s, want %s saying %q:\n%s", got.Verdict, c.checker, c.verdict, c.says, explain(v))
			}
			if v.Verdict == rundir.Valid {
				t.Errorf("the run passes")
			}
		})
	}
}

// TestOutOfTime: a check that cannot finish is unknown, never a pass.
func TestOutOfTime(t *testing.T) {
	run := simulate(t, "create", 5, 8, 1200)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range All() {
		if got := c.Check(ctx, run); got.Verdict == rundir.Valid {
			t.Errorf("%s passes a run that it had no time to look at", c.Name)
		}
	}
	run.Manifest.Plan.CheckTimeout = rundir.Duration(time.Nanosecond)
	if v := Run(context.Background(), run); v.Verdict != rundir.Unknown {
		t.Errorf("with a nanosecond a check: %s\n%s", v.Verdict, explain(v))
	}
}

// TestUnreplicated: one node, no fault: the control is judged by the same rules.
func TestUnreplicated(t *testing.T) {
	run := simulate(t, "create", 6, 8, 1200)
	run.Applied = map[string][]rundir.Applied{"m1": run.Applied["m1"]}
	run.Counters.Applied = map[string]uint64{"m1": uint64(len(run.Applied["m1"]))}
	run.Faults, run.Manifest.Plan.Fault = nil, "none"
	run.Manifest.Plan.Replicas, run.Manifest.Nodes = 1, []string{"m1", "cs1", "cs2", "cs3"}
	if v, _ := judge(t, run); v.Verdict != rundir.Valid {
		t.Errorf("%s\n%s", v.Verdict, explain(v))
	}
}

// TestVerdictComesFromTheRecordsAlone: judging a loaded run again gives the same
// verdict, whatever verdict.json says.
func TestVerdictComesFromTheRecordsAlone(t *testing.T) {
	dir := t.TempDir() + "/run"
	if err := rundir.Save(dir, simulate(t, "append", 7, 12, 3000)); err != nil {
		t.Fatal(err)
	}
	var verdicts []string
	var told string
	for _, before := range []string{"", rundir.Invalid, rundir.Valid} {
		if before != "" {
			if err := rundir.WriteVerdict(dir, rundir.Verdict{Verdict: before}); err != nil {
				t.Fatal(err)
			}
		}
		run, err := rundir.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := judge(t, run)
		verdicts, told = append(verdicts, v.Verdict), explain(v)
	}
	for _, v := range verdicts {
		if v != rundir.Valid {
			t.Errorf("verdicts %v, want all valid:\n%s", verdicts, told)
		}
	}
}
