package virtual

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/harness"
	"gfslab/harness/cluster"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// TestRuns runs the job that the environment names, or, without one, short
// faulted histories of every backend and workload, each of which must be valid.
func TestRuns(t *testing.T) {
	if file := os.Getenv(harness.JobVariable); file != "" {
		runJob(t, file)
		return
	}
	faults := []string{"crash-leader", "isolate-leader", "one-way-in"}
	for i, backend := range node.Replicated() {
		for j, workload := range []string{"create", "append", "lease-churn"} {
			p := harness.DefaultPlan()
			p.Backend, p.Workload, p.Fault = backend, workload, faults[(i+j)%len(faults)]
			p.Seed, p.Tier = uint64(100+10*i+j), "virtual"
			// Virtual clients cost real CPU: a fixed rate keeps the histories short.
			p.Arrival, p.Rate = "open", 600
			p.Duration = rundir.Duration(2 * time.Second)
			p.FaultAt, p.FaultFor = rundir.Duration(500*time.Millisecond), rundir.Duration(700*time.Millisecond)
			t.Run(harness.RunName(p), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "run")
				r := record(t, harness.Job{Plan: p, Dir: dir, Created: time.Now()})
				if r.Error != "" {
					t.Fatalf("%s\nreplay: %s", r.Error, harness.ReplayCommand(p))
				}
				if r.Verdict.Verdict != rundir.Valid {
					t.Errorf("verdict %s\nreplay: %s", r.Verdict.Verdict, harness.ReplayCommand(p))
				}
				for _, c := range r.Verdict.Checks {
					t.Logf("%s: %s %v %v", c.Name, c.Verdict, c.Stats, c.Details)
				}
			})
		}
	}
}

func runJob(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var job harness.Job
	if err := json.Unmarshal(text, &job); err != nil {
		t.Fatal(err)
	}
	r := record(t, job)
	if text, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(harness.ResultFile(file), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// record runs a job in a bubble and judges it outside: the checkers' time limits
// are of real time.
func record(t *testing.T, job harness.Job) (r harness.JobResult) {
	var err error
	synctest.Test(t, func(t *testing.T) {
		world := cluster.VirtualWorld(job.Plan.Seed)
		r.Stats, err = harness.Record(context.Background(), job.Plan, harness.RunOptions{
			Dir: job.Dir, Info: job.Info, Host: &job.Host, World: &world, Created: job.Created,
		})
	})
	if err == nil {
		r.Verdict, err = harness.Check(context.Background(), job.Dir, 0)
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}
