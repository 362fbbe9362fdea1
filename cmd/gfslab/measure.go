package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

func newBareLog() *cobra.Command {
	o := harness.BareLogOptions{Setting: "matched-2", Clients: 1, CommandBytes: 100, WarmUp: 300 * time.Millisecond, Duration: 2 * time.Second, Seed: 1}
	var (
		backends []string
		dir      string
		clients  []int
		timeDisk bool
	)
	c := &cobra.Command{
		Use:   "barelog",
		Short: "Measure the replicated log alone: no-op state machine, no master",
		Long: `Measure the replicated log alone: three replicas in this process with a no-op
state machine, on files and loopback TCP, a closed loop of clients at the leader.
The last line counts the fsyncs of all nodes from open to close, to be held against
a system-call trace; timing the disk itself would add its own fsyncs to that:

  strace -f -c -e trace=fsync,fdatasync gfslab barelog --clients 1 --time-disk=false`,
		Example: "  gfslab barelog --clients 1,256\n  gfslab barelog --backends etcdraft --clients 1 --duration 5s --dir /data/tmp",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkBareLog(o, backends, clients); err != nil {
				return usage(err)
			}
			return bareLog(c, o, backends, clients, dir, timeDisk)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", node.Backends(), "backends, measured one after another")
	fs.IntSliceVar(&clients, "clients", []int{1, 256}, "closed-loop clients")
	fs.StringVar(&o.Setting, "setting", o.Setting, "setting of the limits")
	fs.IntVar(&o.CommandBytes, "bytes", o.CommandBytes, "bytes a command")
	fs.DurationVar(&o.Duration, "duration", o.Duration, "measured time a row")
	fs.DurationVar(&o.WarmUp, "warm-up", o.WarmUp, "time before it")
	fs.StringVar(&dir, "dir", "", "where the logs are kept meanwhile (default: a temporary folder here)")
	fs.BoolVar(&timeDisk, "time-disk", true, "time fdatasync on the disk, for comparison")
	complete(c, "backends", node.Backends())
	complete(c, "setting", harness.Settings())
	return c
}

func checkBareLog(o harness.BareLogOptions, backends []string, clients []int) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	_, err := harness.LimitsOf(o.Setting)
	errs = append(errs, err)
	for _, b := range backends {
		check(slices.Contains(node.Backends(), b), "--backends %s: it must be one of %s", b, strings.Join(node.Backends(), ", "))
	}
	for _, n := range clients {
		check(n >= 1 && n <= 1<<16, "--clients %d: it must be 1 to 65536", n)
	}
	check(o.CommandBytes >= 1 && o.CommandBytes <= 1<<20, "--bytes %d: it must be 1 to %d", o.CommandBytes, 1<<20)
	check(o.Duration > 0, "--duration %v: it must be above 0", o.Duration)
	check(o.WarmUp >= 0, "--warm-up %v: it must not be negative", o.WarmUp)
	return errors.Join(errs...)
}

func bareLog(c *cobra.Command, o harness.BareLogOptions, backends []string, clients []int, dir string, timeDisk bool) error {
	if dir == "" {
		dir = "."
	}
	facts := harness.HostFacts
	if !timeDisk {
		facts = harness.HostFactsUntimed
	}
	host, err := facts(dir)
	if err != nil {
		return err
	}
	w := table.NewWriter()
	w.SetOutputMirror(c.OutOrStdout())
	w.AppendHeader(table.Row{"backend", "setting", "clients", "ops/s", "p50 us", "p99 us", "CPU s/100k", "allocs/op", "fsyncs/op leader", "follower", "frames/op", "bytes/op", "durable"})
	var total uint64
	for _, n := range clients {
		for _, b := range backends {
			tmp, err := os.MkdirTemp(dir, "barelog-")
			if err != nil {
				return err
			}
			o.Backend, o.Clients, o.Dir = b, n, filepath.Join(tmp, "data")
			row, syncs, err := harness.BareLog(c.Context(), o)
			if e := os.RemoveAll(tmp); err == nil {
				err = e
			}
			if err != nil {
				return err
			}
			total += syncs
			w.AppendRow(table.Row{
				b, o.Setting, n, fmt.Sprintf("%.0f", row.OpsPerSecond), fmt.Sprintf("%.0f", row.P50US), fmt.Sprintf("%.0f", row.P99US),
				fmt.Sprintf("%.2f", row.CPUSecondsPer100k), fmt.Sprintf("%.1f", row.AllocsPerOp), fmt.Sprintf("%.3f", row.LeaderFsyncsPerOp),
				fmt.Sprintf("%.3f", row.FollowFsyncsPerOp), fmt.Sprintf("%.3f", row.LeaderFramesPerOp), fmt.Sprintf("%.0f", row.LeaderBytesPerOp), durable(host),
			})
		}
	}
	w.Render()
	fmt.Fprintf(c.OutOrStdout(), "%d cores, %s, on %s\n", host.Cores, host.CPU, host.FileSystem)
	if timeDisk {
		fmt.Fprintf(c.OutOrStdout(), "fdatasync p50 %.0f us alone, %.0f us of three at once\n", host.Sync1P50US, host.Sync3P50US)
	}
	fmt.Fprintf(c.OutOrStdout(), "fsyncs of all nodes and rows, from open to close: %d\n", total)
	return nil
}

func durable(h rundir.Host) string {
	if h.Durable {
		return "yes"
	}
	return "NOT DURABLE"
}

func newFailovers() *cobra.Command {
	var (
		backends []string
		setting  string
		seed     uint64
		n        int
		out      string
	)
	c := &cobra.Command{
		Use:     "failovers",
		Short:   "Kill the leader many times in virtual time and print when clients were served again",
		Example: "  gfslab failovers --n 300 --out /tmp/failovers",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if n < 1 {
				return usage(fmt.Errorf("--n %d: it must be at least 1", n))
			}
			if out == "" {
				out = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-failovers")
			}
			if _, err := os.Stat(out); err == nil {
				return usage(fmt.Errorf("%s exists already: choose another --out", out))
			}
			for _, b := range backends {
				if err := harness.ValidatePlan(harness.FailoverPlan(b, setting, seed, n)); err != nil {
					return usage(err)
				}
			}
			host, err := harness.HostFacts(out)
			if err != nil {
				return err
			}
			f, err := harness.Failovers(c.Context(), out, backends, setting, seed, n, info(), host, c.ErrOrStderr())
			if err != nil {
				_ = os.Remove(out) // only if nothing is in it
				return err
			}
			return printFailovers(c, f, backends)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&backends, "backends", node.Replicated(), "backends")
	fs.StringVar(&setting, "setting", "matched-3", "setting of the limits")
	fs.Uint64Var(&seed, "seed", 1, "first seed")
	fs.IntVar(&n, "n", 300, "failovers a backend")
	fs.StringVar(&out, "out", "", "where the run directories go, must not exist (default results/runs/<time>-failovers)")
	complete(c, "backends", node.Replicated())
	complete(c, "setting", harness.Settings())
	return c
}

func printFailovers(c *cobra.Command, f rundir.Failovers, backends []string) error {
	w := table.NewWriter()
	w.SetOutputMirror(c.OutOrStdout())
	w.SetTitle(f.Label)
	w.AppendHeader(table.Row{"backend", "trials", "valid", "detection p50 ms", "failover p50 ms", "p99 ms", "unavailable p50 ms", "p99 ms"})
	worst := rundir.Valid
	for _, b := range backends {
		var detection, failover, unavailable []float64
		for _, t := range f.Backends[b] {
			worst = rundir.Worse(worst, t.Verdict)
			if t.Verdict == rundir.Valid {
				detection, failover, unavailable = append(detection, t.DetectionMS), append(failover, t.FailoverMS), append(unavailable, t.UnavailableMS)
			}
		}
		w.AppendRow(table.Row{b, len(f.Backends[b]), len(failover), quantile(detection, 50), quantile(failover, 50), quantile(failover, 99), quantile(unavailable, 50), quantile(unavailable, 99)})
	}
	w.Render()
	return verdictError(worst)
}

// quantile is the value at a nearest rank as text, "-" of nothing. A time of 0
// never came: it is the longest of all.
func quantile(values []float64, percent int) string {
	if len(values) == 0 {
		return "-"
	}
	values = slices.Clone(values)
	for i, v := range values {
		if v == 0 {
			values[i] = math.Inf(1)
		}
	}
	slices.Sort(values)
	v := values[(len(values)*percent+99)/100-1]
	if math.IsInf(v, 1) {
		return "never"
	}
	return fmt.Sprintf("%.0f", v)
}
