package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gfslab/harness"
	"gfslab/harness/nemesis"
	"gfslab/internal/node"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// planFlags are the flags that stand in for a plan file, or change one.
type planFlags struct {
	file   string
	limits []string
	plan   rundir.Plan
}

// durationFlag lets a rundir.Duration be a flag.
type durationFlag struct{ d *rundir.Duration }

func (f durationFlag) String() string {
	if f.d == nil {
		return ""
	}
	return time.Duration(*f.d).String()
}
func (f durationFlag) Type() string { return "duration" }
func (f durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	*f.d = rundir.Duration(d)
	return err
}

// planDuration is a flag that sets one of the plan's durations.
type planDuration struct {
	name  string
	value *rundir.Duration
	usage string
}

func durationFlags(p *rundir.Plan) []planDuration {
	return []planDuration{
		{"warm-up", &p.WarmUp, "load before the measured time; checked, but in no figure"},
		{"duration", &p.Duration, "measured time"},
		{"fault-at", &p.FaultAt, "when in the measured time the fault is injected"},
		{"fault-for", &p.FaultFor, "how long it lasts until it is healed"},
		{"fault-every", &p.FaultEvery, "from one injection to the next (with --fault-repeat)"},
		{"replace-at", &p.ReplaceAt, "when in the measured time the first master is replaced"},
		{"replace-every", &p.ReplaceEvery, "from one replaced master to the next"},
		{"op-timeout", &p.OpTimeout, "deadline of an operation, with all its attempts; after it the outcome is unknown"},
		{"lease-term", &p.LeaseTerm, "term of a chunk lease"},
		{"period", &p.Period, "pause of a profile's thread that acts by the clock (0: the profile's own)"},
		{"retention", &p.Retention, "how long what was deleted can be brought back (0: the masters' default)"},
		{"dead-after", &p.DeadAfter, "silence after which a chunkserver counts as dead (0: the masters' default)"},
		{"replicate-after", &p.ReplicateAfter, "how long a chunk lacks a replica before it is cloned (0: the masters' default)"},
		{"orphan-age", &p.OrphanAge, "how long a replica of no chunk is seen before it is removed (0: the masters' default)"},
		{"settle", &p.Settle, "wait at the end, at most, for every chunk to be at its goal and all else removed"},
		{"check-timeout", &p.CheckTimeout, "time for each checker; one that is not done says unknown"},
	}
}

func (f *planFlags) register(c *cobra.Command) {
	f.plan = harness.DefaultPlan()
	p, fs := &f.plan, c.Flags()
	fs.StringVar(&f.file, "plan", "", "plan file (TOML); flags given beside it win")
	fs.StringVar(&p.Backend, "backend", p.Backend, "one of "+strings.Join(node.Backends(), ", "))
	fs.StringVar(&p.Workload, "workload", p.Workload, "one of "+strings.Join(workloads.Names(), ", "))
	fs.StringVar(&p.Fault, "fault", p.Fault, "one of "+strings.Join(nemesis.Names(), ", "))
	fs.StringVar(&p.Setting, "setting", p.Setting, "one of "+strings.Join(harness.Settings(), ", "))
	fs.StringVar(&p.Tier, "tier", p.Tier, "local (real files, loopback TCP) or virtual (virtual time, memory)")
	fs.Uint64Var(&p.Seed, "seed", p.Seed, "seed of workload, jitter and fault schedule")
	fs.IntVar(&p.Replicas, "replicas", p.Replicas, "masters")
	fs.IntVar(&p.Chunkservers, "chunkservers", p.Chunkservers, "chunkservers")
	fs.IntVar(&p.Clients, "clients", p.Clients, "client threads")
	fs.StringVar(&p.Arrival, "arrival", p.Arrival, "closed or open")
	fs.Float64Var(&p.Rate, "rate", p.Rate, "operations a second of all clients (open arrival)")
	for _, flag := range durationFlags(p) {
		fs.Var(durationFlag{flag.value}, flag.name, flag.usage)
	}
	fs.IntVar(&p.Replace, "replace", p.Replace, "masters replaced by new ones under load")
	fs.IntVar(&p.FaultRepeat, "fault-repeat", p.FaultRepeat, "how often the fault is injected")
	fs.StringArrayVar(&f.limits, "limit", nil, "key=value of [limits] that differs from the setting; may be repeated")
	fs.IntVar(&p.RecordBytes, "record-bytes", p.RecordBytes, "payload of an appended record")
	fs.Int64Var(&p.ChunkBytes, "chunk-bytes", p.ChunkBytes, "size of a chunk")
	fs.StringVar(&p.RecordSizes, "record-sizes", p.RecordSizes, "draw the sizes of records from a table: "+strings.Join(workloads.SizeTables()[1:], ", "))
	fs.IntVar(&p.Files, "files", p.Files, "files of the profile (0: its own number)")
	fs.IntVar(&p.Replication, "replication", p.Replication, "goal of every chunk (0: 3, or as many as there are chunkservers)")
	fs.IntVar(&p.Racks, "racks", p.Racks, "racks that the chunkservers are spread over (0: none)")
	fs.Uint64Var(&p.CloneRate, "clone-rate", p.CloneRate, "bytes a second that a chunkserver takes clones in with (0: as fast as it goes)")
	fs.Int64Var(&p.ScrubRate, "scrub-rate", p.ScrubRate, "bytes a second that an idle chunkserver verifies without a pause (0: its default)")
	fs.BoolVar(&p.Fencing, "fencing", p.Fencing, "grant a dead primary's chunk at once and fence the old grant, instead of waiting for the lease's end")
	fs.BoolVar(&p.Strict, "strict", p.Strict, "seal a full chunk at the master before the next one is used")
	complete(c, "record-sizes", workloads.SizeTables()[1:])
	complete(c, "backend", node.Backends())
	complete(c, "workload", workloads.Names())
	complete(c, "fault", nemesis.Names())
	complete(c, "setting", harness.Settings())
	complete(c, "tier", []string{"local", "virtual"})
	complete(c, "arrival", []string{"closed", "open"})
}

// resolve returns the plan: the file's, overlaid by the flags that were given.
func (f *planFlags) resolve(c *cobra.Command) (rundir.Plan, error) {
	p := f.plan
	if f.file != "" {
		// The whole is judged, not the file by itself: a flag may mend it.
		fromFile, err := harness.ReadPlan(f.file)
		if err != nil {
			return p, usage(err)
		}
		given := map[string]string{}
		c.Flags().Visit(func(fl *pflag.Flag) { given[fl.Name] = fl.Value.String() })
		f.plan = fromFile
		for name, value := range given {
			if name == "plan" || name == "limit" {
				continue
			}
			if err := c.Flags().Set(name, value); err != nil {
				return p, usage(err)
			}
		}
		p = f.plan
	}
	for _, l := range f.limits {
		if err := harness.SetLimit(&p.Limits, l); err != nil {
			return p, usage(err)
		}
	}
	harness.Normalize(&p)
	if err := harness.ValidatePlan(p); err != nil {
		return p, usage(fmt.Errorf("the plan cannot run:\n%w", err))
	}
	return p, nil
}

func newRun() *cobra.Command {
	var (
		flags planFlags
		out   string
		keep  bool
	)
	c := &cobra.Command{
		Use:   "run",
		Short: "Run one plan, check its history, leave a run directory",
		Example: `  gfslab run --backend multipaxos --workload append --fault isolate-leader --seed 3 --out /tmp/run
  gfslab run --plan my.toml --backend hashiraft
  gfslab run --tier virtual --fault crash-leader --out /tmp/virtual`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := flags.resolve(c)
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-"+harness.RunName(p))
			}
			return runOne(c, p, out, keep)
		},
	}
	flags.register(c)
	c.Flags().StringVar(&out, "out", "", "run directory, must not exist (default results/runs/<time>-<name>)")
	c.Flags().BoolVar(&keep, "keep-data", false, "keep the nodes' data beside the run")
	return c
}

func runOne(c *cobra.Command, p rundir.Plan, out string, keep bool) error {
	if _, err := os.Stat(out); err == nil {
		return usage(fmt.Errorf("%s exists already; a run never overwrites another: choose another --out", out))
	}
	if keep && p.Tier == "virtual" {
		return usage(errors.New("--keep-data: in virtual time the nodes' data is in memory only"))
	}
	o := harness.RunOptions{Dir: out, KeepData: keep, Info: info()}
	run := harness.Run
	if p.Tier == "virtual" {
		run = harness.RunVirtual
	}
	v, stats, err := run(c.Context(), p, o)
	if err != nil {
		return err
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "%s: %d operations, %d ok, %d failed, %d unknown, in %s\n", harness.RunName(p), stats.Operations, stats.OK, stats.Fail, stats.Unknown, out)
	printVerdict(w, v)
	return verdictError(v.Verdict)
}

// verdictError turns a verdict into the process's end.
func verdictError(verdict string) error {
	switch verdict {
	case rundir.Valid:
		return nil
	case rundir.Invalid:
		return &exitError{exitInvalid, nil}
	}
	return &exitError{exitUnknown, nil}
}

func info() harness.Info {
	return harness.Info{Version: version(), Command: "gfslab " + strings.Join(os.Args[1:], " ")}
}
