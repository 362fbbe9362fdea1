package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gfslab/results/rundir"
)

// Bench runs every cell of the comparison into dir and leaves bench.json, the
// run directories, barelog.json and failovers.json there. When ctx ends it
// stops after throwing away the run in progress; what is there stays whole, and
// the error wraps ctx's. progress gets a line a run.
func Bench(ctx context.Context, dir string, o BenchOptions, info Info, progress io.Writer) error {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if o.Failovers > 0 {
		// Better now than after all runs.
		if _, err := virtualBinary(); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	plans := o.Plans()
	start := time.Now()
	host, err := HostFacts(dir)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	b := rundir.Bench{
		Format: rundir.FormatVersion, ID: filepath.Base(dir), Created: start.UTC(), Version: info.Version,
		Command: info.Command, Host: host, Cells: o.Cells(), Slices: o.Slices, Interrupted: true,
	}
	if err := writeJSON(filepath.Join(dir, "bench.json"), b); err != nil {
		return err
	}
	fmt.Fprintf(progress, "bench %s: %d runs of %d cells, %d virtual failovers a backend\n", dir, len(plans), len(b.Cells), max(o.Failovers, 0))
	if !host.Durable {
		fmt.Fprintf(progress, "note: %s is on %s, which is not durable: no row will be ranked\n", dir, host.FileSystem)
	}
	steps := []func() error{
		func() error { return benchRuns(ctx, dir, plans, &b, info, progress) },
		func() error { return benchBareLog(ctx, dir, o, host, progress) },
		func() error { return benchFailovers(ctx, dir, o, info, host, progress) },
	}
	for _, step := range steps {
		if err = step(); err != nil {
			break
		}
	}
	b.WallSeconds = time.Since(start).Seconds()
	b.Interrupted = err != nil
	return errors.Join(err, writeJSON(filepath.Join(dir, "bench.json"), b))
}

// benchRuns runs the plans. A run that proved too little, because the machine
// stalled in the wrong moment, is made again at the end, under the next slice
// number and another seed; the first one stays where it is and is counted.
func benchRuns(ctx context.Context, dir string, plans []rundir.Plan, b *rundir.Bench, info Info, progress io.Writer) error {
	began := time.Now()
	for i := 0; i < len(plans); i++ {
		p := plans[i]
		name := RunName(p)
		out := filepath.Join(dir, "runs", name)
		t := time.Now()
		v, stats, err := Run(ctx, p, RunOptions{Dir: out, Host: &b.Host, Info: info})
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), os.RemoveAll(out))
		}
		verdict := v.Verdict
		if err != nil {
			// The run is void, and says so where the report looks for it.
			verdict = rundir.Void
			if e := os.WriteFile(filepath.Join(out, "error.txt"), []byte(err.Error()+"\n"), 0o644); e != nil {
				return errors.Join(err, e)
			}
		}
		if again, ok := repeat(p, verdict, b); ok {
			plans = append(plans, again)
		}
		left := time.Since(began) / time.Duration(i+1) * time.Duration(len(plans)-i-1)
		fmt.Fprintf(progress, "[%3d/%d] %-52s %-7s %6d ops %5.1fs  about %s of runs left\n",
			i+1, len(plans), name, verdict, stats.Operations, time.Since(t).Seconds(), left.Round(time.Second))
		if err != nil {
			fmt.Fprintf(progress, "          %v\n", err)
		}
	}
	return nil
}

// maxRepeats bounds how many slices beyond the asked ones a cell may get.
const maxRepeats = 2

// repeat returns the plan of another slice in place of one whose verdict is
// unknown, and counts it as planned.
func repeat(p rundir.Plan, verdict string, b *rundir.Bench) (rundir.Plan, bool) {
	if verdict != rundir.Unknown {
		return p, false
	}
	for i := range b.Cells {
		c := &b.Cells[i]
		if c.Backend != p.Backend || c.Workload != p.Workload || c.Fault != p.Fault || c.PlannedSlices >= b.Slices+maxRepeats {
			continue
		}
		p.Slice = c.PlannedSlices
		p.Seed += 500
		c.PlannedSlices++
		return p, true
	}
	return p, false
}

func writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}
