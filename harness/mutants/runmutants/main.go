// Command runmutants judges every planted bug and prints a table. It exits with
// 1 if a bug was missed, a twin was blamed or a patch went stale.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	"gfslab/harness/mutants"
)

func main() {
	root := flag.String("root", ".", "root of the module")
	only := flag.String("only", "", "judge this mutant only")
	bugSeeds := flag.Int("seeds", 4000, "seeds to search at most for a bug")
	twinSeeds := flag.Int("twin-seeds", 200, "seeds that a twin must pass at least")
	workers := flag.Int("workers", 2, "mutants judged at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *only, *bugSeeds, *twinSeeds, *workers); err != nil {
		fmt.Fprintln(os.Stderr, "runmutants:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, root, only string, bugSeeds, twinSeeds, workers int) error {
	all, err := mutants.All()
	if err != nil {
		return err
	}
	var chosen []mutants.Mutant
	for _, m := range all {
		if only == "" || only == m.Name {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant is called %q", only)
	}
	tree, err := mutants.Source(root)
	if err != nil {
		return err
	}
	results := make([]mutants.Result, len(chosen))
	var wg sync.WaitGroup
	slots := make(chan struct{}, workers)
	for i, m := range chosen {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i] = mutants.Judge(ctx, tree, m, bugSeeds, twinSeeds)
			fmt.Fprintf(os.Stderr, "%-28s %v\n", m.Name, results[i].Took.Round(100*time.Millisecond))
			if only != "" {
				fmt.Fprintf(os.Stderr, "bug: %s\ntwin: %s\n", results[i].Bug.Detail, results[i].Twin.Detail)
			}
		})
	}
	wg.Wait()
	return report(results)
}

func report(results []mutants.Result) error {
	fmt.Printf("%-26s %-7s %-22s %-6s %s\n", "planted bug", "caught", "by monitor", "seed", "fixed twin")
	bad := 0
	for _, r := range results {
		caught, twin := "no", "silent"
		monitor, seed := "-", "-"
		if r.Bug.Failed {
			caught, monitor, seed = "yes", r.Bug.Monitor, fmt.Sprint(r.Bug.Seed)
		}
		if r.Twin.Failed {
			twin = "BLAMED by " + r.Twin.Monitor
		}
		fmt.Printf("%-26s %-7s %-22s %-6s %s over %d seeds\n", r.Mutant.Name, caught, monitor, seed, twin, r.Twin.Seeds)
		if r.Mutant.World != "" {
			fmt.Printf("    explored, world %s: %s; twin: %s\n", r.Mutant.World, explored(r.Explored), explored(r.ExploredTwin))
		}
		if r.Err != nil {
			fmt.Printf("    %v\n", r.Err)
		}
		if !r.OK() {
			bad++
		}
	}
	fmt.Printf("%d of %d planted bugs caught, with a silent twin each\n", len(results)-bad, len(results))
	if bad > 0 {
		return fmt.Errorf("%d of %d failed", bad, len(results))
	}
	return nil
}

func explored(f mutants.Finding) string {
	if !f.Failed {
		return fmt.Sprintf("nothing in %d states", f.States)
	}
	return fmt.Sprintf("%s at depth %d, after %d states", f.Monitor, f.Depth, f.States)
}
