package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"gfslab/harness/sim"
)

// simFlags are the flags of gfslab sim.
type simFlags struct {
	backend string
	from    uint64
	seeds   uint64
	workers int
	hashes  bool
	worker  bool
	replay  string
	explain bool
	shrink  time.Duration
	out     string
}

func newSim() *cobra.Command {
	var f simFlags
	c := &cobra.Command{
		Use:   "sim",
		Short: "Search for bugs with seeds: whole clusters in simulated worlds",
		Long: `Search for bugs with seeds. Each seed is a world of its own: the protocol core, the
engine's scheduler, the real log and the metadata state machine on a simulated disk and
network, with clients, crashes, cuts, stalls and slow clocks drawn from the seed. The same
seed gives the same trace hash in any process of the same binary.

The last line of standard output gives seeds, violations, stalls and seeds an hour; with
--hashes, a line "seed hash" for each seed comes before it. A failing seed goes to standard
error with the command that replays it; then the smallest schedule that fails in the same
way is looked for and left in the folder --out, for gfslab sim --replay.

Exit codes: 0 no failure, 1 a violation or a stall, 64 usage, 70 infrastructure, 130
interrupted (the last line then counts what was done).`,
		Example: `  gfslab sim --backend multipaxos --seeds 10000
  gfslab sim --backend etcd-raft --seeds 1 --from 4711 --hashes
  gfslab sim --replay sim-failures/etcd-raft-agreement-4711.json --explain`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return usage(err)
			}
			if f.worker {
				return sim.Work(sim.Backend(f.backend), sim.Options{}, c.InOrStdin(), c.OutOrStdout())
			}
			if f.replay != "" {
				return f.replayFile(c.OutOrStdout())
			}
			return f.search(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.backend, "backend", string(sim.MultiPaxos), "core to simulate: multipaxos or etcd-raft")
	fs.Uint64Var(&f.from, "from", 0, "first seed")
	fs.Uint64Var(&f.seeds, "seeds", 1000, "number of seeds")
	fs.IntVar(&f.workers, "workers", runtime.NumCPU(), "worker processes")
	fs.BoolVar(&f.hashes, "hashes", false, `print "seed hash" for each seed`)
	fs.StringVar(&f.replay, "replay", "", "replay this schedule instead of searching")
	fs.BoolVar(&f.explain, "explain", false, "with --replay: tell what happens, line by line")
	fs.DurationVar(&f.shrink, "shrink", time.Minute, "time to look for a smaller schedule of a failing seed, 0 = none")
	fs.StringVar(&f.out, "out", "sim-failures", "folder for the schedules of failing seeds; made when there are any")
	fs.BoolVar(&f.worker, "worker", false, "be a worker of another gfslab sim")
	_ = fs.MarkHidden("worker") // it fails only for a flag that does not exist
	complete(c, "backend", simBackends())
	return c
}

func simBackends() (names []string) {
	for _, b := range sim.Backends() {
		names = append(names, string(b))
	}
	return names
}

func (f *simFlags) check() error {
	if f.backend == "etcdraft" { // as everywhere else
		f.backend = string(sim.EtcdRaft)
	}
	var errs []error
	if !slices.Contains(simBackends(), f.backend) {
		errs = append(errs, fmt.Errorf("--backend %s: only %v have a core that can be simulated", f.backend, simBackends()))
	}
	if f.seeds < 1 || f.from+f.seeds < f.from {
		errs = append(errs, fmt.Errorf("--seeds %d: it must be at least 1 and stay within 64 bits", f.seeds))
	}
	if f.workers < 1 || f.workers > 1024 {
		errs = append(errs, fmt.Errorf("--workers %d: it must be 1 to 1024", f.workers))
	}
	return errors.Join(errs...)
}

// tally counts a search.
type tally struct {
	sim.Counts
	seeds, violations, stalls int
	failed                    []uint64
	start                     time.Time
}

func (t *tally) String() string {
	spent := time.Since(t.start)
	return fmt.Sprintf("%d seeds, %d violations, %d stalls, %.0f seeds an hour (%v; %d ticks, %d proposals, %d acknowledged, %d reads, %d crashes, %d partitions, %d leaders, %d snapshots, %d installs, %d changes, %d transfers)",
		t.seeds, t.violations, t.stalls, float64(t.seeds)/spent.Hours(), spent.Round(time.Second),
		t.Ticks, t.Proposals, t.Acknowledged, t.Reads, t.Crashes, t.Partitions, t.Leaders, t.Snapshots, t.Installs, t.Changes, t.Transfers)
}

func (f *simFlags) search(ctx context.Context, stdout, stderr io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := &tally{start: time.Now()}
	shown := t.start
	s := &sim.Search{First: f.from, Seeds: f.seeds, Workers: min(f.workers, int(min(f.seeds, 1024)))}
	s.Worker = func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, self, "sim", "--worker", "--backend", f.backend)
	}
	s.Each = func(r *sim.Result) {
		t.seeds++
		t.Add(&r.Counts)
		if f.hashes {
			fmt.Fprintf(stdout, "%d %016x\n", r.Seed, r.Trace)
		}
		if r.Failed() {
			f.failure(t, r, stderr)
		}
		if now := time.Now(); now.Sub(shown) >= 2*time.Second {
			shown = now
			fmt.Fprintf(stderr, "sim %s: %d of %d seeds, %d violations, %d stalls, %.0f seeds an hour\n",
				f.backend, t.seeds, f.seeds, t.violations, t.stalls, float64(t.seeds)/now.Sub(t.start).Hours())
		}
	}
	err = s.Run(ctx)
	if err == nil {
		err = f.shrinkAll(ctx, t.failed, stderr)
	}
	interrupted := ""
	if ctx.Err() != nil {
		interrupted = ", interrupted"
	}
	fmt.Fprintf(stdout, "%s: %v%s\n", f.backend, t, interrupted)
	switch {
	case err != nil:
		return err
	case len(t.failed) > 0:
		return &exitError{code: exitInvalid}
	}
	return nil
}

// shrunkSeeds is how many of the failing seeds of one search are shrunk: most
// often they fail for the same reason.
const shrunkSeeds = 3

// shrinkAll leaves a small schedule of the first failing seeds.
func (f *simFlags) shrinkAll(ctx context.Context, failed []uint64, stderr io.Writer) error {
	for _, seed := range failed[:min(len(failed), shrunkSeeds)] {
		if f.shrink == 0 || ctx.Err() != nil {
			return nil
		}
		fmt.Fprintf(stderr, "sim %s: shrinking seed %d\n", f.backend, seed)
		r := sim.Run(sim.Backend(f.backend), seed, sim.Options{})
		if !r.Failed() {
			return fmt.Errorf("seed %d failed in a worker and does not fail here: the world is not deterministic", seed)
		}
		small := sim.Shrink(&r, f.shrink)
		path := filepath.Join(f.out, fmt.Sprintf("%s-%s-%d.json", f.backend, r.Kind(), seed))
		if err := os.MkdirAll(f.out, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, small.Encode(), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "  %d faults in %d ticks (of %d in %d): gfslab sim --replay %s --explain\n",
			len(small.Faults), small.Ticks, len(r.Scenario.Faults), r.Scenario.Ticks, path)
	}
	return nil
}

// replayFile runs a schedule again.
func (f *simFlags) replayFile(stdout io.Writer) error {
	data, err := os.ReadFile(f.replay)
	if err != nil {
		return usage(err)
	}
	sc, err := sim.DecodeScenario(data)
	if err != nil {
		return usage(fmt.Errorf("%s: %w", f.replay, err))
	}
	var explain io.Writer
	if f.explain {
		explain = stdout
	}
	r := sim.Replay(sc, explain)
	fmt.Fprintln(stdout, r.String())
	if r.Failed() {
		return &exitError{code: exitInvalid}
	}
	return nil
}

// failure reports a failing seed.
func (f *simFlags) failure(t *tally, r *sim.Result, stderr io.Writer) {
	t.failed = append(t.failed, r.Seed)
	if r.Violation != nil {
		t.violations++
		fmt.Fprintf(stderr, "%s seed %d: VIOLATION %v\n", f.backend, r.Seed, r.Violation)
	} else {
		t.stalls++
		fmt.Fprintf(stderr, "%s seed %d: STALL %s\n", f.backend, r.Seed, r.Stall)
	}
	fmt.Fprintf(stderr, "  replay: gfslab sim --backend %s --from %d --seeds 1\n", f.backend, r.Seed)
}
