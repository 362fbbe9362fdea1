package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// partition is one component of the clients' history: its operations act on
// nothing outside it, so each can be judged by itself.
type partition struct {
	key   string
	model porcupine.Model
	// decide, where not nil, answers for porcupine: the replies themselves tell
	// the only order there can be, and nothing needs to be searched for.
	decide func(history []porcupine.Operation) porcupine.CheckResult
	ops    []*rundir.Op // in order of invocation
	// names is the specification of a component of the namespace; nil for others.
	names *nsModel
	// drop tells which operations say nothing when their outcome is unknown: a
	// read, or one whose effects the model expects at any time.
	drop func(op *rundir.Op) bool
	// changers are the threads whose operations may change what is read here.
	changers map[int]bool
}

// split cuts a history into components. Namespace operations fall into one
// component per top directory, or one per path where nothing crosses paths;
// lookups of a chunk, by whatever name, also into one per chunk; acknowledged
// records into one per chunk; operations of the key-value store into one per key.
func split(ops []*rundir.Op) []partition {
	tops := groupTops(ops)
	byKey := map[string]*partition{}
	var order []string
	put := func(key string, op *rundir.Op, make func() partition) {
		p := byKey[key]
		if p == nil {
			fresh := make()
			fresh.key, fresh.changers = key, map[int]bool{}
			p = &fresh
			byKey[key] = p
			order = append(order, key)
		}
		p.ops = append(p.ops, op)
		if !looks(op) && op.Kind != rundir.KindReadRecord {
			p.changers[op.Thread] = true
		}
	}
	children := tops.children(ops)
	for _, op := range ops {
		if flatList(tops, op) {
			// A listing of files that never touch each other is one look at each.
			tops.shown[op] = setOf(op.Reply.Names)
			for _, path := range children[op.Path] {
				put(path, op, func() partition { return filePartition(path, tops.model(path)) })
			}
		} else if inNamespace(op) {
			key, scope := tops.component(op)
			put(key, op, func() partition {
				if tops.flat[topOf(op.Path)] {
					return filePartition(op.Path, tops.model(key))
				}
				return namespacePartition(scope, tops.model(key))
			})
		}
		if registerSeen(op) {
			put("key "+op.Path, op, registerPartition)
		}
		if h := chunkSeen(op); h != 0 {
			put(fmt.Sprintf("chunk %d", h), op, chunkPartition)
		}
		if h := recordSeen(op); h != 0 {
			put(fmt.Sprintf("records of chunk %d", h), op, recordPartition)
		}
	}
	for _, op := range ops { // an append changes what a stat of its file says
		if op.Kind == rundir.KindAppend || op.Kind == rundir.KindWrite {
			key, _ := tops.component(op)
			if p := byKey[key]; p != nil {
				p.changers[op.Thread] = true
			}
		}
	}
	out := make([]partition, 0, len(order))
	for _, key := range order {
		out = append(out, *byKey[key])
	}
	return out
}

func setOf(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// inNamespace reports whether an operation acts on paths, as seen by a client.
// One that surely was not done acts on nothing, and so does one whose path is no
// path at all.
func inNamespace(op *rundir.Op) bool {
	if op.Outcome == rundir.OutcomeFail || ok(op) && op.Reply.Code == "INVALID" && op.Reply.Index == 0 {
		return false
	}
	switch op.Kind {
	case rundir.KindCreate, rundir.KindMkdir, rundir.KindDelete, rundir.KindRename, rundir.KindAllocate, rundir.KindUndelete, rundir.KindSnapshot:
		return true
	case rundir.KindStat:
		return ok(op) && !op.Stale
	case rundir.KindList:
		return ok(op) && !op.Stale && !op.Deleted
	case rundir.KindChunkInfo:
		return ok(op) && !op.Stale && op.Handle == 0
	}
	return false
}

// maxFlatLists bounds the listings of one flat directory: each is looked at once
// for every file. With more, the directory is one component.
const maxFlatLists = 16

func flatList(t *tops, op *rundir.Op) bool {
	return plainList(op) && inNamespace(op) && t.flat[op.Path] && op.Reply.Code == codeOK
}

// plainList reports whether an operation lists all that is right in a directory.
func plainList(op *rundir.Op) bool {
	return op.Kind == rundir.KindList && !op.Recursive && op.Prefix == "" && op.After == "" && op.Limit == 0 && (op.Reply == nil || op.Reply.Next == "")
}

// children lists, for each flat directory, the paths right below it that some
// operation names or some listing shows.
func (t *tops) children(ops []*rundir.Op) map[string][]string {
	seen := map[string]bool{}
	out := map[string][]string{}
	add := func(top, path string) {
		if t.flat[top] && path != top && !seen[path] {
			seen[path] = true
			out[top] = append(out[top], path)
		}
	}
	for _, op := range ops {
		if !inNamespace(op) {
			continue
		}
		add(topOf(op.Path), op.Path)
		if flatList(t, op) {
			for _, name := range op.Reply.Names {
				add(op.Path, op.Path+"/"+strings.TrimSuffix(name, "/"))
			}
		}
	}
	return out
}

// tops groups top directories that some operation ties together, and knows which
// of them hold nothing but files that never touch each other.
type tops struct {
	parent map[string]string // union-find
	flat   map[string]bool
	// grows holds the component keys in which an append may add chunks unseen,
	// shares those in which chunks were shared, and quotas tells of any quota.
	grows, shares map[string]bool
	quotas        bool
	shown         map[*rundir.Op]map[string]bool // the names in each listing of a flat directory
}

// model is the specification of a component, but for its paths.
func (t *tops) model(key string) nsModel {
	return nsModel{grows: t.grows[key], shares: t.shares[key], quotas: t.quotas, shown: t.shown}
}

// topOf is the first name of a path with its slash; "/" for the root itself.
func topOf(path string) string {
	if len(path) < 2 {
		return "/"
	}
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[:i+1]
	}
	return path
}

func (t *tops) find(top string) string {
	for t.parent[top] != "" && t.parent[top] != top {
		top = t.parent[top]
	}
	return top
}

func (t *tops) union(a, b string) {
	a, b = t.find(a), t.find(b)
	if a != b {
		t.parent[max(a, b)] = min(a, b)
	}
}

func groupTops(ops []*rundir.Op) *tops {
	t := &tops{parent: map[string]string{}, flat: map[string]bool{}, grows: map[string]bool{}, shares: map[string]bool{}, shown: map[*rundir.Op]map[string]bool{}}
	made := map[string]*rundir.Op{} // the mkdir that surely made a top directory
	lists := map[string]int{}
	var all []string
	wholeRoot := false
	for _, op := range ops {
		if !inNamespace(op) {
			continue
		}
		top := topOf(op.Path)
		if _, known := t.flat[top]; !known {
			t.flat[top] = true
			all = append(all, top)
		}
		switch {
		case op.Path == "/":
			wholeRoot = wholeRoot || op.Kind != rundir.KindStat
		case op.Kind == rundir.KindRename || op.Kind == rundir.KindSnapshot:
			to := topOf(op.Path2)
			if _, known := t.flat[to]; !known {
				all = append(all, to)
			}
			t.flat[top], t.flat[to] = false, false
			t.union(top, to)
		case op.Path == top && op.Kind == rundir.KindMkdir && made[top] == nil && ok(op) && op.Reply.Code == codeOK:
			made[top] = op
		case op.Path == top && op.Kind == rundir.KindStat:
		case op.Path == top && plainList(op) && op.Reply.Code == codeOK && lists[top] < maxFlatLists:
			lists[top]++
		case op.Path == top || op.Kind == rundir.KindMkdir || op.Kind == rundir.KindList || strings.Count(op.Path, "/") != 2:
			t.flat[top] = false
		}
	}
	for _, op := range ops {
		// A flat directory was made before anything else happened in it.
		if top := topOf(op.Path); inNamespace(op) && made[top] != op && (made[top] == nil || op.Start <= made[top].End) {
			t.flat[top] = false
		}
	}
	if wholeRoot {
		for _, top := range all {
			t.flat[top] = false
			t.union("/", top)
		}
	}
	for _, op := range ops {
		switch key, _ := t.component(op); op.Kind {
		case rundir.KindAppend, rundir.KindWrite:
			t.grows[key] = true
		case rundir.KindSnapshot:
			t.shares[key] = true
		case rundir.KindSetAttributes:
			t.quotas = t.quotas || op.Set != nil && (op.Set.MaxFiles != nil || op.Set.MaxChunks != nil)
		}
	}
	return t
}

// component is the key of an operation's component. scope reports whether a path
// belongs to it; a parent outside is a directory that is always there.
func (t *tops) component(op *rundir.Op) (key string, scope func(string) bool) {
	top := topOf(op.Path)
	if t.flat[top] {
		return op.Path, func(path string) bool { return path == op.Path }
	}
	root := t.find(top)
	return root + " and below", func(path string) bool { return path != "/" && t.find(topOf(path)) == root }
}

// porcupineOps turns operations into porcupine's. Those for which keep is false
// are taken as not completed.
func (p *partition) porcupineOps(ops []*rundir.Op, completed func(*rundir.Op) bool) []porcupine.Operation {
	out := make([]porcupine.Operation, 0, len(ops))
	for _, op := range ops {
		o := porcupine.Operation{ClientId: op.Thread, Input: op, Call: op.Start, Output: op.Reply, Return: op.End, Metadata: op.ID}
		if !ok(op) || !completed(op) {
			if p.drop(op) {
				continue
			}
			o.Output, o.Return = (*rundir.Reply)(nil), math.MaxInt64
		}
		out = append(out, o)
	}
	return out
}

// overlaps counts the pairs of completed operations that overlapped in time.
func (p *partition) overlaps() int {
	var ended []int64
	var done []*rundir.Op
	for _, op := range p.ops {
		if ok(op) {
			done = append(done, op)
			ended = append(ended, op.End)
		}
	}
	slices.SortFunc(done, func(a, b *rundir.Op) int { return cmp.Compare(a.Start, b.Start) })
	slices.Sort(ended)
	pairs, over := 0, 0
	for i, op := range done {
		for over < len(ended) && ended[over] < op.Start {
			over++
		}
		pairs += i - over // begun before and not ended yet
	}
	return pairs
}
