package check

import (
	"context"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

// judge runs all checkers and returns the verdict with its results by name.
func judge(t *testing.T, run *rundir.Run) (rundir.Verdict, map[string]rundir.CheckResult) {
	t.Helper()
	v := Run(context.Background(), run)
	byName := map[string]rundir.CheckResult{}
	for _, c := range v.Checks {
		byName[c.Name] = c
	}
	return v, byName
}

func explain(v rundir.Verdict) string {
	var b strings.Builder
	for _, c := range v.Checks {
		b.WriteString(c.Name + ": " + c.Verdict + "\n")
		for _, d := range c.Details {
			b.WriteString("    " + d + "\n")
		}
	}
	return b.String()
}

// TestCorrectRunsAreValid judges runs of every workload that are right by
// construction. Every checker that applies must have had something to check.
func TestCorrectRunsAreValid(t *testing.T) {
	for _, workload := range []string{"create", "append", "lease-churn"} {
		for seed := uint64(1); seed <= 3; seed++ {
			run := simulate(t, workload, seed, 12, 3000)
			v, _ := judge(t, run)
			if v.Verdict != rundir.Valid {
				t.Fatalf("%s seed %d: %s\n%s", workload, seed, v.Verdict, explain(v))
			}
			for _, c := range v.Checks {
				if len(c.Stats) == 0 || c.FirstBadOp != -1 {
					t.Errorf("%s seed %d: %s is valid and says nothing of what it checked: %+v", workload, seed, c.Name, c)
				}
			}
		}
	}
}

// TestSpeed: ten thousand operations are judged within a second.
func TestSpeed(t *testing.T) {
	for _, workload := range []string{"create", "append", "lease-churn"} {
		run := simulate(t, workload, 1, 16, 10_000)
		began := time.Now()
		v, _ := judge(t, run)
		took := time.Since(began)
		t.Logf("%s: %d operations, %d log lines a node, %s in %v", workload, len(run.Ops), len(run.Applied["m1"]), v.Verdict, took)
		if v.Verdict != rundir.Valid {
			t.Errorf("%s: %s", workload, explain(v))
		}
		if took > 5*time.Second { // 1 s on a quiet machine; this one may be shared
			t.Errorf("%s took %v", workload, took)
		}
	}
}
