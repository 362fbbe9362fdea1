package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gfslab/harness/nemesis"
	"gfslab/results/rundir"
)

// RollingPlan is the plan of one rolling replacement: all three masters are
// replaced under load, one every two seconds; a fault, if any, is injected right
// after each replacement has begun.
func RollingPlan(backend, workload, fault, setting string, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Setting, p.Seed, p.Tier = backend, workload, fault, setting, seed, "virtual"
	p.Arrival, p.Rate = "open", 600
	p.Duration = rundir.Duration(7500 * time.Millisecond)
	p.Replace, p.ReplaceAt, p.ReplaceEvery = 3, rundir.Duration(time.Second), rundir.Duration(2*time.Second)
	// A step takes tens of milliseconds: the fault falls into it, or just
	// before or after, as the seed has it.
	p.FaultRepeat, p.FaultEvery, p.FaultFor = 3, p.ReplaceEvery, rundir.Duration(600*time.Millisecond)
	p.FaultAt = p.ReplaceAt + rundir.Duration(time.Duration(seed%8)*15*time.Millisecond)
	p.Limits.SnapshotEvery, p.Limits.TrailingEntries = 200, 50
	Normalize(&p)
	return p
}

// RollingStep is one replacement of one run, in milliseconds.
type RollingStep struct {
	Backend string `json:"backend"`
	Fault   string `json:"fault"`
	Seed    uint64 `json:"seed"`
	Step    int    `json:"step"` // from 1
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	// OldLed: the old node led when the step began.
	OldLed bool `json:"old_led"`
	// Joined, Voted, Removed and Stopped are counted from the step's begin.
	Joined  float64 `json:"joined_ms"`
	Voted   float64 `json:"voted_ms"`
	Removed float64 `json:"removed_ms"`
	Stopped float64 `json:"stopped_ms"`
	// Gap is the longest time without a served mutation from the step's begin to
	// afterStep past its end; Usual that of an equal time before the first step.
	Gap   float64 `json:"gap_ms"`
	Usual float64 `json:"usual_gap_ms"`
}

// afterStep is how long after a step's end a gap still counts as its own.
const afterStep = 500 * time.Millisecond

// RollingSteps reads the steps of a run. One that failed has one void step.
func RollingSteps(dir string, p rundir.Plan, v rundir.Verdict, runErr error) []RollingStep {
	first := RollingStep{Backend: p.Backend, Fault: p.Fault, Seed: p.Seed, Step: 1, Verdict: v.Verdict}
	run, err := rundir.Load(dir)
	if err := errors.Join(runErr, err); err != nil {
		first.Verdict, first.Reason = rundir.Void, err.Error()
		return []RollingStep{first}
	}
	var out []RollingStep
	ms := func(ns int64) float64 { return float64(ns) / 1e6 }
	for i, x := range run.Counters.Replacements {
		s := first
		s.Step, s.OldLed = i+1, x.OldLed
		s.Joined, s.Voted, s.Removed, s.Stopped = ms(x.CaughtUp-x.Began), ms(x.Votes-x.Began), ms(x.Removed-x.Began), ms(x.Stopped-x.Began)
		to := x.Stopped + int64(afterStep)
		before := run.Counters.Replacements[0].Began
		s.Gap = ms(rundir.LongestGap(run.Ops, x.Began, to))
		s.Usual = ms(rundir.LongestGap(run.Ops, max(0, before-(to-x.Began)), before))
		out = append(out, s)
	}
	return out
}

// RollingOptions say which rolling replacements to run.
type RollingOptions struct {
	Dir               string
	Backends, Faults  []string
	Workload, Setting string
	Tier              string
	Seed              uint64
	Runs              int // a backend and fault
	Info              Info
	Host              rundir.Host
	Progress          io.Writer
}

// plans lists the plans in the order in which they run.
func (o RollingOptions) plans() []rundir.Plan {
	var out []rundir.Plan
	for i := range o.Runs {
		for _, fault := range o.Faults {
			for _, b := range o.Backends {
				p := RollingPlan(b, o.Workload, fault, o.Setting, o.Seed+uint64(i))
				p.Tier = o.Tier
				out = append(out, p)
			}
		}
	}
	return out
}

// Validate reports the first plan that cannot run.
func (o RollingOptions) Validate() error {
	if o.Runs < 1 {
		return fmt.Errorf("runs is %d; it must be at least 1", o.Runs)
	}
	for _, p := range o.plans() {
		if err := ValidatePlan(p); err != nil {
			return err
		}
	}
	return nil
}

// RollingFaults are the faults of a rolling replacement by default.
func RollingFaults() []string { return []string{nemesis.None, "crash-leader"} }

// Rolling runs rolling replacements, in virtual time one process a core, in real
// time one after the other, and returns every step. Run directories are left
// below Dir.
func Rolling(ctx context.Context, o RollingOptions) ([]RollingStep, error) {
	run, at := Run, 1
	if o.Tier == "virtual" {
		if _, err := virtualBinary(); err != nil {
			return nil, err
		}
		run, at = RunVirtual, runtime.NumCPU()
	}
	plans := o.plans()
	steps := make([][]RollingStep, len(plans))
	var mu sync.Mutex
	done := 0
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(at)
	for i, p := range plans {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			begin := time.Now()
			dir := filepath.Join(o.Dir, fmt.Sprintf("%s-%s-%d", p.Backend, p.Fault, p.Seed))
			host := o.Host
			v, _, err := run(gctx, p, RunOptions{Dir: dir, Host: &host, Info: o.Info})
			if gctx.Err() != nil {
				return gctx.Err()
			}
			steps[i] = RollingSteps(dir, p, v, err)
			mu.Lock()
			defer mu.Unlock()
			done++
			verdict := v.Verdict
			if err != nil {
				verdict = rundir.Void + ": " + err.Error()
			}
			fmt.Fprintf(o.Progress, "[%3d/%d] rolling %-12s %-14s seed %d: %s %.1fs\n", done, len(plans), p.Backend, p.Fault, p.Seed, verdict, time.Since(begin).Seconds())
			return nil
		})
	}
	err := g.Wait()
	var all []RollingStep
	for _, s := range steps {
		all = append(all, s...)
	}
	if err == nil {
		err = writeJSON(filepath.Join(o.Dir, "rolling.json"), all)
	}
	return all, err
}
