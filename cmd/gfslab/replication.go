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

// repairRow is one run of the measurement of lost replicas.
type repairRow struct {
	Backend string `json:"backend"`
	Found   string `json:"found_by"`
	Seed    uint64 `json:"seed"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
	harness.Repair
	// SettledMS is when every chunk was at its goal and nothing left to remove, from
	// the heal on; 0: not within the run's patience.
	SettledMS float64 `json:"settled_ms"`
}

func newReplication() *cobra.Command {
	o := harness.SweepOptions{Tier: "local"}
	backends := []string{"multipaxos"}
	servers, chunks, bytes, runs, seed, rate := 5, 300, 200<<10, 3, uint64(1), uint64(0)
	c := &cobra.Command{
		Use:   "replication",
		Short: "Lose one or two chunkservers, and bits on a disk; how long until every chunk is at its goal?",
		Long: `Lose one of five chunkservers, then two at once, with some hundred chunks of a record
each, and count how long it takes until every chunk has all its replicas, at what rate,
and whether those with the fewest replicas came first. Then flip bits on a disk, found
by a reader or by the scrubber, and time the repair. Every history is checked.`,
		Example: "  gfslab replication --out /tmp/replication\n  gfslab replication --chunks 600 --clone-rate 6250000 --runs 1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for i := range runs {
				for _, b := range backends {
					s := seed + uint64(i)
					o.Plans = append(o.Plans,
						harness.ReplicationPlan(b, "crash-chunkserver", servers, chunks, bytes, rate, s),
						harness.ReplicationPlan(b, "crash-two-chunkservers", servers, chunks, bytes, rate, s),
						harness.RotPlan(b, servers, s), harness.ScrubbedPlan(b, servers, min(chunks, 40), bytes, s))
				}
			}
			all, err := sweep(c, &o, "replication")
			if err != nil {
				return err
			}
			return printRepairs(c, o.Dir, all)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", backends, "backends")
	fs.IntVar(&servers, "chunkservers", servers, "chunkservers")
	fs.IntVar(&chunks, "chunks", chunks, "chunks")
	fs.IntVar(&bytes, "bytes", bytes, "bytes of the record in each chunk")
	fs.Uint64Var(&rate, "clone-rate", rate, "bytes a second that a chunkserver takes clones in with (0: as fast as it goes)")
	fs.IntVar(&runs, "runs", runs, "runs a row")
	sweepFlags(c, &o, &seed)
	complete(c, "backends", node.Replicated())
	return c
}

func printRepairs(c *cobra.Command, dir string, all []harness.Swept) error {
	w := table.NewWriter()
	w.AppendHeader(table.Row{"fault", "seed", "verdict", "below goal", "single", "found ms", "first clone ms", "no single ms", "all ms", "cloned", "chunks/s", "MB/s", "inversions", "passed over", "failed", "at rest after heal ms"})
	var rows []repairRow
	worst := rundir.Valid
	for _, s := range all {
		worst = rundir.Worse(worst, s.Verdict)
		row := repairRow{Backend: s.Plan.Backend, Found: "silence", Seed: s.Plan.Seed, Verdict: s.Verdict, Reason: s.Reason}
		if s.Plan.Fault == "bit-rot" {
			if row.Found = "a reader"; s.Plan.ScrubRate > 0 {
				row.Found = "the scrubber"
			}
		}
		if s.Reason != "" {
			fmt.Fprintf(c.OutOrStdout(), "%s: %s %s\n", s.Verdict, s.Dir, s.Reason)
		}
		if run, err := rundir.Load(s.Dir); err == nil {
			row.Repair = harness.MeasureRepair(run)
			if at := run.Counters.Settled; at > 0 && len(run.Faults) > 0 {
				row.SettledMS = float64(at-run.Faults[0].Heal) / 1e6
			}
		} else if s.Verdict != rundir.Void {
			return err
		}
		rows = append(rows, row)
		w.AppendRow(table.Row{s.Plan.Fault + ", found by " + row.Found, row.Seed, row.Verdict, row.Queued, row.Single, fmt.Sprintf("%.0f", row.CorruptMS), fmt.Sprintf("%.0f", row.FirstMS),
			fmt.Sprintf("%.0f", row.SingleMS), fmt.Sprintf("%.0f", row.DoneMS), row.Cloned, fmt.Sprintf("%.0f", row.PerSecond), fmt.Sprintf("%.1f", row.MBs), row.Inversions, row.PassedOver, row.Failed, fmt.Sprintf("%.0f", row.SettledMS)})
	}
	if err := saveMeasure(dir, "replication", rows, report.Picture{}); err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), w.Render())
	return verdictError(worst)
}
