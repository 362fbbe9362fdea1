package main

import (
	"fmt"
	"os"
	"path/filepath"
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

func newRolling() *cobra.Command {
	o := harness.RollingOptions{Backends: node.Replicated(), Faults: harness.RollingFaults(), Workload: "register", Setting: "matched-3", Tier: "virtual", Seed: 1, Runs: 8}
	c := &cobra.Command{
		Use:   "rolling",
		Short: "Replace all masters under load, with and without faults; print the gaps",
		Long: `Replace all three masters by new ones under load, one after the other, as an
operator does: start the new node, add it as a learner, let it catch up, make it a
voter, remove the old one (which hands over the lead), stop it. Every history is
checked. A gap is the longest time without a served mutation from a step's begin to
500 ms past its end; the usual one is that of an equal time before the first step.`,
		Example: "  gfslab rolling --runs 20 --out /tmp/rolling\n  gfslab rolling --tier local --workload create --faults none --runs 1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Dir == "" {
				o.Dir = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-rolling")
			}
			if _, err := os.Stat(o.Dir); err == nil {
				return usage(fmt.Errorf("%s exists already: choose another --out", o.Dir))
			}
			if err := o.Validate(); err != nil {
				return usage(err)
			}
			var err error
			if o.Host, err = harness.HostFacts(o.Dir); err != nil {
				return err
			}
			o.Info, o.Progress = info(), c.ErrOrStderr()
			if err := os.MkdirAll(o.Dir, 0o755); err != nil {
				return err
			}
			steps, err := harness.Rolling(c.Context(), o)
			if err != nil {
				return err
			}
			return printRolling(c, o, steps)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&o.Backends, "backends", o.Backends, "backends")
	fs.StringSliceVar(&o.Faults, "faults", o.Faults, "faults, one a row")
	fs.StringVar(&o.Workload, "workload", o.Workload, "one of "+strings.Join(workloads.Names(), ", "))
	fs.StringVar(&o.Setting, "setting", o.Setting, "setting of the limits")
	fs.StringVar(&o.Tier, "tier", o.Tier, "virtual or local")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "first seed")
	fs.IntVar(&o.Runs, "runs", o.Runs, "runs a backend and fault, of three replacements each")
	fs.StringVar(&o.Dir, "out", "", "where the run directories go, must not exist (default results/runs/<time>-rolling)")
	complete(c, "backends", node.Replicated())
	complete(c, "faults", nemesis.Names())
	complete(c, "workload", workloads.Names())
	complete(c, "setting", harness.Settings())
	complete(c, "tier", []string{"virtual", "local"})
	return c
}

func printRolling(c *cobra.Command, o harness.RollingOptions, steps []harness.RollingStep) error {
	w := table.NewWriter()
	w.SetTitle(fmt.Sprintf("rolling replacement of three masters, workload %s, tier %s", o.Workload, o.Tier))
	w.AppendHeader(table.Row{"backend", "fault", "old node", "steps", "valid", "caught up p50 ms", "removed p50 ms", "worst", "gap p50 ms", "worst", "usual gap p50 ms"})
	worst := rundir.Valid
	for _, fault := range o.Faults {
		for _, b := range o.Backends {
			for _, led := range []bool{false, true} {
				var joined, removed, gap, usual []float64
				n := 0
				for _, s := range steps {
					if s.Backend != b || s.Fault != fault || s.OldLed != led {
						continue
					}
					n++
					worst = rundir.Worse(worst, s.Verdict)
					if s.Verdict == rundir.Valid {
						joined, removed, gap, usual = append(joined, s.Joined), append(removed, s.Removed), append(gap, s.Gap), append(usual, s.Usual)
					}
				}
				part := "follower"
				if led {
					part = "leader"
				}
				if n > 0 {
					w.AppendRow(table.Row{b, fault, part, n, len(gap), quantile(joined, 50), quantile(removed, 50), quantile(removed, 100),
						quantile(gap, 50), quantile(gap, 100), quantile(usual, 50)})
				}
			}
		}
	}
	fmt.Fprintln(c.OutOrStdout(), w.RenderMarkdown())
	for _, s := range steps {
		if s.Verdict != rundir.Valid {
			fmt.Fprintf(c.OutOrStdout(), "%s %s seed %d step %d: %s %s\n", s.Backend, s.Fault, s.Seed, s.Step, s.Verdict, s.Reason)
		}
	}
	return verdictError(worst)
}
