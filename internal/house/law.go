package house

import (
	"fmt"
	"slices"
	"strings"
)

const module = "gfslab"

// unit is one room of the house: a package, or a tree of packages that may
// import each other. May lists the units that it may import directly.
type unit struct {
	path string // below the module; "" never occurs
	tree bool   // the packages below path belong to it, unless they are units themselves
	may  []string
}

// units are in the order of the floors: whatever a unit may import stands above
// it in this list, so there is no way up.
var units = []unit{
	{path: "paxos"},
	{path: "consensus"},
	{path: "internal/cowtree"},
	{path: "internal/ports"},
	{path: "master/meta", tree: true, may: []string{"internal/cowtree"}},
	{path: "kv/store"},
	{path: "results/rundir"},
	{path: "api", tree: true},
	{path: "internal/disk"},

	{path: "consensus/storage", may: []string{"consensus", "internal/disk"}},
	{path: "consensus/wire", may: []string{"consensus"}},
	{path: "consensus/batch", may: []string{"consensus"}},
	{path: "workloads", tree: true, may: []string{"api", "master/meta"}},

	{path: "consensus/engine", may: []string{"consensus", "consensus/storage", "consensus/wire", "consensus/batch", "internal/disk"}},
	{path: "internal/fault", tree: true, may: []string{"internal/disk", "consensus/wire"}},
	{path: "paxos/paxostest", may: []string{"paxos", "consensus", "consensus/engine", "consensus/storage", "internal/fault"}},
	{path: "consensus/consensustest", may: []string{"consensus", "consensus/wire", "internal/disk", "internal/fault"}},

	{path: "consensus/multipaxos", may: []string{"consensus", "consensus/engine", "consensus/storage", "paxos"}},
	{path: "consensus/etcdraft", may: []string{"consensus", "consensus/engine", "consensus/storage"}},
	{path: "consensus/hashiraft", may: []string{"consensus", "consensus/storage", "consensus/wire", "consensus/batch", "internal/disk"}},
	{path: "consensus/unreplicated", may: []string{"consensus", "consensus/engine", "consensus/storage", "consensus/wire", "consensus/batch", "internal/disk"}},
	{path: "internal/serving", may: []string{"consensus", "api"}},
	{path: "master/pathlock"},
	{path: "master", may: []string{"consensus", "master/meta", "master/pathlock", "api", "internal/serving"}},
	{path: "chunkserver", tree: true, may: []string{"api", "internal/disk"}},
	{path: "client", tree: true, may: []string{"api"}},
	{path: "client/clienttest", may: []string{"master", "chunkserver", "consensus", "consensus/engine", "consensus/multipaxos", "consensus/wire", "api", "internal/fault"}},
	{path: "kv", may: []string{"consensus", "kv/store", "api", "internal/serving"}},
	{path: "kv/client", may: []string{"api", "client"}},
	{path: "kv/bench", may: []string{"client", "kv/client"}},

	{path: "internal/node", tree: true, may: []string{
		"consensus", "consensus/engine", "consensus/wire", "consensus/multipaxos", "consensus/etcdraft", "consensus/hashiraft", "consensus/unreplicated",
		"master", "master/meta", "kv", "chunkserver", "api", "internal/serving", "internal/disk"}},
	{path: "results/report", tree: true, may: []string{"results/rundir"}},
	{path: "harness", tree: true, may: []string{
		"internal/node", "internal/ports", "client", "kv/client", "workloads", "internal/fault", "results/rundir",
		"api", "master", "master/meta", "kv", "kv/store", "chunkserver", "consensus", "consensus/storage", "consensus/batch", "consensus/engine", "consensus/wire", "internal/disk", "paxos", "paxos/paxostest"}},
	{path: "cmd", tree: true, may: []string{
		"internal/node", "api", "client", "kv/client", "kv/bench", "harness", "results/report", "results/rundir", "paxos/paxostest", "workloads", "consensus",
		"master", "chunkserver", "internal/disk"}}, // the options of the daemons
	{path: "internal/house"},
}

// testOnly are units that no product code imports; tests of any unit may.
var testOnly = []string{"internal/fault", "consensus/consensustest", "paxos/paxostest", "client/clienttest"}

// outside are imports from other modules that only some units may make, in
// their product code and, where tests is set, in their tests too.
var outside = []struct {
	prefix string
	only   []string
	tests  bool
}{
	{"github.com/cockroachdb/pebble", []string{"internal/disk", "consensus/storage", "internal/fault"}, false},
	{"gonum.org/v1/plot", []string{"results/report"}, true},
	{"github.com/montanaflynn/stats", []string{"results/report"}, true},
	{"go.etcd.io/raft", []string{"consensus/etcdraft"}, true},
	{"github.com/hashicorp/raft", []string{"consensus/hashiraft"}, true},
	{"github.com/spf13/cobra", []string{"cmd"}, true},
	{"github.com/prometheus", []string{"internal/node"}, false},
	{"github.com/schollz/progressbar", []string{"cmd"}, true},
	{"github.com/bmatcuk/doublestar", []string{"client"}, true},
}

// edge is one import: From imports To. Test marks an import of From's tests.
type edge struct {
	From, To string
	Test     bool
}

func (e edge) String() string {
	if e.Test {
		return fmt.Sprintf("the tests of %s import %s", e.From, e.To)
	}
	return fmt.Sprintf("%s imports %s", e.From, e.To)
}

// unitOf finds the unit of a package path below the module: the longest match.
func unitOf(pkg string) (unit, bool) {
	best, found := unit{}, false
	for _, u := range units {
		matches := pkg == u.path || u.tree && strings.HasPrefix(pkg, u.path+"/")
		if matches && len(u.path) >= len(best.path) {
			best, found = u, true
		}
	}
	return best, found
}

// inside cuts the module's prefix off a package path.
func inside(pkg string) (string, bool) { return strings.CutPrefix(pkg, module+"/") }

// breaches returns every edge that breaks the import law, with the reason.
func breaches(edges []edge) []string {
	var found []string
	for _, e := range edges {
		if why := breach(e); why != "" {
			found = append(found, fmt.Sprintf("%v: %s", e, why))
		}
	}
	return found
}

func breach(e edge) string {
	fromPath, ours := inside(e.From)
	if !ours {
		return ""
	}
	from, known := unitOf(fromPath)
	if !known {
		return fmt.Sprintf("%s has no place in the import law (internal/house/law.go)", e.From)
	}
	toPath, ours := inside(e.To)
	if !ours {
		return breachOutside(from, e)
	}
	to, known := unitOf(toPath)
	switch {
	case !known:
		return fmt.Sprintf("%s has no place in the import law (internal/house/law.go)", e.To)
	case from.path == to.path || slices.Contains(from.may, to.path):
		return ""
	case !e.Test:
		return fmt.Sprintf("%s may import only %v", from.path, from.may)
	case from.path == "paxos" && to.path != "paxos/paxostest":
		return "paxos and its tests know nothing of ours but their own simulator"
	case isUnder(to.path, "harness") || isUnder(to.path, "results/report") || isUnder(to.path, "cmd"):
		return "not even tests of the product look up to harness, report or commands"
	}
	return ""
}

func breachOutside(from unit, e edge) string {
	if from.path == "paxos" && !e.Test && strings.Contains(strings.SplitN(e.To, "/", 2)[0], ".") {
		return "paxos imports the standard library only"
	}
	for _, o := range outside {
		if isUnder(e.To, o.prefix) && !slices.Contains(o.only, from.path) && (!e.Test || o.tests) {
			return fmt.Sprintf("only %v may", o.only)
		}
	}
	return ""
}

// isUnder reports whether path is root or below it.
func isUnder(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
