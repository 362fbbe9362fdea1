package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/harness/nemesis"
	"gfslab/internal/node"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// profileFaults are gone through in turn.
var profileFaults = []string{"crash-leader", "crash-primary", "power-loss", "isolate-leader", "stop-chunkserver", "crash-follower"}

func newProfiles() *cobra.Command {
	o := harness.SweepOptions{Tier: "virtual"}
	backends, names, faults, seed := node.Replicated(), gfsWorkloads(), profileFaults, uint64(1)
	c := &cobra.Command{
		Use:   "profiles",
		Short: "Run every workload profile on every backend once under a fault; count the valid histories",
		Long: `Run every workload profile on every backend once, each under one fault, which are
gone through in turn. Profiles are scaled to runs of seconds: fewer files in bigdir
and mdtest-easy, a snapshot each half second, retention of half a second.`,
		Example: "  gfslab profiles --out /tmp/profiles\n  gfslab profiles --workloads snap-append --faults power-loss,crash-primary --tier local",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n := 0
			for _, w := range names {
				for _, b := range backends {
					o.Plans = append(o.Plans, harness.ProfilePlan(b, w, harness.FaultFor(w, faults, n), seed))
					n++
				}
			}
			all, err := sweep(c, &o, "profiles")
			if err != nil {
				return err
			}
			return printSweep(c, all, func(s harness.Swept) string { return s.Plan.Workload })
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", backends, "backends")
	fs.StringSliceVar(&names, "workloads", names, "profiles")
	fs.StringSliceVar(&faults, "faults", faults, "faults, gone through in turn")
	sweepFlags(c, &o, &seed)
	complete(c, "backends", node.Replicated())
	complete(c, "workloads", gfsWorkloads())
	complete(c, "faults", nemesis.Names())
	return c
}

func newPowerLoss() *cobra.Command {
	o := harness.SweepOptions{Tier: "virtual"}
	backends, names, seed, seeds := node.Replicated(), []string{"append", "create", "overwrite", "snap-append", "delete-gc"}, uint64(1), 50
	c := &cobra.Command{
		Use:   "power-loss",
		Short: "Cut the power of every node at once in the middle of the load, 50 times a backend; count the valid histories",
		Long: `Cut the power of all masters and chunkservers at once in the middle of the load: what
was not synced is gone. All start again, and the whole history must be valid. Seeds
go through the workloads in turn, and through the moments between two syncs.`,
		Example: "  gfslab power-loss --out /tmp/power\n  gfslab power-loss --seeds 3 --backends multipaxos --workloads append --tier local",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for i := range seeds {
				for _, b := range backends {
					o.Plans = append(o.Plans, harness.PowerLossPlan(b, names[i%len(names)], seed+uint64(i)))
				}
			}
			all, err := sweep(c, &o, "power-loss")
			if err != nil {
				return err
			}
			return printSweep(c, all, func(harness.Swept) string { return "power loss of all nodes" })
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", backends, "backends")
	fs.StringSliceVar(&names, "workloads", names, "workloads, gone through in turn")
	fs.IntVar(&seeds, "seeds", seeds, "runs a backend")
	sweepFlags(c, &o, &seed)
	complete(c, "backends", node.Replicated())
	complete(c, "workloads", workloads.Names())
	return c
}

func sweepFlags(c *cobra.Command, o *harness.SweepOptions, seed *uint64) {
	c.Flags().StringVar(&o.Tier, "tier", o.Tier, "virtual or local")
	c.Flags().Uint64Var(seed, "seed", *seed, "first seed")
	c.Flags().StringVar(&o.Dir, "out", "", "where the run directories go, must not exist (default results/runs/<time>-<command>)")
	complete(c, "tier", []string{"virtual", "local"})
}

// gfsWorkloads are those that run on a GFS cell.
func gfsWorkloads() []string { return slices.DeleteFunc(workloads.Names(), workloads.IsKV) }

// sweep prepares the folder and runs the plans.
func sweep(c *cobra.Command, o *harness.SweepOptions, name string) ([]harness.Swept, error) {
	if err := newFolder(&o.Dir, name); err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, usage(err)
	}
	var err error
	if o.Host, err = harness.HostFacts(filepath.Dir(o.Dir)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	o.Info, o.Progress = info(), c.ErrOrStderr()
	return harness.Sweep(c.Context(), *o)
}

// newFolder chooses a folder for results, which must not exist yet.
func newFolder(dir *string, name string) error {
	if *dir == "" {
		*dir = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-"+name)
	}
	if _, err := os.Stat(*dir); err == nil {
		return usage(fmt.Errorf("%s exists already: choose another --out", *dir))
	}
	return nil
}

// printSweep counts verdicts by row and backend, tells of every run that is not
// valid, and returns the worst as the command's end.
func printSweep(c *cobra.Command, all []harness.Swept, row func(harness.Swept) string) error {
	if err := context.Cause(c.Context()); err != nil {
		return err
	}
	type cell struct{ runs, valid int }
	cells := map[[2]string]*cell{}
	var rows, backends []string
	worst := rundir.Valid
	for _, s := range all {
		key := [2]string{row(s), s.Plan.Backend}
		if !slices.Contains(rows, key[0]) {
			rows = append(rows, key[0])
		}
		if !slices.Contains(backends, key[1]) {
			backends = append(backends, key[1])
		}
		if cells[key] == nil {
			cells[key] = &cell{}
		}
		cells[key].runs++
		if s.Verdict == rundir.Valid {
			cells[key].valid++
		} else {
			fmt.Fprintf(c.OutOrStdout(), "%s: %s (%s)\n  %s\n", s.Verdict, s.Dir, strings.TrimSpace(s.Reason), harness.ReplayCommand(s.Plan))
		}
		worst = rundir.Worse(worst, s.Verdict)
	}
	w := table.NewWriter()
	header := table.Row{"valid histories"}
	for _, b := range backends {
		header = append(header, b)
	}
	w.AppendHeader(header)
	for _, r := range rows {
		line := table.Row{r}
		for _, b := range backends {
			if x := cells[[2]string{r, b}]; x != nil {
				line = append(line, fmt.Sprintf("%d of %d", x.valid, x.runs))
			} else {
				line = append(line, "–")
			}
		}
		w.AppendRow(line)
	}
	fmt.Fprintln(c.OutOrStdout(), w.Render())
	return verdictError(worst)
}
