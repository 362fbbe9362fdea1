package main

import (
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/report"
	"gfslab/results/rundir"
)

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
	backend, clients, records, runs, seed := "multipaxos", []int{1, 2, 4, 8, 16}, []string{"64KiB", "1MiB"}, 3, uint64(1)
	c := &cobra.Command{
		Use:   "append-scaling",
		Short: "Record append by 1 to 16 clients, to one file and to as many files as clients: GFS figure 3c",
		Long: `Append with 1 to 16 clients, to one file (figure 3c of the GFS paper) and to one file
a client: 3.5 s a run, 54 runs, and as many histories checked. Prints, as the median
of the valid runs with [lowest, highest] and their number n, the aggregate rate, and how
the chunkservers waited for their disks meanwhile: each sync is timed where it happens.
Disk-bound is the share of the time in which a chunkserver had at least one sync in
flight; more than one may be, for different chunks.`,
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
			o.Name = scalingName
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

// scalingName is a row of the measurement, as its progress tells of it.
func scalingName(p rundir.Plan) string {
	records := p.RecordSizes
	if records == "" {
		records = fmt.Sprintf("%d KiB", p.RecordBytes>>10)
	}
	return fmt.Sprintf("%s, records of %s, %d clients, %d files", p.Backend, records, p.Clients, p.Files)
}

func printAppendScaling(c *cobra.Command, dir string, all []harness.Swept) error {
	rows, worst, err := harness.AppendRows(all)
	if err != nil {
		return err
	}
	rates, disks := table.NewWriter(), table.NewWriter()
	rates.AppendHeader(table.Row{"records", "clients", "files", "n", "MB/s", "appends/s", "p50 ms", "CPUs"})
	disks.AppendHeader(table.Row{"records", "clients", "files", "n", "syncs/s", "ms a sync", "disk-bound", "syncs in flight", "wait of an append"})
	pic := report.Picture{Name: "append-scaling", Title: "Record append by clients (GFS figure 3c)",
		Note: "Aggregate rate of acknowledged records, median of the valid runs with their lowest and highest. All nodes share one machine and one disk; the paper's machines had a network link each."}
	for _, r := range rows {
		n := fmt.Sprint(r.Valid)
		if r.Valid < r.Runs {
			n = fmt.Sprintf("%d of %d", r.Valid, r.Runs)
		}
		if r.Valid == 0 {
			rates.AppendRow(table.Row{r.Record, r.Clients, r.Files, n})
			continue
		}
		rates.AppendRow(table.Row{r.Record, r.Clients, r.Files, n, spread("%.1f", 1, r.MBs), spread("%.0f", 1, r.Appends), spread("%.2f", 1, r.P50MS), spread("%.2f", 1, r.CPUs)})
		disks.AppendRow(table.Row{r.Record, r.Clients, r.Files, n, spread("%.0f", 1, r.Syncs), spread("%.2f", 1, r.SyncMS), spread("%.0f %%", 100, r.Busy),
			spread("%.2f", 1, r.InFlight), spread("%.0f %%", 100, r.Wait)})
		addScaling(&pic, r)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s\n\nA chunkserver's disk (mean of the chunkservers): syncs, time that one takes, share of the time with one or\n"+
		"more in flight (disk-bound), how many on average; share of an append's time in which its primary synced the chunk.\n%s\n", rates.Render(), disks.Render())
	if err := saveMeasure(dir, "append-scaling", rows, pic); err != nil {
		return err
	}
	return verdictError(worst)
}

// spread is the median of the runs with their lowest and highest.
func spread(format string, scale float64, s harness.Spread) string {
	return fmt.Sprintf(format+" ["+format+", "+format+"]", scale*s.Median, scale*s.Low, scale*s.High)
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
			s := &panel.Series[i]
			s.X, s.Y = append(s.X, float64(r.Clients)), append(s.Y, r.MBs.Median)
			s.Low, s.High = append(s.Low, r.MBs.Low), append(s.High, r.MBs.High)
		}
	}
}
