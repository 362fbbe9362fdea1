package meta

import (
	"encoding/binary"
	"math"

	"gfslab/master/meta/metapb"
)

// What is deleted stays in the table of names under a key that no path leads to:
// its directory, a NUL byte, its name, another one, the position of the delete. It
// is in the table of expiry too: the time and that position lead to the directory
// and the name.

func hiddenKey(b []byte, parent uint64, name string, at uint64) []byte {
	b = append(idKey(b, parent), 0)
	return idKey(append(append(b, name...), 0), at)
}

// hiddenRoom is enough for hiddenKey.
const hiddenRoom = 8 + 1 + MaxNameBytes + 1 + 8

// splitHidden takes what follows the directory in a hidden key apart.
func splitHidden(key []byte) (name []byte, at uint64, ok bool) {
	n := len(key) - 9
	if n < 2 || key[0] != 0 || key[n] != 0 {
		return nil, 0, false
	}
	return key[1:n], binary.BigEndian.Uint64(key[n+1:]), true
}

// hiddenNode is something hidden and where it is.
type hiddenNode struct {
	node
	parent uint64
	name   string
	at     uint64
}

func (h *hiddenNode) key(b []byte) []byte { return hiddenKey(b, h.parent, h.name, h.at) }

// findHidden looks for what is hidden in a directory under a name: with the given
// id, or what was hidden last if that is 0. What is partly removed is no more.
func (s *State) findHidden(parent uint64, name string, id uint64) (h hiddenNode, found bool) {
	var room [hiddenRoom]byte
	from := hiddenKey(room[:0], parent, name, 0)
	prefix := from[:len(from)-8]
	for key, value := range s.names.From(from) {
		if len(key) != len(from) || string(key[:len(prefix)]) != string(prefix) {
			break
		}
		n, _, _ := decodeNode(value)
		if n.doomed || id != 0 && n.id != id {
			continue
		}
		h, found = hiddenNode{n, parent, name, binary.BigEndian.Uint64(key[len(prefix):])}, true
	}
	return h, found
}

// setHidden puts h in the place of old, either of which may be nil: both tables.
func (s *State) setHidden(old, h *hiddenNode) {
	var keyRoom [hiddenRoom]byte
	var room [8 + MaxNameBytes]byte
	switch {
	case old == nil:
		s.setNode(h.key(keyRoom[:0]), nil, &h.node)
	case h == nil:
		s.setNode(old.key(keyRoom[:0]), &old.node, nil)
	default:
		s.setNode(h.key(keyRoom[:0]), &old.node, &h.node)
	}
	if old != nil {
		s.expiry.Delete(expiryKey(room[:0], old.expires, old.at))
	}
	if h != nil {
		var value [8 + MaxNameBytes]byte
		s.expiry.Set(expiryKey(room[:0], h.expires, h.at), nameKey(value[:0], h.parent, h.name))
	}
}

func expiryKey(b []byte, expires int64, at uint64) []byte {
	return idKey(idKey(b, uint64(expires)), at)
}

// delete hides a file or directory, or removes what is hidden.
func (s *State) delete(at position, op *metapb.DeleteOp) reply {
	p, code := s.lookupParent(op.Path, 0)
	if code != OK { // nothing is below a file
		return reply{code: NotFound}
	}
	if op.Id != 0 {
		return s.expedite(p, op.Id)
	}
	n, found := s.child(p.dir, p.name)
	switch {
	case !found:
		return reply{code: NotFound}
	case n.dir && !op.Recursive && s.hasChild(n.id):
		return reply{code: NotEmpty}
	}
	s.hide(at, p, n)
	return reply{id: n.id}
}

// hide hides what is at a place until its retention is over. A file that has none is
// removed.
func (s *State) hide(at position, p place, n node) {
	retention := s.retention(n.id, p.dir)
	s.setChild(p.dir, p.name, &n, nil)
	if !n.dir && retention == 0 {
		s.removeFile(p.dir, n.id)
		return
	}
	n.hidden, n.deleted, n.expires = true, s.time, math.MaxInt64
	if retention < math.MaxInt64-s.time {
		n.expires = s.time + retention
	}
	s.setHidden(nil, &hiddenNode{n, p.dir, p.name, FileID(at.index, at.offset)})
}

// expedite removes what is hidden: a file at once, a directory is due from now on.
func (s *State) expedite(p place, id uint64) reply {
	h, found := s.findHidden(p.dir, p.name, id)
	if !found {
		return reply{code: NotFound}
	}
	if !h.dir {
		s.setHidden(&h, nil)
		s.removeFile(h.parent, h.id)
	} else if h.expires > s.time {
		due := h
		due.expires = s.time
		s.setHidden(&h, &due)
	}
	return reply{id: id}
}

// undelete brings back what is hidden.
func (s *State) undelete(op *metapb.UndeleteOp) reply {
	p, code := s.lookupParent(op.Path, 0)
	if code != OK {
		return reply{code: NotFound}
	}
	h, found := s.findHidden(p.dir, p.name, op.Id)
	if !found {
		return reply{code: NotFound}
	}
	if _, taken := s.child(p.dir, p.name); taken {
		return reply{code: Exists}
	}
	if s.tooLong(&h.node, len(op.Path)) { // a directory above may have moved
		return reply{code: Invalid}
	}
	s.setHidden(&h, nil)
	n := node{id: h.id, dir: h.dir, below: h.below}
	s.setChild(p.dir, p.name, nil, &n)
	s.deepen(op.Path, len(op.Path)+int(n.below))
	return reply{id: n.id}
}

// purge removes what is due, the earliest first, of a directory the deepest first.
func (s *State) purge(op *metapb.PurgeOp) reply {
	left := int(min(op.Limit, maxEntries))
	removed := 0
	for removed < left {
		h, found := s.firstExpiry()
		if !found || h.expires > s.time {
			break
		}
		if !h.dir {
			s.setHidden(&h, nil)
			s.removeFile(h.parent, h.id)
			removed++
			continue
		}
		n, all := s.removeBelow(h.id, left-removed)
		removed += n
		if all && removed < left {
			s.setHidden(&h, nil)
			s.removeDirectory(h.id)
			removed++
		} else if n > 0 && !h.doomed {
			doomed := h
			doomed.doomed = true
			s.setHidden(&h, &doomed)
		}
	}
	return reply{count: uint64(removed)}
}

// firstExpiry is what is due first.
func (s *State) firstExpiry() (h hiddenNode, found bool) {
	for key, value := range s.expiry.From(nil) {
		h = hiddenNode{parent: binary.BigEndian.Uint64(value), name: string(value[8:]), at: binary.BigEndian.Uint64(key[8:])}
		var room [hiddenRoom]byte
		raw, _ := s.names.Get(h.key(room[:0]))
		h.node, _, _ = decodeNode(raw)
		return h, true
	}
	return h, false
}

// removeBelow removes up to limit entries below a directory, whatever is hidden
// among them, and reports whether nothing is left there.
func (s *State) removeBelow(dir uint64, limit int) (removed int, all bool) {
	for {
		key, n, found := s.firstEntry(dir)
		if !found {
			return removed, true
		}
		if n.dir {
			below, empty := s.removeBelow(n.id, limit-removed)
			removed += below
			if !empty {
				return removed, false
			}
		}
		if removed == limit {
			return removed, false
		}
		if n.hidden {
			name, at, _ := splitHidden(key[8:])
			s.setHidden(&hiddenNode{n, dir, string(name), at}, nil)
		} else {
			s.setNode(key, &n, nil)
		}
		if n.dir {
			s.removeDirectory(n.id)
		} else {
			s.removeFile(dir, n.id)
		}
		removed++
	}
}

// firstEntry is the first entry of a directory, hidden or not; the key is the
// caller's.
func (s *State) firstEntry(dir uint64) (key []byte, n node, found bool) {
	s.eachEntry(dir, 0, func(name []byte, child node) bool {
		key, n, found = append(idKey(nil, dir), name...), child, true
		return false
	})
	return key, n, found
}

// removeFile takes away all that belongs to a file that was in parent, but for
// its name.
func (s *State) removeFile(parent, id uint64) {
	chunks := s.dropChunks(id)
	s.dropAttributes(id)
	s.charge(parent, usage{files: -1, chunks: -chunks})
}

// removeDirectory takes away what belongs to an empty directory, but for its name.
func (s *State) removeDirectory(id uint64) {
	var room [8]byte
	s.parents.Delete(idKey(room[:0], id))
	s.dropAttributes(id)
}
