package virtual

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// TestRolling replaces all masters under load while leaders crash. Every history
// must be valid, and the old masters gone.
func TestRolling(t *testing.T) {
	for i, backend := range node.Replicated() {
		p := harness.RollingPlan(backend, "register", "crash-leader", "matched-3", uint64(11+i))
		t.Run(backend, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			r := record(t, harness.Job{Plan: p, Dir: dir, Created: time.Now()})
			if r.Error != "" || r.Verdict.Verdict != rundir.Valid {
				t.Fatalf("%s %s\n%s\nreplay: %s", r.Error, r.Verdict.Verdict, told(r.Verdict), harness.ReplayCommand(p))
			}
			run, err := rundir.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{"m1", "m2", "m3"}; !slices.Equal(run.Counters.Left, want) {
				t.Errorf("%v left, want %v", run.Counters.Left, want)
			}
			steps := harness.RollingSteps(dir, p, r.Verdict, nil)
			if len(steps) != 3 {
				t.Fatalf("%d steps", len(steps))
			}
			for _, s := range steps {
				if s.Stopped < s.Removed || s.Removed <= s.Voted || s.Voted <= s.Joined || s.Joined <= 0 || s.Gap <= 0 {
					t.Errorf("%+v", s)
				}
				t.Logf("%+v", s)
			}
			for _, node := range []string{"m4", "m5", "m6"} {
				if len(run.Applied[node]) == 0 {
					t.Errorf("%s has applied nothing", node)
				}
			}
		})
	}
}
