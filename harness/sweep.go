package harness

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gfslab/harness/nemesis"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// SweepOptions say which plans to run, each once.
type SweepOptions struct {
	Dir   string
	Plans []rundir.Plan
	// Tier of all plans: virtual ones run one process a core, local ones in turn.
	Tier     string
	Info     Info
	Host     rundir.Host
	Progress io.Writer
	// Name tells a plan apart in the progress (default: backend, workload and fault).
	Name func(rundir.Plan) string
}

// Swept is what became of one plan. A run that failed is void, with its reason.
type Swept struct {
	Plan    rundir.Plan `json:"plan"`
	Dir     string      `json:"dir"`
	Verdict string      `json:"verdict"`
	Reason  string      `json:"reason,omitempty"`
	Stats   Stats       `json:"stats"`
}

// Validate reports the first plan that cannot run.
func (o SweepOptions) Validate() error {
	for _, p := range o.Plans {
		p.Tier = o.Tier
		Normalize(&p)
		if err := ValidatePlan(p); err != nil {
			return fmt.Errorf("%s: %w", RunName(p), err)
		}
	}
	return nil
}

// Sweep runs the plans and returns their ends in the plans' order. Run directories
// are left below Dir.
func Sweep(ctx context.Context, o SweepOptions) ([]Swept, error) {
	run, at := Run, 1
	if o.Tier == "virtual" {
		if _, err := virtualBinary(); err != nil {
			return nil, err
		}
		run, at = RunVirtual, runtime.NumCPU()
	}
	if o.Name == nil {
		o.Name = func(p rundir.Plan) string { return fmt.Sprintf("%-12s %-13s %-18s", p.Backend, p.Workload, p.Fault) }
	}
	out := make([]Swept, len(o.Plans))
	var mu sync.Mutex
	done := 0
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(at)
	for i, p := range o.Plans {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			p.Tier = o.Tier
			Normalize(&p)
			begin, host := time.Now(), o.Host
			dir := filepath.Join(o.Dir, fmt.Sprintf("%03d-%s-seed%d", i+1, RunName(p), p.Seed))
			v, stats, err := run(gctx, p, RunOptions{Dir: dir, Host: &host, Info: o.Info})
			if gctx.Err() != nil {
				return gctx.Err()
			}
			s := Swept{Plan: p, Dir: dir, Verdict: v.Verdict, Stats: stats, Reason: firstFinding(v)}
			if err != nil {
				s.Verdict, s.Reason = rundir.Void, err.Error()
			}
			out[i] = s
			mu.Lock()
			defer mu.Unlock()
			done++
			fmt.Fprintf(o.Progress, "[%3d/%d] %s seed %-3d %s %.1fs\n", done, len(o.Plans), o.Name(p), p.Seed, s.Verdict, time.Since(begin).Seconds())
			return nil
		})
	}
	err := g.Wait()
	if err == nil {
		err = writeJSON(filepath.Join(o.Dir, "sweep.json"), out)
	}
	return out, err
}

// firstFinding is what the first check that is not valid says first.
func firstFinding(v rundir.Verdict) string {
	for _, c := range v.Checks {
		if c.Verdict == v.Verdict && c.Verdict != rundir.Valid {
			if len(c.Details) > 0 {
				return c.Name + ": " + c.Details[0]
			}
			return c.Name
		}
	}
	return ""
}

// FaultFor is the n-th of the faults, gone through in turn, or the next one that can
// be injected under the workload: a primary is nobody's victim where there is none.
func FaultFor(workload string, faults []string, n int) string {
	w, _ := workloads.Find(workload)
	for i := range faults {
		if f := faults[(n+i)%len(faults)]; w.Primaries || f != "crash-primary" {
			return f
		}
	}
	return nemesis.None
}

// ProfilePlan is a short plan of a profile under a fault, with five chunkservers
// where chunks matter, so that replicas can be made anew.
func ProfilePlan(backend, workload, fault string, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed, p.Tier = backend, workload, fault, seed, "virtual"
	p.Arrival, p.Rate, p.Clients, p.Chunkservers = "open", 600, 8, 5
	p.Duration = rundir.Duration(2500 * time.Millisecond)
	p.FaultAt, p.FaultFor = rundir.Duration(500*time.Millisecond), rundir.Duration(800*time.Millisecond)
	p.DeadAfter, p.ReplicateAfter = rundir.Duration(300*time.Millisecond), rundir.Duration(200*time.Millisecond)
	p.OrphanAge, p.Settle = rundir.Duration(300*time.Millisecond), rundir.Duration(15*time.Second)
	p.Fencing, p.ScrubRate = true, 16<<20
	p.Period = rundir.Duration(500 * time.Millisecond)
	switch workload {
	case "bigdir":
		p.Files = 400
	case "quota": // one component of the history
		p.Rate, p.Retention = 250, rundir.Duration(400*time.Millisecond)
	case "mdtest-easy":
		p.Files = 25
	case "prod-cons":
		// The fewer records in a chunk are open at once, the sooner a verdict is found.
		p.Clients, p.Rate = 17, 300
	case "snap-append":
		p.Clients = 9
	case "delete-gc":
		p.Retention = rundir.Duration(500 * time.Millisecond)
	}
	Normalize(&p)
	return p
}

// PowerLossPlan is a short plan in whose middle every node loses power at once.
// What was not synced is gone.
func PowerLossPlan(backend, workload string, seed uint64) rundir.Plan {
	p := ProfilePlan(backend, workload, "power-loss", seed)
	p.Duration, p.FaultFor = rundir.Duration(3*time.Second), rundir.Duration(300*time.Millisecond)
	// Anywhere in 200 ms of the load, so that it falls between any two syncs.
	p.FaultAt = rundir.Duration(500*time.Millisecond + time.Duration(seed*7919%200)*time.Millisecond + time.Duration(seed*104729%1000)*time.Microsecond)
	p.Chunkservers = 3
	if p.Workload == "register" {
		p.Chunkservers = 0
	}
	return p
}
