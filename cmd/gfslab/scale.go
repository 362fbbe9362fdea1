package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gfslab/harness"
	"gfslab/harness/scale"
	"gfslab/internal/node"
)

// scaleFlags are the flags of gfslab scale.
type scaleFlags struct {
	parts, backends, names []string
	population             scale.Population
	repeats                int
	rate                   float64
	window                 time.Duration
	setting                string
	out                    string
	seed                   uint64
}

var scaleParts = []string{"machine", "cluster"}

func newScale() *cobra.Command {
	var f scaleFlags
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure a namespace of a million files: memory, snapshots, restart, a laggard's catch-up",
		Long: `Measure what a large namespace costs.

"machine" is the metadata state machine alone: bytes a file and a chunk in memory and in a
snapshot; capture, write and restore; Apply beside a snapshot; operations by size.
"cluster" is three masters on files and loopback TCP in this process: the population is
loaded through the log, then clients create files in an open loop while all three take a
snapshot, a follower restarts, and a follower comes back whose entries are compacted away.

Writes figures.json and figures.md, and prints the latter.`,
		Example: "  gfslab scale\n  gfslab scale --parts machine --files 100000 --names numbered\n  gfslab scale --parts cluster --backends etcdraft --rate 1000 --out /tmp/scale",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return usage(err)
			}
			return f.run(c)
		},
	}
	fs := c.Flags()
	fs.StringSliceVar(&f.parts, "parts", scaleParts, "what to measure")
	fs.StringSliceVar(&f.backends, "backends", node.Replicated(), "backends of the cluster part")
	fs.StringSliceVar(&f.names, "names", []string{scale.Numbered, scale.Random}, "forms of file names; the cluster part takes the first")
	fs.IntVar(&f.population.Files, "files", 1_000_000, "files")
	fs.IntVar(&f.population.FilesPerDir, "files-per-directory", 1000, "files a directory")
	fs.IntVar(&f.population.ChunksPerFile, "chunks-per-file", 2, "chunks a file, each granted once")
	fs.IntVar(&f.repeats, "repeats", 5, "times that each event is measured")
	fs.Float64Var(&f.rate, "rate", 500, "creates a second in the cluster part")
	fs.DurationVar(&f.window, "window", 4*time.Second, "how long the load is observed around each event")
	fs.StringVar(&f.setting, "setting", "matched-3", "setting of the limits")
	fs.StringVar(&f.out, "out", "", "folder for the figures and, meanwhile, the logs (default results/runs/<time>-scale)")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of the load")
	complete(c, "parts", scaleParts)
	complete(c, "backends", node.Replicated())
	complete(c, "setting", harness.Settings())
	return c
}

func (f *scaleFlags) check() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	oneOf := func(flag string, values, allowed []string) {
		check(len(values) > 0, "--%s is empty", flag)
		for _, v := range values {
			check(slices.Contains(allowed, v), "--%s %s: it must be one of %s", flag, v, strings.Join(allowed, ", "))
		}
	}
	oneOf("parts", f.parts, scaleParts)
	oneOf("backends", f.backends, node.Replicated())
	oneOf("names", f.names, []string{scale.Numbered, scale.Random})
	_, err := harness.LimitsOf(f.setting)
	errs = append(errs, err)
	check(f.population.Files >= 100, "--files %d: it must be at least 100", f.population.Files)
	check(f.population.FilesPerDir >= 1, "--files-per-directory %d: it must be at least 1", f.population.FilesPerDir)
	check(f.population.ChunksPerFile >= 0, "--chunks-per-file %d: it must not be negative", f.population.ChunksPerFile)
	check(f.repeats >= 1, "--repeats %d: it must be at least 1", f.repeats)
	check(f.rate > 0, "--rate %v: it must be above 0", f.rate)
	check(f.window > 0, "--window %v: it must be above 0", f.window)
	return errors.Join(errs...)
}

func (f *scaleFlags) run(c *cobra.Command) error {
	if f.out == "" {
		f.out = filepath.Join("results", "runs", time.Now().Format("20060102-150405")+"-scale")
	}
	host, err := harness.HostFacts(f.out)
	if err != nil {
		return err
	}
	limits, err := harness.LimitsOf(f.setting)
	if err != nil {
		return err
	}
	r := scale.Report{Version: "gfslab " + version(), Host: host, Setting: f.setting}
	began := time.Now()
	progress := func(text string) {
		fmt.Fprintf(c.ErrOrStderr(), "%7s  %s\n", time.Since(began).Round(time.Second), text)
	}
	if slices.Contains(f.parts, "machine") {
		for _, names := range f.names {
			p := f.population
			p.Names = names
			figures, err := scale.Machine(c.Context(), p, f.repeats, f.out, progress)
			if err != nil {
				return err
			}
			r.Machine = append(r.Machine, figures)
		}
	}
	if slices.Contains(f.parts, "cluster") {
		p := f.population
		p.Names = f.names[0]
		for _, b := range f.backends {
			figures, err := scale.Cluster(c.Context(), scale.ClusterOptions{
				Backend: b, Population: p, Limits: limits, Trailing: 1000, Rate: f.rate, Window: f.window, Repeats: f.repeats,
				Dir: filepath.Join(f.out, "data"), Seed: f.seed, Progress: progress,
			})
			if err != nil {
				return errors.Join(fmt.Errorf("%s: %w", b, err), r.Save(f.out))
			}
			r.Cluster = append(r.Cluster, figures)
		}
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	r.Markdown(c.OutOrStdout())
	return r.Save(f.out)
}
