package check

import (
	"math"
	"slices"
	"strings"
	"time"
)

// inode is one file or directory of the certificate's model: a tree of names, in
// which a rename is one pointer that moves, and so is a delete: from the names of
// a directory to what is hidden in it.
type inode struct {
	id     uint64 // 0 until a reply has told it
	dir    bool
	parent *inode
	name   string // for what is hidden, the name that it had
	kids   map[string]*inode
	// order has the kids as listings show them, once a listing has asked for them.
	order *table[shown]
	// hidden is what was deleted from this directory and can be brought back, in
	// the order of the log.
	hidden []*inode
	chunks []uint64
	own    attributes

	// files and slots count the files and their chunks in the subtree, what is
	// hidden in it included.
	files, slots uint64

	// Of what is hidden: the state's time at the delete and when its retention is over.
	away             bool
	deleted, expires int64
	hiddenAt         position
	doomed           bool // a part of it is removed: it cannot be brought back
}

// attributes are those set on one file or directory.
type attributes struct {
	retention           *int64
	replicas            *uint32
	maxFiles, maxChunks *uint64
}

// defaultRetention holds at the root unless it is set there.
const defaultRetention = int64(72 * time.Hour)

func newDirectory() *inode { return &inode{dir: true, kids: map[string]*inode{}} }

// codes are the answers that an operation may give in a state. Where several
// errors hold at once the API does not rank them, and any of them will do.
type codes []string

func (c codes) allow(code string) bool {
	if len(c) == 0 {
		return code == codeOK
	}
	return slices.Contains(c, code)
}

func (c codes) String() string {
	if len(c) == 0 {
		return codeOK
	}
	return strings.Join(c, " or ")
}

// names cuts a path into names; ok is false when it is not absolute and canonical.
func names(path string) (parts []string, ok bool) {
	if path == "/" {
		return nil, true
	}
	if !strings.HasPrefix(path, "/") || len(path) > maxPathBytes {
		return nil, false
	}
	parts = strings.Split(path[1:], "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." || len(p) > maxNameBytes || strings.Contains(p, "\x00") {
			return nil, false
		}
	}
	return parts, true
}

// The limits that the API puts on a path, in bytes.
const (
	maxPathBytes = 4096
	maxNameBytes = 255
)

// walk goes down from the root. Without a node, why holds the errors: NOT_FOUND,
// and NOT_DIRECTORY besides where a file stands in the way.
func (root *inode) walk(parts []string) (n *inode, why codes) {
	n = root
	for _, p := range parts {
		if !n.dir {
			return nil, codes{"NOT_FOUND", "NOT_DIRECTORY"}
		}
		next := n.kids[p]
		if next == nil {
			return nil, codes{"NOT_FOUND"}
		}
		n = next
	}
	return n, nil
}

// lookup finds a path.
func (root *inode) lookup(path string) (*inode, codes) {
	parts, ok := names(path)
	if !ok {
		return nil, codes{"INVALID"}
	}
	return root.walk(parts)
}

// find finds a path, or what is hidden under it if id is not 0.
func (root *inode) find(path string, id uint64) (*inode, codes) {
	if id == 0 {
		return root.lookup(path)
	}
	parts, ok := names(path)
	if !ok || len(parts) == 0 {
		return nil, codes{"INVALID", "NOT_FOUND"}
	}
	parent, why := root.walk(parts[:len(parts)-1])
	switch {
	case parent == nil:
		return nil, why
	case !parent.dir:
		return nil, codes{"NOT_FOUND", "NOT_DIRECTORY"}
	}
	name := parts[len(parts)-1]
	for _, n := range parent.hidden {
		if n.name == name && n.id == id && !n.doomed {
			return n, nil
		}
	}
	return nil, codes{"NOT_FOUND"}
}

// place finds where a new name would go: its parent and the last name, or why
// nothing can be put there.
func (root *inode) place(path string) (parent *inode, name string, why codes) {
	parts, ok := names(path)
	if !ok {
		return nil, "", codes{"INVALID"}
	}
	if len(parts) == 0 {
		return nil, "", codes{"EXISTS"}
	}
	name = parts[len(parts)-1]
	parent, why = root.walk(parts[:len(parts)-1])
	switch {
	case parent == nil:
		return nil, "", why
	case !parent.dir:
		return nil, "", codes{"NOT_DIRECTORY"}
	case parent.kids[name] != nil:
		return nil, "", codes{"EXISTS"}
	}
	return parent, name, nil
}

// attach puts a node into a directory, under its name.
func (n *inode) attach(parent *inode, name string) {
	n.parent, n.name, n.away = parent, name, false
	parent.kids[name] = n
	if parent.order != nil {
		*parent.order = parent.order.with(shown{slashed(name, n), n})
	}
	parent.count(n.files, n.slots)
}

// detach takes a node away from where it is, visible or hidden.
func (n *inode) detach() {
	if n.away {
		n.parent.hidden = slices.DeleteFunc(n.parent.hidden, func(x *inode) bool { return x == n })
	} else {
		delete(n.parent.kids, n.name)
		if n.parent.order != nil {
			*n.parent.order = n.parent.order.without(slashed(n.name, n))
		}
	}
	n.parent.count(-n.files, -n.slots)
}

// hide puts a node that was detached among what is hidden where it was.
func (n *inode) hide(at position, now, retention int64) {
	n.away, n.hiddenAt, n.deleted, n.expires = true, at, now, later(now, retention)
	n.parent.hidden = append(n.parent.hidden, n)
	n.parent.count(n.files, n.slots)
}

// later adds a span of time; what would overflow is for ever.
func later(now, span int64) int64 {
	if now > math.MaxInt64-span {
		return math.MaxInt64
	}
	return now + span
}

// count adds to the counters of a directory and of all above it. What is taken
// away is added as its complement.
func (n *inode) count(files, slots uint64) {
	for ; n != nil; n = n.parent {
		n.files += files
		n.slots += slots
	}
}

// each visits everything in a subtree, its top last: whatever is in a directory
// comes before it, what is hidden first, in order of names.
func (n *inode) each(visit func(*inode)) {
	hidden := slices.Clone(n.hidden)
	slices.SortStableFunc(hidden, func(a, b *inode) int { return strings.Compare(a.name, b.name) })
	for _, h := range hidden {
		h.each(visit)
	}
	for _, name := range sortedKeys(n.kids) {
		n.kids[name].each(visit)
	}
	visit(n)
}

func sortedKeys(m map[string]*inode) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// retention is how long what is deleted here stays hidden, in nanoseconds.
func (n *inode) retention() int64 {
	for ; n != nil; n = n.parent {
		if n.own.retention != nil {
			return *n.own.retention
		}
	}
	return defaultRetention
}

// goal is how many replicas a chunk made here is to have; 0 if nobody says.
func (n *inode) goal() int {
	for ; n != nil; n = n.parent {
		if n.own.replicas != nil {
			return int(*n.own.replicas)
		}
	}
	return 0
}

// full reports whether a directory from n upwards has no room left for so much
// more. Those that hold besides, which have it counted already, are not asked.
func (n *inode) full(files, slots uint64, besides *inode) bool {
	for ; n != nil; n = n.parent {
		if besides != nil && n.above(besides) {
			continue
		}
		if m := n.own.maxFiles; m != nil && files > 0 && n.files+files > *m {
			return true
		}
		if m := n.own.maxChunks; m != nil && slots > 0 && n.slots+slots > *m {
			return true
		}
	}
	return false
}

// above reports whether n is x or a directory above it.
func (n *inode) above(x *inode) bool {
	for ; x != nil; x = x.parent {
		if x == n {
			return true
		}
	}
	return false
}

// longest is the length of the longest path in the subtree whose own path has
// that length.
func (n *inode) longest(own int) int {
	most := own
	for name, kid := range n.kids {
		most = max(most, kid.longest(own+1+len(name)))
	}
	return most
}
