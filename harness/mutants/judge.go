package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Finding is what a search over seeds, or through a world, found.
type Finding struct {
	// Seeds is how many were run: all that were asked for, or those through the
	// first that failed.
	Seeds int
	// Failed says whether a seed failed, and then Seed which, Monitor what
	// objected ("stall" for a lack of progress) and Detail what it said.
	Failed  bool
	Seed    uint64
	Monitor string
	Detail  string
	// States is how many the explorer visited, Depth the length of the shortest
	// path to the violation. 0 for a search over seeds.
	States uint64
	Depth  int
}

// Search applies patch (none, if empty) to a copy of the tree, builds the
// family's simulator and runs seeds from 1 on until one fails.
func Search(ctx context.Context, t Tree, family, patch string, seeds int) (Finding, error) {
	return search(ctx, t, family, patch, fmt.Sprint(seeds))
}

// Explore does the same with every state of a world of the explorer, until a
// violation is found.
func Explore(ctx context.Context, t Tree, patch, world string) (Finding, error) {
	return search(ctx, t, PaxosFamily, patch, "explore", world)
}

func search(ctx context.Context, t Tree, family, patch string, args ...string) (Finding, error) {
	dir, err := os.MkdirTemp("", "gfslab-mutant-")
	if err != nil {
		return Finding{}, err
	}
	defer os.RemoveAll(dir)
	binary, err := build(ctx, dir, t, family, patch)
	if err != nil {
		return Finding{}, err
	}
	var stderr bytes.Buffer
	run := exec.CommandContext(ctx, binary, args...)
	run.Stderr = &stderr
	out, err := run.Output()
	if err != nil {
		return Finding{}, fmt.Errorf("the simulator broke: %w\n%s", err, stderr.Bytes())
	}
	var f Finding
	if err := json.Unmarshal(out, &f); err != nil {
		return Finding{}, fmt.Errorf("the simulator's answer: %w", err)
	}
	return f, nil
}

// build builds the family's simulator from the patched tree, below dir.
func build(ctx context.Context, dir string, t Tree, family, patch string) (binary string, err error) {
	copied := maps.Clone(t.Files)
	if patch != "" {
		if err := apply(copied, patch); err != nil {
			return "", fmt.Errorf("the patch does not apply: %w", err)
		}
	}
	maps.DeleteFunc(copied, func(p, _ string) bool { return familyOf(p) != family })
	binary = filepath.Join(dir, "seeds.bin")
	switch family {
	case EngineFamily:
		return binary, buildOver(ctx, dir, binary, t.Root, copied, "./harness/mutants/simseeds", "build", "-trimpath")
	case GFSFamily:
		return binary, buildOver(ctx, dir, binary, t.Root, copied, "./harness/virtual", "test", "-c", "-vet=off", "-ldflags=-s -w")
	}
	return binary, buildPaxos(ctx, dir, binary, copied)
}

// buildPaxos writes the files below dir, a module of its own.
func buildPaxos(ctx context.Context, dir, binary string, copied map[string]string) error {
	copied["go.mod"] = "module gfslab\n\ngo 1.26.0\n"
	if err := write(dir, copied); err != nil {
		return err
	}
	return compile(ctx, dir, "build", "-trimpath", "-o", binary, "./harness/mutants/seeds")
}

// buildOver builds a part of the module itself with the patched files laid over its
// own: simulators of whole clusters need most of it.
func buildOver(ctx context.Context, dir, binary, root string, copied map[string]string, what string, how ...string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if err := write(dir, copied); err != nil {
		return err
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	for p := range copied {
		overlay.Replace[filepath.Join(root, filepath.FromSlash(p))] = filepath.Join(dir, filepath.FromSlash(p))
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o644); err != nil {
		return err
	}
	return compile(ctx, root, append(how, "-overlay", list, "-o", binary, what)...)
}

func write(dir string, files map[string]string) error {
	for p, text := range files {
		to := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compile(ctx context.Context, dir string, args ...string) error {
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the patched source does not build: %w\n%s", err, out)
	}
	return nil
}

// Result is the judgement on one mutant.
type Result struct {
	Mutant Mutant
	Bug    Finding
	Twin   Finding
	// Explored and ExploredTwin are what the explorer says, if it was asked.
	Explored, ExploredTwin Finding
	Took                   time.Duration
	Err                    error
}

// OK reports whether the bug was caught, by all who looked for it, and the twin
// passed.
func (r Result) OK() bool {
	explored := r.Mutant.World == "" || r.Explored.Failed && !r.ExploredTwin.Failed
	return r.Err == nil && r.Bug.Failed && !r.Twin.Failed && explored
}

// Judge searches for the bug over at most bugSeeds seeds, and then runs the twin
// over the same seeds, at least twinSeeds of them. Where the mutant names a
// world, both are also explored.
func Judge(ctx context.Context, t Tree, m Mutant, bugSeeds, twinSeeds int) (r Result) {
	start := time.Now()
	r.Mutant = m
	defer func() { r.Took = time.Since(start) }()
	if m.Family == GFSFamily {
		judgeRuns(ctx, t, &r, min(bugSeeds, gfsSeeds))
		return r
	}
	if r.Bug, r.Err = Search(ctx, t, m.Family, m.Bug, bugSeeds); r.Err != nil {
		r.Err = fmt.Errorf("bug.patch of %s: %w", m.Name, r.Err)
		return r
	}
	if r.Twin, r.Err = Search(ctx, t, m.Family, m.Twin, max(twinSeeds, r.Bug.Seeds)); r.Err != nil {
		r.Err = fmt.Errorf("twin.patch of %s: %w", m.Name, r.Err)
	}
	if m.World == "" || r.Err != nil {
		return r
	}
	if r.Explored, r.Err = Explore(ctx, t, m.Bug, m.World); r.Err == nil {
		r.ExploredTwin, r.Err = Explore(ctx, t, m.Twin, m.World)
	}
	if r.Err != nil {
		r.Err = fmt.Errorf("%s in the world %s: %w", m.Name, m.World, r.Err)
	}
	return r
}
