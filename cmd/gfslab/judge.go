package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/harness/nemesis"
	"gfslab/internal/node"
	"gfslab/results/report"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

func printVerdict(w io.Writer, v rundir.Verdict) {
	for _, c := range v.Checks {
		var stats []string
		for _, k := range slices.Sorted(maps.Keys(c.Stats)) {
			stats = append(stats, fmt.Sprintf("%s %d", k, c.Stats[k]))
		}
		fmt.Fprintf(w, "  %-14s %-8s %s\n", c.Name, c.Verdict, strings.Join(stats, ", "))
		for i, d := range c.Details {
			if c.Verdict == rundir.Valid {
				break
			}
			if i == 10 {
				fmt.Fprintf(w, "      … %d more in verdict.json\n", len(c.Details)-i)
				break
			}
			fmt.Fprintf(w, "      %s\n", d)
		}
		for _, f := range c.Files {
			fmt.Fprintf(w, "      see %s\n", f)
		}
	}
	fmt.Fprintf(w, "verdict: %s\n", v.Verdict)
}

func newCheck() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:     "check DIR...",
		Short:   "Judge run directories again; verdict.json is written anew, never read",
		Example: "  gfslab check /tmp/run\n  gfslab check results/runs/mine/runs/*",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, dirs []string) error {
			worst := rundir.Valid
			var refused []error
			for _, dir := range dirs {
				v, err := harness.Check(c.Context(), dir, timeout)
				if c.Context().Err() != nil {
					return c.Context().Err()
				}
				if err != nil { // the others are judged all the same
					refused = append(refused, fmt.Errorf("check %s: %w", dir, err))
					continue
				}
				fmt.Fprintf(c.OutOrStdout(), "%s\n", dir)
				printVerdict(c.OutOrStdout(), v)
				worst = rundir.Worse(worst, v.Verdict)
			}
			// A violation that was seen is not hidden by a directory that cannot be read.
			err := errors.Join(refused...)
			switch {
			case err != nil && worst == rundir.Invalid:
				return &exitError{exitInvalid, err}
			case err != nil:
				return err
			}
			return verdictError(worst)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 0, "time for each checker (default: the plan's check_timeout)")
	return c
}

func newReport() *cobra.Command {
	return &cobra.Command{
		Use:     "report DIR...",
		Short:   "Draw tables, plots, summary.json and report.html of bench or run directories again",
		Example: "  gfslab report results/runs/mine",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, dirs []string) error {
			for _, dir := range dirs {
				if err := report.Build(dir, c.ErrOrStderr()); err != nil {
					return fmt.Errorf("report %s: %w", dir, err)
				}
				fmt.Fprintln(c.OutOrStdout(), filepath.Join(dir, "report.html"))
			}
			return nil
		},
	}
}

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare DIR_A DIR_B",
		Short: "Put the same cells of two bench directories side by side",
		Long: `Put the same cells of two bench directories side by side. Two benches did not run
interleaved, so the machine may have drifted between them: the table is a hint
where to look, never a result.`,
		Example: "  gfslab compare results/runs/before results/runs/after",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, dirs []string) error {
			text, err := report.Compare(dirs[0], dirs[1])
			if err != nil {
				return err
			}
			_, err = io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
}

func newPlan() *cobra.Command {
	c := &cobra.Command{Use: "plan", Short: "Print or validate plans", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var flags planFlags
	show := &cobra.Command{
		Use:     "print",
		Short:   "Print a whole plan: every key with its value",
		Example: "  gfslab plan print --backend etcdraft > my.toml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := flags.resolve(c)
			if err != nil {
				return err
			}
			text, err := harness.EncodePlan(p)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	flags.register(show)
	validate := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Say what is wrong with a plan; unknown keys are refused",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			for _, f := range files {
				if _, err := harness.LoadPlan(f); err != nil {
					return usage(err)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: fine\n", f)
			}
			return nil
		},
	}
	c.AddCommand(show, validate)
	return c
}

func newBench() *cobra.Command {
	o := harness.BenchOptions{Setting: "matched-3", Slices: 3, Seed: 1, Failovers: 300, BareLog: 600 * time.Millisecond}
	var out string
	c := &cobra.Command{
		Use:   "bench",
		Short: "Run every backend on every workload with and without faults, check, report",
		Long: `Run every backend on every workload with and without faults, in interleaved
slices on fresh clusters; check every history; fail leaders over in virtual time;
leave tables, plots, summary.json and report.html. Ctrl-C stops it and reports on
what is there.`,
		Example: `  gfslab bench
  gfslab bench --out results/runs/mine --slices 6 --seed 42
  gfslab bench --backends multipaxos,etcdraft --faults none --failovers -1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "" {
				out = filepath.Join("results", "runs", time.Now().Format("20060102-150405"))
			}
			if _, err := os.Stat(out); err == nil {
				return usage(fmt.Errorf("%s exists already; a bench never overwrites another: choose another --out", out))
			}
			if err := checkBench(&o); err != nil {
				return usage(fmt.Errorf("the bench cannot run:\n%w", err))
			}
			return runBench(c, out, o)
		},
	}
	fs := c.Flags()
	fs.StringVar(&out, "out", "", "bench directory, must not exist (default results/runs/<time>)")
	fs.StringSliceVar(&o.Backends, "backends", nil, "backends (default all)")
	fs.StringSliceVar(&o.Workloads, "workloads", nil, "workloads (default all)")
	fs.StringSliceVar(&o.Faults, "faults", nil, "faults (default none, isolate-leader, crash-leader)")
	fs.StringVar(&o.Setting, "setting", o.Setting, "setting of the limits")
	fs.IntVar(&o.Slices, "slices", o.Slices, "slices a cell, interleaved")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "first seed, at least 1")
	fs.IntVar(&o.Failovers, "failovers", o.Failovers, "virtual failovers a backend; 0 or less: none")
	fs.DurationVar(&o.BareLog, "bare-log", o.BareLog, "length of one row of the bare log; 0 or less: none")
	complete(c, "backends", node.Replicated())
	complete(c, "workloads", workloads.Names())
	complete(c, "faults", nemesis.Names())
	complete(c, "setting", harness.Settings())
	return c
}

// checkBench refuses what cannot run. The harness takes 0 for "the default"; who
// types it means it.
func checkBench(o *harness.BenchOptions) error {
	var errs []error
	if o.Seed == 0 {
		errs = append(errs, errors.New("seed is 0; it must be at least 1"))
	}
	if o.Slices == 0 {
		errs = append(errs, errors.New("slices is 0; it must be at least 1"))
	}
	if o.Failovers == 0 {
		o.Failovers = -1
	}
	if o.BareLog == 0 {
		o.BareLog = -1
	}
	return errors.Join(append(errs, o.Validate())...)
}

// runBench runs, reports on whatever is there, and ends with the worst verdict.
func runBench(c *cobra.Command, out string, o harness.BenchOptions) error {
	err := harness.Bench(c.Context(), out, o, info(), c.ErrOrStderr())
	if err != nil && c.Context().Err() == nil {
		return err
	}
	if err != nil {
		fmt.Fprintln(c.ErrOrStderr(), "interrupted: reporting on the runs that are whole")
	}
	// The report is drawn even after Ctrl-C; it takes seconds.
	if e := report.Build(out, c.ErrOrStderr()); e != nil {
		return fmt.Errorf("report %s: %w", out, e)
	}
	fmt.Fprintf(c.OutOrStdout(), "open %s\n", filepath.Join(out, "report.html"))
	if err != nil {
		return err
	}
	worst, e := harness.WorstVerdict(context.WithoutCancel(c.Context()), out)
	if e != nil {
		return e
	}
	fmt.Fprintf(c.OutOrStdout(), "worst verdict: %s\n", worst)
	return verdictError(worst)
}
