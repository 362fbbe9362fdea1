package virtual

import (
	"path/filepath"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// TestRegister runs workload register on every backend in every read mode, with
// faults and snapshots. Every history must be valid by its mode's rule.
func TestRegister(t *testing.T) {
	faults := []string{"crash-leader", "isolate-leader", "one-way-in", "split-minority"}
	modes := []consensus.ReadMode{consensus.ReadLinearizable, consensus.ReadLease, consensus.ReadLog, consensus.ReadStale}
	for i, backend := range node.Replicated() {
		for j, mode := range modes {
			p := harness.DefaultPlan()
			p.Backend, p.Workload, p.Fault = backend, "register", faults[(i+j)%len(faults)]
			p.Seed, p.Tier = uint64(200+10*i+j), "virtual"
			p.Arrival, p.Rate = "open", 1200
			p.FaultAt, p.FaultFor = rundir.Duration(400*time.Millisecond), rundir.Duration(700*time.Millisecond)
			p.Limits = rundir.Limits{ReadMode: string(mode), SnapshotEvery: 100, TrailingEntries: 20}
			t.Run(harness.RunName(p)+"-"+string(mode), func(t *testing.T) {
				r := record(t, harness.Job{Plan: p, Dir: filepath.Join(t.TempDir(), "run"), Created: time.Now()})
				if r.Error != "" || r.Verdict.Verdict != rundir.Valid {
					t.Errorf("%s %s\n%s\nreplay: %s", r.Error, r.Verdict.Verdict, told(r.Verdict), harness.ReplayCommand(p))
				}
				for _, c := range r.Verdict.Checks {
					t.Logf("%s: %s %v", c.Name, c.Verdict, c.Stats)
				}
			})
		}
	}
}
