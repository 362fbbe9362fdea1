// Package mutants judges the judge: it plants known bugs into copies of the
// product, one at a time, and demands that the simulator finds each of them,
// and that it stays silent about a twin - the same place written differently,
// but rightly.
//
// It never changes the tree it reads, and it is not a mutation tester that
// invents changes: every bug is one that a real implementation had or could
// have, and says so in its about.txt.
//
// A mutant is a folder: about.txt (its first line is the title), bug.patch and
// twin.patch, unified diffs against the root of the module.
package mutants

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

//go:embed paxos
var patches embed.FS

// Mutant is one planted bug.
type Mutant struct {
	Name, About string
	// Bug and Twin are unified diffs.
	Bug, Twin string
}

// Title is the first line of About.
func (m Mutant) Title() string { title, _, _ := strings.Cut(m.About, "\n"); return title }

// All returns the planted bugs of the Paxos core, by name.
func All() ([]Mutant, error) {
	dirs, err := fs.ReadDir(patches, "paxos")
	if err != nil {
		return nil, err
	}
	var ms []Mutant
	for _, d := range dirs {
		m := Mutant{Name: d.Name()}
		for name, to := range map[string]*string{"about.txt": &m.About, "bug.patch": &m.Bug, "twin.patch": &m.Twin} {
			data, err := fs.ReadFile(patches, path.Join("paxos", d.Name(), name))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			*to = strings.TrimLeft(string(data), "\n")
		}
		ms = append(ms, m)
	}
	sort.Slice(ms, func(i, j int) bool { return ms[i].Name < ms[j].Name })
	return ms, nil
}

// Source reads what the simulator of the Paxos core is built from. root is the
// root of the module.
func Source(root string) (map[string]string, error) {
	files := map[string]string{}
	for _, dir := range []string{"paxos", "paxos/paxostest", "harness/mutants/seeds"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			data, err := os.ReadFile(filepath.Join(root, dir, e.Name()))
			if err != nil {
				return nil, err
			}
			files[path.Join(dir, e.Name())] = string(data)
		}
	}
	return files, nil
}

// Finding is what a search over seeds found.
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
}

// Search applies patch (none, if empty) to a copy of files, builds the simulator
// and runs seeds from 1 on until one fails.
func Search(ctx context.Context, files map[string]string, patch string, seeds int) (Finding, error) {
	copied := make(map[string]string, len(files))
	for p, text := range files {
		copied[p] = text
	}
	if patch != "" {
		if err := apply(copied, patch); err != nil {
			return Finding{}, fmt.Errorf("the patch does not apply: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "gfslab-mutant-")
	if err != nil {
		return Finding{}, err
	}
	defer os.RemoveAll(dir)
	copied["go.mod"] = "module gfslab\n\ngo 1.26.0\n"
	for p, text := range copied {
		to := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return Finding{}, err
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return Finding{}, err
		}
	}
	binary := filepath.Join(dir, "seeds.bin")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./harness/mutants/seeds")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return Finding{}, fmt.Errorf("the patched source does not build: %w\n%s", err, out)
	}
	var stderr bytes.Buffer
	run := exec.CommandContext(ctx, binary, fmt.Sprint(seeds))
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

// Result is the judgement on one mutant.
type Result struct {
	Mutant Mutant
	Bug    Finding
	Twin   Finding
	Took   time.Duration
	Err    error
}

// OK reports whether the bug was caught and the twin passed.
func (r Result) OK() bool { return r.Err == nil && r.Bug.Failed && !r.Twin.Failed }

// Judge searches for the bug over at most bugSeeds seeds, and then runs the twin
// over the same seeds, at least twinSeeds of them.
func Judge(ctx context.Context, files map[string]string, m Mutant, bugSeeds, twinSeeds int) (r Result) {
	start := time.Now()
	r.Mutant = m
	defer func() { r.Took = time.Since(start) }()
	if r.Bug, r.Err = Search(ctx, files, m.Bug, bugSeeds); r.Err != nil {
		r.Err = fmt.Errorf("bug.patch of %s: %w", m.Name, r.Err)
		return r
	}
	if r.Twin, r.Err = Search(ctx, files, m.Twin, max(twinSeeds, r.Bug.Seeds)); r.Err != nil {
		r.Err = fmt.Errorf("twin.patch of %s: %w", m.Name, r.Err)
	}
	return r
}
