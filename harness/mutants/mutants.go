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
// twin.patch, unified diffs against the root of the module. If there is an
// explorer.txt, it names a world of paxostest, and the explorer must find the
// bug there too.
package mutants

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

//go:embed paxos
var patches embed.FS

// Mutant is one planted bug.
type Mutant struct {
	Name, About string
	// Bug and Twin are unified diffs.
	Bug, Twin string
	// World is where the explorer looks for the bug, empty if it does not.
	World string
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
		if data, err := fs.ReadFile(patches, path.Join("paxos", d.Name(), "explorer.txt")); err == nil {
			m.World = strings.TrimSpace(string(data))
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
