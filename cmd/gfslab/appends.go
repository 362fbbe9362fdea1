package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/report"
	"gfslab/results/rundir"
)

func newLeaseThroughput() *cobra.Command {
	o := harness.SweepOptions{Tier: "local"}
	backends, terms, runs, seed := node.Replicated(), []time.Duration{500 * time.Millisecond, time.Minute}, 5, uint64(1)
	c := &cobra.Command{
		Use:   "lease-throughput",
		Short: "Append through the death of the leading master, by lease term: throughput over time",
		Long: `Kill the leading master while clients append, and count what they append in bins of
50 ms, for each backend and lease term. GFS claims that leases keep the master off the
data path. Every history is checked. Leaves table, timelines (JSON) and a picture. The
table has medians, and the lowest and highest of the runs.`,
		Example: "  gfslab lease-throughput --runs 5 --out /tmp/leases\n  gfslab lease-throughput --backends multipaxos --terms 0.5s --runs 1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for i := range runs {
				for _, term := range terms {
					for _, b := range backends {
						o.Plans = append(o.Plans, harness.LeaseThroughputPlan(b, term, seed+uint64(i)))
					}
				}
			}
			all, err := sweep(c, &o, "lease-throughput")
			if err != nil {
				return err
			}
			return printLeaseThroughput(c, o.Dir, all, backends, terms)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", backends, "backends")
	fs.DurationSliceVar(&terms, "terms", terms, "lease terms")
	fs.IntVar(&runs, "runs", runs, "runs a backend and term")
	sweepFlags(c, &o, &seed)
	complete(c, "backends", node.Replicated())
	return c
}

// leaseRow is one backend and term over its valid runs.
type leaseRow struct {
	Backend string           `json:"backend"`
	Term    string           `json:"term"`
	Runs    int              `json:"runs"`
	Valid   int              `json:"valid"`
	Median  harness.Timeline `json:"median"`
	// Spread has the lowest, the median and the highest of the runs.
	Spread harness.TimelineSpread `json:"spread"`
}

// leaseCells is a row of the table: medians, with the range of the runs.
func leaseCells(term time.Duration, r leaseRow) table.Row {
	of := func(format string, s harness.Spread) string { return spread(format, 1, s) }
	return table.Row{term, r.Backend, fmt.Sprintf("%d of %d", r.Valid, r.Runs), of("%.0f", r.Spread.GapMS), of("%.1f", r.Spread.Before), of("%.1f", r.Spread.Gap),
		of("%.0f %%", r.Spread.Share), r.Median.Empty, of("%.0f", r.Spread.Longest), of("%.1f", r.Spread.After)}
}

func printLeaseThroughput(c *cobra.Command, dir string, all []harness.Swept, backends []string, terms []time.Duration) error {
	pic := report.Picture{
		Name: "lease-throughput", Title: "Appends while the leading master dies, by lease term",
		Note: "Acknowledged bytes in bins of 50 ms, median of the valid runs bin by bin; time counts from the kill. Shaded: until the next leader is elected, the longest of the backends' medians.",
	}
	w := table.NewWriter()
	w.AppendHeader(table.Row{"term", "backend", "valid", "gap ms", "before MB/s", "in the gap MB/s", "share", "empty bins", "longest pause ms", "after MB/s"})
	var rows []leaseRow
	worst := rundir.Valid
	for _, term := range terms {
		panel := report.Panel{Title: "lease term " + term.String(), X: "time [ms]", Y: "MB/s"}
		longest := 0.0
		for _, b := range backends {
			row := leaseRow{Backend: b, Term: term.String()}
			var lines []harness.Timeline
			for _, s := range all {
				if s.Plan.Backend != b || time.Duration(s.Plan.LeaseTerm) != term {
					continue
				}
				row.Runs++
				worst = rundir.Worse(worst, s.Verdict)
				if s.Verdict != rundir.Valid {
					fmt.Fprintf(c.OutOrStdout(), "%s: %s %s\n", s.Verdict, s.Dir, s.Reason)
					continue
				}
				run, err := rundir.Load(s.Dir)
				if err != nil {
					return err
				}
				if t, ok := harness.AppendTimeline(run); ok {
					row.Valid++
					lines = append(lines, t)
				}
			}
			if len(lines) > 0 {
				row.Median = harness.MedianTimeline(lines)
				m := row.Median
				longest = max(longest, m.GapMS)
				panel.Series = append(panel.Series, report.Series{Name: b, X: m.MS, Y: m.MBs})
				row.Spread = harness.SpreadOf(lines)
				w.AppendRow(leaseCells(term, row))
			}
			rows = append(rows, row)
		}
		panel.Shade = [][2]float64{{0, longest}}
		pic.Panels = append(pic.Panels, panel)
	}
	if err := saveMeasure(dir, "lease-throughput", rows, pic); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), w.Render())
	return verdictError(worst)
}

// saveMeasure leaves rows and picture in the folder of a measurement.
func saveMeasure(dir, name string, rows any, pic report.Picture) error {
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if len(pic.Panels) == 0 {
		return nil
	}
	return pic.Draw(dir)
}
