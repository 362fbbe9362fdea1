package harness

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gfslab/harness/check"
	"gfslab/harness/cluster"
	"gfslab/harness/nemesis"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// Info says which program runs, for manifests.
type Info struct {
	Version string
	// Command is the line that was typed.
	Command string
}

// RunOptions say where a run leaves its traces.
type RunOptions struct {
	// Dir is the run directory; it must not exist.
	Dir  string
	Info Info
	// Created goes into the manifest; zero means now.
	Created time.Time
	// Host are the machine's facts; nil measures them.
	Host *rundir.Host
	// World is where the cell runs; nil is real files below Dir and loopback TCP.
	World *cluster.World
	// KeepData keeps the nodes' files after the run.
	KeepData bool
	// Logger takes what the nodes log; nil discards it.
	Logger *slog.Logger
}

// Stats counts the operations of a run: all but those that preload the cell.
type Stats struct{ Operations, OK, Fail, Unknown int64 }

// Run runs one plan into a run directory and judges it. An error means that the
// run itself failed, whatever the system under test did: its directory is then
// not sealed, or not judged. A run that ctx cut short leaves no directory, unless
// it was sealed already.
func Run(ctx context.Context, p rundir.Plan, o RunOptions) (rundir.Verdict, Stats, error) {
	stats, err := Record(ctx, p, o)
	if err != nil {
		return rundir.Verdict{}, stats, err
	}
	v, err := Check(ctx, o.Dir, 0)
	if err != nil {
		err = fmt.Errorf("%s is recorded but not judged (`gfslab check` does it): %w", o.Dir, err)
	}
	return v, stats, err
}

// discardUnsealed removes a run directory that ctx cut short.
func discardUnsealed(ctx context.Context, dir string) error {
	if ctx.Err() == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, rundir.EndFile)); err == nil {
		return nil
	}
	return os.RemoveAll(dir)
}

// Record is Run without the judgement. It may be called in a bubble of virtual
// time, with a World made in it and Host given.
func Record(ctx context.Context, p rundir.Plan, o RunOptions) (Stats, error) {
	Normalize(&p)
	if err := ValidatePlan(p); err != nil {
		return Stats{}, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Created.IsZero() {
		o.Created = time.Now().UTC()
	}
	r := &run{plan: p, o: o, busy: make(chan struct{}, 1)}
	err := r.record(ctx)
	return r.stats, err
}

// run is one run in progress.
type run struct {
	plan  rundir.Plan
	o     RunOptions
	start time.Time
	cell  *cluster.Cluster
	load  *load
	stats Stats
	// busy has one place: for a fault that is on, or a node that is being started
	// or stopped on purpose.
	busy chan struct{}
}

// now is the run's clock.
func (r *run) now() int64 { return int64(time.Since(r.start)) }

// record runs the plan and seals the directory.
func (r *run) record(ctx context.Context) (err error) {
	limits, err := PlanLimits(r.plan)
	if err != nil {
		return err
	}
	w, err := r.manifest()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close(), discardUnsealed(ctx, r.o.Dir))
		}
	}()
	world := r.o.World
	if world == nil {
		data := filepath.Join(r.o.Dir, "data")
		if !r.o.KeepData {
			defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
		}
		local, err := cluster.LocalWorld(data, r.plan.Seed)
		if err != nil {
			return err
		}
		world = &local
	}
	r.start = time.Now()
	startCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	r.cell, err = cluster.Start(startCtx, cluster.Config{Plan: r.plan, Limits: limits, World: *world, Start: r.start, Logger: r.o.Logger})
	if err != nil {
		return fmt.Errorf("start the cell: %w", err)
	}
	err = r.drive(ctx, w)
	if e := r.cell.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("close the cell: %w", e))
	}
	if err == nil {
		err = r.collect(w)
	}
	if err == nil {
		err = w.Seal()
	}
	return err
}

// manifest writes where the run comes from, before anything runs.
func (r *run) manifest() (*rundir.Writer, error) {
	if _, err := os.Stat(r.o.Dir); err == nil {
		return nil, fmt.Errorf("run directory %s exists already", r.o.Dir)
	}
	if err := os.MkdirAll(r.o.Dir, 0o755); err != nil {
		return nil, err
	}
	limits, err := PlanLimits(r.plan)
	if err != nil {
		return nil, err
	}
	effective, err := node.Effective(r.plan.Backend, limits)
	if err != nil {
		return nil, err
	}
	host := r.o.Host
	if host == nil {
		h, err := HostFacts(r.o.Dir)
		if err != nil {
			return nil, err
		}
		host = &h
	}
	if r.plan.Tier == "virtual" {
		h := *host
		h.FileSystem, h.Durable = "memory (virtual time)", false
		host = &h
	}
	m := rundir.Manifest{
		Format: rundir.FormatVersion, ID: filepath.Base(r.o.Dir), Created: r.o.Created, Version: r.o.Info.Version,
		Plan: r.plan, Effective: effective, Host: *host, Command: ReplayCommand(r.plan),
	}
	for i := range r.plan.Replicas + r.plan.Replace {
		m.Nodes = append(m.Nodes, fmt.Sprintf("m%d", i+1))
	}
	for i := range r.plan.Chunkservers {
		m.Nodes = append(m.Nodes, fmt.Sprintf("cs%d", i+1))
	}
	return rundir.Create(r.o.Dir, m)
}

// drive preloads, warms up, applies load and faults, heals, and reads at last.
func (r *run) drive(ctx context.Context, w *rundir.Writer) error {
	var err error
	if r.load, err = newLoad(r.plan, r.cell, r.start); err != nil {
		return err
	}
	defer r.load.close()
	if err := r.load.preload(ctx); err != nil {
		return fmt.Errorf("preload: %w", err)
	}
	r.load.start(ctx)
	if err := wait(ctx, time.Duration(r.plan.WarmUp)); err != nil {
		r.load.stop()
		return err
	}
	meter := startMeter(r.cell, r.now)
	r.load.measure()
	faults, replaced, err := r.disturb(ctx, meter.began)
	if err == nil {
		err = wait(ctx, time.Duration(meter.began+int64(r.plan.Duration)-r.now()))
	}
	counters := meter.stop(r.load.done)
	r.load.stop()
	if err != nil {
		return err
	}
	quiet, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := r.cell.Quiesce(quiet); err != nil {
		return fmt.Errorf("after the heal: %w", err)
	}
	if counters.Settled, err = r.settle(ctx); err != nil {
		return err
	}
	if counters.Settled > 0 {
		counters.Waited = append(counters.Waited, rundir.WaitedReplicas)
		if r.plan.OrphanAge > 0 {
			counters.Waited = append(counters.Waited, rundir.WaitedGarbage)
		}
	}
	if err := r.load.finalReads(ctx); err != nil {
		return fmt.Errorf("final reads: %w", err)
	}
	counters.Applied, counters.Left, counters.Replacements = r.cell.Finish(), r.cell.Left(), replaced
	explain(faults, r.cell.Events())
	var out []rundir.Fault
	for _, f := range faults {
		out = append(out, f.record)
	}
	w.Faults(out...)
	w.Counters(counters)
	return nil
}

// settleQuiet is how long, beside OrphanAge, nothing must have come or gone for a cell
// to be at rest: a chunkserver that was silent reports, is asked for everything, is
// judged at the next walk over its replicas, and says at the heartbeat after that
// what it removed.
const settleQuiet = 3 * time.Second

// settle waits for the cell to come to rest, if the plan asks for it.
func (r *run) settle(ctx context.Context) (at int64, err error) {
	if r.plan.Settle == 0 || r.plan.Chunkservers == 0 {
		return 0, nil
	}
	rest, cancel := context.WithTimeout(ctx, time.Duration(r.plan.Settle))
	defer cancel()
	if err := r.cell.Settle(rest, time.Duration(r.plan.OrphanAge)+settleQuiet); err != nil {
		r.o.Logger.Warn("the cell did not come to rest", "error", err)
		return 0, ctx.Err()
	}
	return r.now(), nil
}

// disturb carries out the plan's faults and, beside them, its replacements. All
// is healed when it returns.
func (r *run) disturb(ctx context.Context, began int64) (faults []*injected, replaced []rundir.Replacement, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var replaceErr error
	wg.Go(func() {
		if replaced, replaceErr = r.replaceAll(ctx, began); replaceErr != nil {
			cancel()
		}
	})
	faults, err = r.breakAndHeal(ctx, began)
	if err != nil {
		cancel()
	}
	wg.Wait()
	if replaceErr != nil {
		return faults, replaced, replaceErr
	}
	return faults, replaced, err
}

// wait lets d pass, or ctx end.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// injected is a fault with what is needed to explain it afterwards.
type injected struct {
	record rundir.Fault
	before nemesis.Before
	// network, other, effect and lag: see nemesis.Injection and nemesis.Explain.
	network, lag uint64
	other        func() uint64
	effect       string
}

// collect writes what the closed cell left.
func (r *run) collect(w *rundir.Writer) error {
	ops := r.load.history.Ops()
	for _, op := range ops {
		if op.Phase == rundir.PhasePreload {
			continue
		}
		r.stats.Operations++
		switch op.Outcome {
		case rundir.OutcomeOK:
			r.stats.OK++
		case rundir.OutcomeFail:
			r.stats.Fail++
		default:
			r.stats.Unknown++
		}
	}
	if err := w.Ops(ops...); err != nil {
		return err
	}
	applied, err := r.cell.Applied()
	if err != nil {
		return err
	}
	for n, lines := range applied {
		if err := w.Applied(n, lines...); err != nil {
			return err
		}
	}
	for n, events := range r.cell.Leases() {
		if err := w.Leases(n, events...); err != nil {
			return err
		}
	}
	for n, events := range r.cell.Replicas() {
		if err := w.Replicas(n, events...); err != nil {
			return err
		}
	}
	chunks, err := r.cell.Chunks()
	if err != nil {
		return err
	}
	for n, lines := range chunks {
		if err := w.Chunks(n, lines...); err != nil {
			return err
		}
	}
	return nil
}

// Check judges a run directory and writes verdict.json anew. timeout bounds
// each checker; 0 takes the plan's.
func Check(ctx context.Context, dir string, timeout time.Duration) (rundir.Verdict, error) {
	loaded, err := rundir.Load(dir)
	if err != nil {
		return rundir.Verdict{}, err
	}
	if timeout > 0 {
		loaded.Manifest.Plan.CheckTimeout = rundir.Duration(timeout)
	}
	v := check.Run(ctx, loaded)
	if ctx.Err() != nil {
		return v, ctx.Err()
	}
	return v, rundir.WriteVerdict(dir, v)
}
