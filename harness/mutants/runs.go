package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gfslab/harness"
	"gfslab/results/rundir"
)

// gfsSeeds bounds the runs that are made to see a bug of the file system: one
// takes seconds.
const gfsSeeds = 8

// judgeRuns runs the mutant's plan on the patched file system until its killer
// sees the bug, and then the twin on the same seeds.
func judgeRuns(ctx context.Context, t Tree, r *Result, seeds int) {
	if r.Bug, r.Err = searchRuns(ctx, t, r.Mutant, r.Mutant.Bug, seeds); r.Err != nil {
		r.Err = fmt.Errorf("bug.patch of %s: %w", r.Mutant.Name, r.Err)
		return
	}
	if r.Twin, r.Err = searchRuns(ctx, t, r.Mutant, r.Mutant.Twin, r.Bug.Seeds); r.Err != nil {
		r.Err = fmt.Errorf("twin.patch of %s: %w", r.Mutant.Name, r.Err)
	}
}

// searchRuns builds the virtual-time binary from the patched tree and runs the
// plan with seeds from 1 on until the run is invalid by the killer. A twin is
// blamed by any checker.
func searchRuns(ctx context.Context, t Tree, m Mutant, patch string, seeds int) (Finding, error) {
	dir, err := os.MkdirTemp("", "gfslab-mutant-")
	if err != nil {
		return Finding{}, err
	}
	defer os.RemoveAll(dir)
	plan, err := harness.ParsePlan([]byte(m.Plan))
	if err != nil {
		return Finding{}, fmt.Errorf("plan.toml: %w", err)
	}
	binary, err := build(ctx, dir, t, GFSFamily, patch)
	if err != nil {
		return Finding{}, err
	}
	for seed := 1; seed <= seeds; seed++ {
		plan.Seed, plan.Tier = uint64(seed), "virtual"
		v, err := runOnce(ctx, dir, binary, plan)
		if err != nil {
			return Finding{}, err
		}
		blamed, detail := blame(v)
		if len(blamed) > 0 && (patch != m.Bug || slices.Contains(blamed, m.Killer)) {
			return Finding{Seeds: seed, Failed: true, Seed: plan.Seed, Monitor: strings.Join(blamed, " "), Detail: detail}, nil
		}
	}
	return Finding{Seeds: seeds}, nil
}

// blame lists the checkers that found the run invalid, the killer's word first.
func blame(v rundir.Verdict) (blamed []string, detail string) {
	for _, c := range v.Checks {
		if c.Verdict == rundir.Invalid {
			blamed = append(blamed, c.Name)
			detail += c.Name + ": " + strings.Join(c.Details[:min(2, len(c.Details))], "\n    ") + "\n"
		}
	}
	return blamed, detail
}

// runOnce has the binary run one plan and judge it.
func runOnce(ctx context.Context, dir, binary string, plan rundir.Plan) (rundir.Verdict, error) {
	name := filepath.Join(dir, fmt.Sprintf("job-%d.json", plan.Seed))
	to := filepath.Join(dir, fmt.Sprintf("run-%d", plan.Seed))
	text, err := json.Marshal(harness.Job{Plan: plan, Dir: to, Created: time.Now()})
	if err != nil {
		return rundir.Verdict{}, err
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return rundir.Verdict{}, err
	}
	defer os.RemoveAll(to)
	var said bytes.Buffer
	run := exec.CommandContext(ctx, binary, "-test.run", "^TestRuns$")
	run.Env = append(os.Environ(), harness.JobVariable+"="+name)
	run.Dir, run.Stdout, run.Stderr = dir, &said, &said
	runErr := run.Run()
	text, err = os.ReadFile(harness.ResultFile(name))
	if err != nil {
		return rundir.Verdict{}, fmt.Errorf("the run broke: %w\n%s", runErr, said.Bytes()[:min(said.Len(), 4000)])
	}
	var r harness.JobResult
	if err := json.Unmarshal(text, &r); err != nil {
		return rundir.Verdict{}, err
	}
	if r.Error != "" {
		return rundir.Verdict{}, fmt.Errorf("the run broke: %s", r.Error)
	}
	return r.Verdict, nil
}
