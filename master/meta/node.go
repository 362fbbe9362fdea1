package meta

import (
	"encoding/binary"
	"strings"
)

// node is a file or a directory. In the table of names its key is the id of its
// parent and its name, so a directory moves without what is in it. The root is
// in no table.
type node struct {
	id  uint64
	dir bool
	// hidden: it was deleted at the state's time deleted and may be removed from
	// expires on. doomed: it is a directory of which a part is removed already.
	hidden, doomed   bool
	deleted, expires int64
	// below bounds the longest path within a directory, from its own path's end.
	// It never falls: deleting would have to search for the next longest.
	below uint64
}

var root = node{id: rootID, dir: true}

// What a node is, after its id; a file that is not hidden says nothing.
const (
	nodeDirectory = 1 << iota
	nodeHidden
	nodeDoomed
)

func nameKey(b []byte, parent uint64, name string) []byte { return append(idKey(b, parent), name...) }

// encode returns the node's value and how much of it is under the state's hash.
func (n node) encode(b []byte) (value []byte, hashed int) {
	start := len(b)
	b = appendUints(b, n.id)
	var flags byte
	if n.dir {
		flags |= nodeDirectory
	}
	if n.hidden {
		flags |= nodeHidden
	}
	if n.doomed {
		flags |= nodeDoomed
	}
	if flags == 0 {
		return b, len(b) - start
	}
	b = append(b, flags)
	if n.hidden {
		b = appendUints(b, uint64(n.deleted), uint64(n.expires))
	}
	hashed = len(b) - start
	if n.dir {
		b = appendUints(b, n.below)
	}
	return b, hashed
}

func decodeNode(value []byte) (n node, hashed int, ok bool) {
	id, size := binary.Uvarint(value)
	if size <= 0 {
		return n, 0, false
	}
	n.id = id
	if size == len(value) {
		return n, size, true
	}
	flags := value[size]
	d := decoder{b: value[size+1:]}
	n.dir, n.hidden, n.doomed = flags&nodeDirectory != 0, flags&nodeHidden != 0, flags&nodeDoomed != 0
	if n.hidden {
		n.deleted, n.expires = int64(d.uint()), int64(d.uint())
	}
	hashed = len(value) - len(d.b)
	if n.dir {
		n.below = d.uint()
	}
	sound := flags != 0 && flags < nodeDoomed<<1 && (!n.doomed || n.dir && n.hidden) && n.deleted >= 0 && n.expires >= n.deleted
	return n, hashed, sound && d.ok()
}

// child looks a name up in a directory.
func (s *State) child(parent uint64, name string) (node, bool) {
	var room [8 + MaxNameBytes]byte
	value, found := s.names.Get(nameKey(room[:0], parent, name))
	if !found {
		return node{}, false
	}
	n, _, _ := decodeNode(value)
	return n, true
}

// setChild puts a name into a directory, or removes it if n is nil; old is what
// it meant before, nil if nothing.
func (s *State) setChild(parent uint64, name string, old, n *node) {
	var room [8 + MaxNameBytes]byte
	s.setNode(nameKey(room[:0], parent, name), old, n)
}

// setNode is setChild for a key of the table of names.
func (s *State) setNode(key []byte, old, n *node) {
	var room [5 * binary.MaxVarintLen64]byte
	if old != nil {
		value, hashed := old.encode(room[:0])
		s.sum.remove(itemHash('n', key, value[:hashed]))
	}
	if n == nil {
		s.names.Delete(key)
		return
	}
	value, hashed := n.encode(room[:0])
	s.sum.add(itemHash('n', key, value[:hashed]))
	s.names.Set(key, value)
}

// lookup follows a valid path.
func (s *State) lookup(path string) (node, bool) {
	n, found, _ := s.follow(path, 0)
	return n, found
}

// follow follows a valid path. shallow says that a directory on it does not know
// of paths as long as length; see deepen.
func (s *State) follow(path string, length int) (n node, found, shallow bool) {
	n, found = root, true
	for name, rest := firstName(path); name != "" && found; name, rest = firstName(rest) {
		if !n.dir {
			return node{}, false, false
		}
		n, found = s.child(n.id, name)
		shallow = shallow || n.dir && int(n.below) < length-(len(path)-len(rest))
	}
	return n, found, shallow
}

// place is where a path's last name is or belongs.
type place struct {
	dir     uint64
	name    string
	shallow bool
}

// lookupParent follows a valid path, not "/", to the directory that holds its
// last name: OK, NotFound, or NotDirectory if that parent is a file.
func (s *State) lookupParent(path string, length int) (place, Code) {
	parent, name := splitPath(path)
	switch n, found, shallow := s.follow(parent, length); {
	case !found:
		return place{}, NotFound
	case !n.dir:
		return place{}, NotDirectory
	default:
		return place{n.id, name, shallow}, OK
	}
}

// firstName cuts the first name off a path; it is empty at the end.
func firstName(path string) (name, rest string) {
	if len(path) < 2 {
		return "", ""
	}
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:]
	}
	return path[1:], ""
}

// deepen raises the bounds of the directories above path, which exists, for
// paths of the given length. Most of the time follow has found nothing to raise.
func (s *State) deepen(path string, length int) {
	parent := uint64(rootID)
	for name, rest := firstName(path); rest != ""; name, rest = firstName(rest) {
		n, _ := s.child(parent, name)
		if below := uint64(length - (len(path) - len(rest))); n.below < below {
			n.below = below
			var keyRoom [8 + MaxNameBytes]byte
			var room [2 * binary.MaxVarintLen64]byte
			value, _ := n.encode(room[:0]) // the bound is not under the hash
			s.names.Set(nameKey(keyRoom[:0], parent, name), value)
		}
		parent = n.id
	}
}

// tooLong reports whether something below n, a directory that is to be at a path
// of the given length, would have too long a path. The bound may be above the
// truth, which is worth a search only then.
func (s *State) tooLong(n *node, length int) bool {
	return length+int(n.below) > MaxPathBytes && length+s.longest(n.id) > MaxPathBytes
}

// longest is the length of the longest path within a directory, from its own
// path's end. What is hidden has no path.
func (s *State) longest(dir uint64) int {
	most := 0
	s.eachChild(dir, func(name []byte, n node) bool {
		below := 1 + len(name)
		if n.dir && n.below > 0 {
			below += s.longest(n.id)
		}
		most = max(most, below)
		return true
	})
	return most
}

// eachChild yields what is in a directory and not hidden, in the order of the
// names, until yield returns false. The name is valid during the call only.
func (s *State) eachChild(dir uint64, yield func(name []byte, n node) bool) {
	s.eachEntry(dir, 1, yield)
}

// eachEntry yields the entries of a directory from the byte first on, hidden ones
// too if that is 0, with their names or what stands for them in the key.
func (s *State) eachEntry(dir uint64, first byte, yield func(name []byte, n node) bool) {
	var room [9]byte
	from := append(idKey(room[:0], dir), first)
	for key, value := range s.names.From(from) {
		if string(key[:8]) != string(from[:8]) {
			return
		}
		if n, _, _ := decodeNode(value); !yield(key[8:], n) {
			return
		}
	}
}

// hasChild reports whether there is anything in a directory that is not hidden.
func (s *State) hasChild(dir uint64) (found bool) {
	s.eachChild(dir, func([]byte, node) bool {
		found = true
		return false
	})
	return found
}

// setParent notes in which directory a directory is.
func (s *State) setParent(dir, parent uint64) {
	var key, value [8]byte
	s.parents.Set(idKey(key[:0], dir), idKey(value[:0], parent))
}

// parent is the directory in which a directory is, 0 for the root.
func (s *State) parent(dir uint64) uint64 {
	var room [8]byte
	value, found := s.parents.Get(idKey(room[:0], dir))
	if !found {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}
