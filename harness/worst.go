package harness

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"gfslab/results/rundir"
)

// WorstVerdict is the worst verdict of a bench directory's runs and failovers. A
// run without a verdict and a failover that could not be run are void; so is a
// directory in which nothing ran. A slice that is unknown, for it proved too
// little, does not count where its cell got all its slices valid all the same.
func WorstVerdict(ctx context.Context, dir string) (string, error) {
	runs, err := filepath.Glob(filepath.Join(dir, "runs", "*"))
	if err != nil {
		return "", err
	}
	var b rundir.Bench
	if err := readIfThere(filepath.Join(dir, "bench.json"), &b); err != nil {
		return "", err
	}
	worst, counted := rundir.Valid, 0
	valid, unknown := map[string]int{}, map[string]bool{}
	for _, run := range runs {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		v, err := rundir.ReadVerdict(run)
		if err != nil {
			v.Verdict = rundir.Void
		}
		counted++
		cell := filepath.Base(run)
		if i := strings.LastIndex(cell, "-s"); i >= 0 {
			cell = cell[:i]
		}
		switch v.Verdict {
		case rundir.Valid:
			valid[cell]++
		case rundir.Unknown:
			unknown[cell] = true
		default:
			worst = rundir.Worse(worst, v.Verdict)
		}
	}
	for cell := range unknown {
		if b.Slices == 0 || valid[cell] < b.Slices {
			worst = rundir.Worse(worst, rundir.Unknown)
		}
	}
	var f rundir.Failovers
	if err := readIfThere(filepath.Join(dir, failoversFile), &f); err != nil {
		return "", err
	}
	for _, trials := range f.Backends {
		for _, t := range trials {
			counted++
			worst = rundir.Worse(worst, t.Verdict)
		}
	}
	if counted == 0 {
		return rundir.Void, nil
	}
	return worst, nil
}

// readIfThere decodes a JSON file; one that is not there leaves v as it is.
func readIfThere(name string, v any) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}
