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

	"gfslab/results/rundir"
)

// failoversPerRun is how many failovers one virtual run holds: enough to share
// the cost of starting a cell, few enough that its history is checked quickly.
const failoversPerRun = 10

// FailoverPlan is the plan of one virtual run of failovers: the leader is killed
// again and again at a random point of its heartbeat interval, while clients
// create and read at a fixed rate.
func FailoverPlan(backend, setting string, seed uint64, failovers int) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Setting, p.Seed, p.Tier = backend, setting, seed, "virtual"
	p.Fault, p.FaultRepeat = "crash-leader", failovers
	p.Chunkservers, p.Clients = 1, 16
	p.Arrival, p.Rate = "open", 120
	p.WarmUp = rundir.Duration(500 * time.Millisecond)
	p.FaultAt, p.FaultFor = rundir.Duration(700*time.Millisecond), rundir.Duration(700*time.Millisecond)
	p.FaultEvery = rundir.Duration(1600 * time.Millisecond)
	p.Duration = lastHeal(p) + rundir.Duration(1500*time.Millisecond)
	p.CheckTimeout = rundir.Duration(time.Minute)
	return p
}

// Failovers runs total virtual failovers of each backend, one process a core,
// and returns every trial. Run directories are left below dir.
func Failovers(ctx context.Context, dir string, backends []string, setting string, seed uint64, total int, info Info, host rundir.Host, progress io.Writer) (rundir.Failovers, error) {
	out := rundir.Failovers{Format: rundir.FormatVersion, Label: "virtual time: CPU is free", Backends: map[string][]rundir.Failover{}}
	if _, err := virtualBinary(); err != nil {
		return out, err
	}
	type part struct {
		backend string
		index   int
		plan    rundir.Plan
		trials  []rundir.Failover
	}
	var parts []*part
	for i := 0; i*failoversPerRun < total; i++ {
		n := min(failoversPerRun, total-i*failoversPerRun)
		for _, b := range backends {
			parts = append(parts, &part{backend: b, index: i, plan: FailoverPlan(b, setting, seed+uint64(7919*(i+1)), n)})
		}
	}
	var (
		mu   sync.Mutex
		done int
	)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, p := range parts {
		g.Go(func() error {
			if gctx.Err() != nil {
				return gctx.Err()
			}
			t := time.Now()
			run := filepath.Join(dir, fmt.Sprintf("%s-%d", p.backend, p.index))
			v, _, err := RunVirtual(gctx, p.plan, RunOptions{Dir: run, Host: &host, Info: info})
			if gctx.Err() != nil {
				return gctx.Err()
			}
			p.trials = trials(run, p.plan, v, err)
			mu.Lock()
			defer mu.Unlock()
			done++
			verdict := v.Verdict
			if err != nil {
				verdict = rundir.Void + ": " + err.Error()
			}
			fmt.Fprintf(progress, "[%3d/%d] virtual failovers %-12s %3d trials %s %5.1fs\n", done, len(parts), p.backend, len(p.trials), verdict, time.Since(t).Seconds())
			return nil
		})
	}
	err := g.Wait()
	for _, p := range parts {
		for _, t := range p.trials {
			t.Trial = len(out.Backends[p.backend])
			out.Backends[p.backend] = append(out.Backends[p.backend], t)
		}
	}
	return out, err
}

// trials reads the failovers of one run. A run that failed has void trials, as
// many as were planned.
func trials(dir string, p rundir.Plan, v rundir.Verdict, runErr error) []rundir.Failover {
	loaded, err := rundir.Load(dir)
	if err := errors.Join(runErr, err); err != nil {
		out := make([]rundir.Failover, p.FaultRepeat)
		for i := range out {
			out[i] = rundir.Failover{Seed: p.Seed, Fault: p.Fault, Verdict: rundir.Void, Reason: err.Error()}
		}
		return out
	}
	var out []rundir.Failover
	since := func(f rundir.Fault, at int64) float64 {
		if at == 0 {
			return 0
		}
		return float64(at-f.Inject) / 1e6
	}
	for _, f := range loaded.Faults {
		t := rundir.Failover{
			Seed: p.Seed, Fault: f.Name, Verdict: v.Verdict,
			DetectionMS: since(f, f.Detected), ElectedMS: since(f, f.Elected), FailoverMS: since(f, f.Committed),
		}
		if ns, ok := rundir.Unavailable(loaded.Ops, f); ok {
			t.UnavailableMS = float64(ns) / 1e6
		}
		if !f.Observed {
			// A violation that was seen is not hidden by it.
			t.Verdict, t.Reason = rundir.Worse(t.Verdict, rundir.Void), "the fault was not observed"
		}
		out = append(out, t)
	}
	return out
}

// failoversFile is where a bench leaves its failovers.
const failoversFile = "failovers.json"

func benchFailovers(ctx context.Context, dir string, o BenchOptions, info Info, host rundir.Host, progress io.Writer) error {
	if o.Failovers < 0 {
		return nil
	}
	f, err := Failovers(ctx, filepath.Join(dir, "failovers"), o.Backends, o.Setting, o.Seed, o.Failovers, info, host, progress)
	return errors.Join(err, writeJSON(filepath.Join(dir, failoversFile), f))
}
