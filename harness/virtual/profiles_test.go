package virtual

import (
	"path/filepath"
	"testing"
	"time"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// TestProfiles runs every profile once, short, each under another fault; `make
// profiles` runs each on every backend.
func TestProfiles(t *testing.T) {
	for i, p := range []struct{ workload, fault string }{
		{"create", "slow-disk"}, {"overwrite", "crash-primary"}, {"gfs-x", "crash-leader"}, {"gfs-y", "isolate-leader"}, {"spotify", "crash-follower"},
		{"gfs-append-N", "crash-two-chunkservers"}, {"prod-cons", "isolate-chunkserver"}, {"rename-commit", "stop-chunkserver"}, {"bigdir", "crash-leader"},
		{"snap-append", "power-loss"}, {"delete-gc", "crash-chunkserver"}, {"write-only", "power-loss"}, {"cas-create", "one-way-in"},
		{"alloc-only", "crash-leader"}, {"mdtest-easy", "split-minority"}, {"append", "bit-rot"}, {"lease-churn", "crash-follower"}, {"quota", "crash-leader"},
	} {
		plan := harness.ProfilePlan(node.Replicated()[i%3], p.workload, p.fault, uint64(300+i))
		plan.Rate = min(plan.Rate, 400)
		plan.Duration, plan.FaultFor = rundir.Duration(1800*time.Millisecond), rundir.Duration(500*time.Millisecond)
		t.Run(harness.RunName(plan), func(t *testing.T) {
			r := record(t, harness.Job{Plan: plan, Dir: filepath.Join(t.TempDir(), "run"), Created: time.Now()})
			if r.Error != "" || r.Verdict.Verdict != rundir.Valid {
				t.Errorf("verdict %s %s\nreplay: %s", r.Verdict.Verdict, r.Error, harness.ReplayCommand(plan))
				for _, c := range r.Verdict.Checks {
					if c.Verdict != rundir.Valid {
						t.Logf("%s: %s %v", c.Name, c.Verdict, c.Details)
					}
				}
			}
		})
	}
}
