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
	of := func(format string, s harness.Spread) string {
		return fmt.Sprintf(format+" ["+format+", "+format+"]", s.Median, s.Low, s.High)
	}
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

// recordSize is one choice of --records.
type recordSize struct {
	bytes int
	table string
}

func recordSizes(names []string) (out []recordSize, err error) {
	for _, n := range names {
		switch n {
		case "64KiB":
			out = append(out, recordSize{bytes: 64 << 10})
		case "1MiB":
			out = append(out, recordSize{bytes: 1 << 20})
		case "gfs-y", "gfs-x":
			out = append(out, recordSize{bytes: 64 << 10, table: n})
		default:
			return nil, usage(fmt.Errorf("records is %q; it must be 64KiB, 1MiB, gfs-x or gfs-y", n))
		}
	}
	return out, nil
}

func newAppendScaling() *cobra.Command {
	o := harness.SweepOptions{Tier: "local"}
	backend, clients, records, runs, seed := "multipaxos", []int{1, 2, 4, 8, 16}, []string{"64KiB", "1MiB", "gfs-y"}, 3, uint64(1)
	c := &cobra.Command{
		Use:   "append-scaling",
		Short: "Record append by 1 to 16 clients, to one file and to as many files as clients: GFS figure 3c",
		Long: `Append with 1 to 16 clients, to one file (figure 3c of the GFS paper) and to one file
a client. Prints the aggregate rate, and how much of a chunkserver's time its fsyncs
take at the host's latency of three concurrent ones. Every history is checked.`,
		Example: "  gfslab append-scaling --runs 3 --out /tmp/scaling\n  gfslab append-scaling --clients 1,16 --records 64KiB --runs 1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			sizes, err := recordSizes(records)
			if err != nil {
				return err
			}
			for i := range runs {
				for _, size := range sizes {
					for _, n := range clients {
						o.Plans = append(o.Plans, harness.AppendScalingPlan(backend, n, 1, size.bytes, size.table, seed+uint64(i)))
						if n > 1 {
							o.Plans = append(o.Plans, harness.AppendScalingPlan(backend, n, n, size.bytes, size.table, seed+uint64(i)))
						}
					}
				}
			}
			all, err := sweep(c, &o, "append-scaling")
			if err != nil {
				return err
			}
			return printAppendScaling(c, o.Dir, all)
		},
	}
	fs := c.Flags()
	fs.StringVar(&backend, "backend", backend, "backend; appends ask the master for little")
	fs.IntSliceVar(&clients, "clients", clients, "numbers of clients")
	fs.StringSliceVar(&records, "records", records, "sizes of records: 64KiB, 1MiB, gfs-x, gfs-y")
	fs.IntVar(&runs, "runs", runs, "runs a row")
	sweepFlags(c, &o, &seed)
	complete(c, "backend", node.Backends())
	complete(c, "records", []string{"64KiB", "1MiB", "gfs-x", "gfs-y"})
	return c
}

func printAppendScaling(c *cobra.Command, dir string, all []harness.Swept) error {
	rows, worst, err := harness.AppendRows(all)
	if err != nil {
		return err
	}
	w := table.NewWriter()
	w.AppendHeader(table.Row{"records", "clients", "files", "valid", "MB/s", "lowest", "highest", "appends/s", "p50 ms", "fsyncs/s a chunkserver", "time in fsync", "CPUs"})
	pic := report.Picture{Name: "append-scaling", Title: "Record append by clients (GFS figure 3c)",
		Note: "Aggregate rate of acknowledged records, median of the valid runs. All nodes share one machine and one disk; the paper's machines had a network link each."}
	for _, r := range rows {
		w.AppendRow(table.Row{r.Record, r.Clients, r.Files, fmt.Sprintf("%d of %d", r.Valid, r.Runs), fmt.Sprintf("%.1f", r.MBs), fmt.Sprintf("%.1f", r.Low), fmt.Sprintf("%.1f", r.High),
			fmt.Sprintf("%.0f", r.Appends), fmt.Sprintf("%.2f", r.P50MS), fmt.Sprintf("%.0f", r.Syncs), fmt.Sprintf("%.0f %%", 100*r.SyncShare), fmt.Sprintf("%.2f", r.CPUs)})
		if r.Valid > 0 {
			addScaling(&pic, r)
		}
	}
	if err := saveMeasure(dir, "append-scaling", rows, pic); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), w.Render())
	return verdictError(worst)
}

// addScaling puts a row into the panel of its size of records.
func addScaling(pic *report.Picture, r harness.AppendRow) {
	var panel *report.Panel
	for i := range pic.Panels {
		if pic.Panels[i].Title == "records: "+r.Record {
			panel = &pic.Panels[i]
		}
	}
	if panel == nil {
		pic.Panels = append(pic.Panels, report.Panel{
			Title: "records: " + r.Record, X: "clients", Y: "MB/s", LogX: true, Dots: true,
			Series: []report.Series{{Name: "one file"}, {Name: "a file each"}},
		})
		panel = &pic.Panels[len(pic.Panels)-1]
	}
	for i := range panel.Series {
		if one := i == 0; r.Clients == 1 || one == (r.Files == 1) {
			panel.Series[i].X, panel.Series[i].Y = append(panel.Series[i].X, float64(r.Clients)), append(panel.Series[i].Y, r.MBs)
		}
	}
}
