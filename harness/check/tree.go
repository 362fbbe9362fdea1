package check

import (
	"slices"
	"strings"
)

// inode is one file or directory of the certificate's model: a tree of names, in
// which a rename is one pointer that moves.
type inode struct {
	id     uint64 // 0 until a reply has told it
	dir    bool
	parent *inode
	name   string
	kids   map[string]*inode
	chunks []uint64
}

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

// create adds a file or directory.
func (root *inode) create(path string, dir bool) (*inode, codes) {
	parent, name, why := root.place(path)
	if why != nil {
		return nil, why
	}
	n := &inode{dir: dir, parent: parent, name: name}
	if dir {
		n.kids = map[string]*inode{}
	}
	parent.kids[name] = n
	return n, nil
}

// remove takes away a file or an empty directory.
func (root *inode) remove(path string) (*inode, codes) {
	n, why := root.lookup(path)
	switch {
	case n == nil:
		return nil, why
	case n == root:
		return nil, codes{"INVALID"}
	case len(n.kids) > 0:
		return nil, codes{"NOT_EMPTY"}
	}
	delete(n.parent.kids, n.name)
	return n, nil
}

// rename moves a file or a directory with all below it.
func (root *inode) rename(from, to string) (*inode, codes) {
	if from == "/" || strings.HasPrefix(to, from+"/") {
		return nil, codes{"INVALID"}
	}
	n, whyFrom := root.lookup(from)
	parent, name, whyTo := root.place(to)
	if whyFrom != nil || whyTo != nil {
		return nil, append(slices.Clone(whyFrom), whyTo...)
	}
	if len(to)-len(from)+n.longest(len(from)) > maxPathBytes {
		return nil, codes{"INVALID"}
	}
	delete(n.parent.kids, n.name)
	n.parent, n.name = parent, name
	parent.kids[name] = n
	return n, nil
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

// list names what is in a directory, in byte order, directories with a slash.
func (n *inode) list() []string {
	out := make([]string, 0, len(n.kids))
	for name, kid := range n.kids {
		if kid.dir {
			name += "/"
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
