// Package mutants judges the judge: it plants known bugs into copies of the
// product, one at a time, and demands that the simulator finds each of them,
// and that it stays silent about a twin - the same place written differently,
// but rightly.
//
// It never changes the tree it reads, and it is not a mutation tester that
// invents changes: every bug is one that a real implementation had or could
// have, and says so in its about.txt.
//
// The bugs of the Paxos core are looked for by paxostest; those of the engine,
// which orders writes, messages and applications for every core, by harness/sim
// with both cores; those of master, chunkserver and client by the checkers of
// harness/check, in runs in virtual time.
//
// A mutant is a folder: about.txt (its first line is the title), bug.patch and
// twin.patch, unified diffs against the root of the module. If there is an
// explorer.txt, it names a world of paxostest, and the explorer must find the
// bug there too. A bug in the file system has a plan.toml, the run that shows it,
// and a killer.txt, the checker that must see it.
package mutants

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

//go:embed paxos engine gfs
var patches embed.FS

// The families of planted bugs: whose simulator looks for them.
const (
	PaxosFamily  = "paxos"
	EngineFamily = "engine"
	GFSFamily    = "gfs"
)

// Mutant is one planted bug.
type Mutant struct {
	Family, Name, About string
	// Bug and Twin are unified diffs.
	Bug, Twin string
	// World is where the explorer looks for the bug, empty if it does not.
	World string
	// Plan is the run that shows the bug, in TOML, and Killer the checker that must
	// see it; of GFSFamily only.
	Plan, Killer string
}

// Title is the first line of About.
func (m Mutant) Title() string { title, _, _ := strings.Cut(m.About, "\n"); return title }

// All returns the planted bugs, by family and name.
func All() ([]Mutant, error) {
	var ms []Mutant
	for _, family := range []string{EngineFamily, GFSFamily, PaxosFamily} {
		of, err := readFamily(family)
		if err != nil {
			return nil, err
		}
		ms = append(ms, of...)
	}
	return ms, nil
}

func readFamily(family string) (ms []Mutant, err error) {
	dirs, err := fs.ReadDir(patches, family)
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		m := Mutant{Family: family, Name: d.Name()}
		for name, to := range map[string]*string{"about.txt": &m.About, "bug.patch": &m.Bug, "twin.patch": &m.Twin} {
			data, err := fs.ReadFile(patches, path.Join(family, d.Name(), name))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			*to = strings.TrimLeft(string(data), "\n")
		}
		for name, to := range map[string]*string{"explorer.txt": &m.World, "plan.toml": &m.Plan, "killer.txt": &m.Killer} {
			if data, err := fs.ReadFile(patches, path.Join(family, d.Name(), name)); err == nil {
				*to = strings.TrimSpace(string(data))
			}
		}
		ms = append(ms, m)
	}
	sort.Slice(ms, func(i, j int) bool { return ms[i].Name < ms[j].Name })
	return ms, nil
}

const engineDir = "consensus/engine"

// gfsDirs are where the bugs of the file system are planted.
var gfsDirs = []string{"master", "master/meta", "chunkserver", "client"}

// familyOf is the family whose simulator a source file belongs to.
func familyOf(file string) string {
	switch dir := path.Dir(file); {
	case dir == engineDir:
		return EngineFamily
	case slices.Contains(gfsDirs, dir):
		return GFSFamily
	}
	return PaxosFamily
}

// Tree is the source to plant bugs in.
type Tree struct {
	// Root is the root of the module.
	Root string
	// Files are those that the simulator of the Paxos core is built from, those of
	// the engine and those of the file system, by slash path.
	Files map[string]string
}

// Source reads the tree of the module at root.
func Source(root string) (Tree, error) {
	tree := Tree{Root: root, Files: map[string]string{}}
	for _, dir := range append([]string{"paxos", "paxos/paxostest", "harness/mutants/seeds", engineDir}, gfsDirs...) {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return tree, err
		}
		for _, e := range entries {
			if e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			data, err := os.ReadFile(filepath.Join(root, dir, e.Name()))
			if err != nil {
				return tree, err
			}
			tree.Files[path.Join(dir, e.Name())] = string(data)
		}
	}
	return tree, nil
}
