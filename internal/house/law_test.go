package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list -json` says of a package, as far as we look.
type goPackage struct {
	ImportPath                           string
	Dir                                  string
	Doc                                  string
	ForTest                              string
	Standard                             bool
	Imports                              []string
	GoFiles, TestGoFiles, XTestGoFiles   []string
	IgnoredGoFiles, CgoFiles, OtherFiles []string
	Error                                *struct{ Err string }
}

// list runs `go list` over the module.
func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-e", "-json"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode the answer of %v: %v", cmd, err)
		}
		packages = append(packages, p)
	}
}

// bare cuts the variant off an import path: "p [p.test]" is p.
func bare(path string) string {
	path, _, _ = strings.Cut(path, " ")
	return path
}

// graph turns packages into edges. A test variant contributes what its plain
// twin does not import.
func graph(packages []goPackage) []edge {
	plain := map[string][]string{}
	for _, p := range packages {
		if p.ForTest == "" && !strings.HasSuffix(p.ImportPath, ".test") {
			plain[p.ImportPath] = p.Imports
		}
	}
	var edges []edge
	for _, p := range packages {
		if p.Standard || strings.HasSuffix(p.ImportPath, ".test") {
			continue
		}
		path := bare(p.ImportPath)
		from := strings.TrimSuffix(path, "_test")
		for _, to := range p.Imports {
			to = bare(to)
			inTest := p.ForTest != "" && !slices.Contains(plain[path], to)
			if to != from && to != "C" {
				edges = append(edges, edge{From: from, To: to, Test: inTest})
			}
		}
	}
	return edges
}

// TestImportLaw checks the product alone, then once more with all tests.
func TestImportLaw(t *testing.T) {
	for _, mode := range []struct {
		name string
		args []string
	}{
		{"product", []string{"-deps", "./..."}},
		{"with tests", []string{"-deps", "-test", "./..."}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			edges := graph(list(t, mode.args...))
			ours := 0
			for _, e := range edges {
				if isUnder(e.From, module) {
					ours++
				}
			}
			if ours < 20 {
				t.Fatalf("go list shows %d imports of ours: it has not looked at this module", ours)
			}
			for _, b := range breaches(edges) {
				t.Error(b)
			}
		})
	}
}

// TestLawHoldsTogether checks the law itself: no unit may import one below it.
func TestLawHoldsTogether(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range units {
		if seen[u.path] {
			t.Errorf("%s stands twice in the law", u.path)
		}
		for _, m := range u.may {
			if !seen[m] {
				t.Errorf("%s may import %q, which does not stand before it", u.path, m)
			}
		}
		seen[u.path] = true
	}
	for _, u := range units {
		for _, m := range u.may {
			if slices.Contains(testOnly, m) && !isUnder(u.path, "harness") && !isUnder(u.path, "cmd") && !slices.Contains(testOnly, u.path) {
				t.Errorf("%s may import %s, which is for tests only", u.path, m)
			}
		}
	}
}

// TestLawFindsBreaches plants forbidden edges and looks whether they are found.
func TestLawFindsBreaches(t *testing.T) {
	good := []edge{
		{From: "gfslab/consensus/engine", To: "gfslab/consensus/storage"},
		{From: "gfslab/consensus/storage", To: "github.com/cockroachdb/pebble/v2/record"},
		{From: "gfslab/harness/cluster", To: "gfslab/harness/history"},
		{From: "gfslab/master/meta", To: "gfslab/master/meta/metapb"},
		{From: "gfslab/master", To: "gfslab/internal/fault/disk", Test: true},
		{From: "gfslab/client", To: "github.com/cockroachdb/pebble/v2/vfs", Test: true},
		{From: "example.org/other", To: "gonum.org/v1/plot"},
	}
	bad := []edge{
		{From: "gfslab/paxos", To: "gfslab/consensus"},
		{From: "gfslab/paxos", To: "gfslab/consensus", Test: true},
		{From: "gfslab/paxos", To: "google.golang.org/protobuf/proto"},
		{From: "gfslab/master", To: "gfslab/consensus/multipaxos"},
		{From: "gfslab/consensus", To: "gfslab/consensus/wire"},
		{From: "gfslab/consensus/wire", To: "gfslab/internal/fault/net"},
		{From: "gfslab/consensus/engine", To: "gfslab/harness/history", Test: true},
		{From: "gfslab/client", To: "gfslab/results/report", Test: true},
		{From: "gfslab/chunkserver", To: "github.com/cockroachdb/pebble/v2/vfs"},
		{From: "gfslab/harness/check", To: "gonum.org/v1/plot"},
		{From: "gfslab/consensus/multipaxos", To: "go.etcd.io/raft/v3"},
		{From: "gfslab/consensus/multipaxos", To: "gfslab/consensus/consensustest"},
		{From: "gfslab/newcomer", To: "fmt"},
		{From: "gfslab/cmd/gfslab", To: "gfslab/newcomer"},
	}
	if found := breaches(good); len(found) != 0 {
		t.Errorf("allowed imports were refused: %q", found)
	}
	for _, e := range bad {
		if len(breaches([]edge{e})) != 1 {
			t.Errorf("%v: not found", e)
		}
	}
}

// TestGraphSeparatesTests checks the reading of go list's test variants.
func TestGraphSeparatesTests(t *testing.T) {
	edges := graph([]goPackage{
		{ImportPath: "gfslab/a", Imports: []string{"fmt"}},
		{ImportPath: "gfslab/a [gfslab/a.test]", ForTest: "gfslab/a", Imports: []string{"fmt", "gfslab/b"}},
		{ImportPath: "gfslab/a_test [gfslab/a.test]", ForTest: "gfslab/a", Imports: []string{"gfslab/a [gfslab/a.test]", "gfslab/c"}},
		{ImportPath: "gfslab/a.test", Imports: []string{"gfslab/d"}},
	})
	want := []edge{{"gfslab/a", "fmt", false}, {"gfslab/a", "fmt", false}, {"gfslab/a", "gfslab/b", true}, {"gfslab/a", "gfslab/c", true}}
	if !slices.Equal(edges, want) {
		t.Errorf("got %v, want %v", edges, want)
	}
}
