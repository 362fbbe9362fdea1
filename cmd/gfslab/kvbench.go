package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"gfslab/kv/bench"
)

func newKVBench() *cobra.Command {
	var (
		f       endpointFlags
		o       bench.Options
		seconds float64
		warmUp  float64
	)
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure a running cluster: operations a second and latencies",
		Long: `Measure a running cluster with closed-loop clients, reads and writes apart. Keys
are chosen evenly; every write is replicated and on disk on a majority before it
is answered, every read is as the cluster's read mode says (--stale: any replica).
Latencies run from the client's call, on this machine.`,
		Example: `  gfslab kv bench --clients 64 --seconds 10
  gfslab kv bench --clients 1 --read-ratio 0 --value-bytes 256
  gfslab kv bench --clients 256 --read-ratio 1 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Duration, o.WarmUp = time.Duration(seconds*float64(time.Second)), time.Duration(warmUp*float64(time.Second))
			if err := o.Validate(); err != nil {
				return usage(err)
			}
			s, err := f.connect(c)
			if err != nil {
				return err
			}
			defer s.end()
			if o.Nodes, err = s.admin.Nodes(s.ctx); err != nil {
				return err
			}
			o.Name, o.Conns = uniqueName(), s.conns
			return runKVBench(c, f.json, o)
		},
	}
	f.register(c)
	fs := c.Flags()
	fs.IntVar(&o.Clients, "clients", 16, "closed-loop clients")
	fs.Float64Var(&seconds, "seconds", 5, "measured time")
	fs.Float64Var(&warmUp, "warm-up", 1, "time before it, in seconds")
	fs.Float64Var(&o.ReadRatio, "read-ratio", 0.5, "share of reads")
	fs.IntVar(&o.Keys, "keys", 10000, "keys")
	fs.IntVar(&o.ValueBytes, "value-bytes", 256, "bytes a value")
	fs.BoolVar(&o.Stale, "stale", false, "read any replica")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of keys and choices")
	return c
}

func runKVBench(c *cobra.Command, asJSON bool, o bench.Options) error {
	if !asJSON {
		o.Progress = func(second int, n uint64) { fmt.Fprintf(c.ErrOrStderr(), "second %d: %d operations\n", second, n) }
	}
	r, err := bench.Run(c.Context(), o)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), r)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"", "operations", "per second", "p50 ms", "p99 ms", "p99.9 ms", "max ms"})
	ms := func(us int64) string { return fmt.Sprintf("%.2f", float64(us)/1000) }
	for _, row := range []struct {
		name string
		l    bench.Latency
	}{{"reads", r.Reads}, {"writes", r.Writes}} {
		if l := row.l; l.Operations > 0 {
			t.AppendRow(table.Row{row.name, l.Operations, fmt.Sprintf("%.0f", l.PerSecond), ms(l.P50), ms(l.P99), ms(l.P999), ms(l.Max)})
		}
	}
	fmt.Fprintln(c.OutOrStdout(), t.Render())
	fmt.Fprintf(c.OutOrStdout(), "%d clients, %d-byte values, %.1f s; %d failed, %d unknown, %d calls\n", o.Clients, o.ValueBytes, r.Seconds, r.Failed, r.Unknown, r.Attempts)
	if context.Cause(c.Context()) != nil {
		return c.Context().Err()
	}
	if r.Reads.Operations+r.Writes.Operations == 0 {
		return fmt.Errorf("no operation was completed in %.1f s: measure longer (--seconds), or see `gfslab cluster status`", r.Seconds)
	}
	return nil
}
