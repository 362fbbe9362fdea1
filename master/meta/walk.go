package meta

import (
	"encoding/binary"
	"slices"
)

// Usage is what a Walk has counted. What is hidden is apart.
type Usage struct {
	Files, Directories, Chunks uint64
	HiddenFiles, HiddenChunks  uint64
}

// Walk visits what is below a path, in steps: between them the owner may let the
// state change, and what moves or is made meanwhile may or may not be visited.
type Walk struct {
	Usage
	frames  []frame
	file    *node // still to be visited
	handles []uint64
	expired []byte // behind which key of the table of expiry to go on; nil: not there
}

// frame is a directory that is being visited.
type frame struct {
	dir    uint64
	after  []byte // the last entry visited: what follows the directory in its key
	hidden bool
}

// WalkFrom begins a walk below a path, or below what is hidden under it with the
// given id if that is not 0: OK, NotFound or Invalid.
func (s *State) WalkFrom(path string, deletedID uint64) (*Walk, Code) {
	n, _, code := s.find(path, deletedID)
	switch {
	case code != OK:
		return nil, code
	case n.dir:
		return &Walk{frames: []frame{{dir: n.id}}}, OK
	}
	n.hidden = false
	return &Walk{file: &n}, OK
}

// WalkHidden begins a walk of all that is hidden.
func (s *State) WalkHidden() *Walk { return &Walk{expired: []byte{}} }

// Step visits up to limit files and directories and reports whether that was all.
// visit, if not nil, is called with each file and its chunks; handles are valid
// during the call only.
func (w *Walk) Step(s *State, limit int, visit func(fileID uint64, hidden bool, handles []uint64)) (done bool) {
	if w.file != nil {
		w.take(s, *w.file, false, visit)
		w.file = nil
		limit--
	}
	for limit > 0 {
		if len(w.frames) == 0 && !w.nextHidden(s, visit) {
			return true
		}
		limit -= w.directory(s, limit, visit)
	}
	return len(w.frames) == 0 && w.expired == nil
}

// directory goes on with the innermost directory and counts what it visited, at
// least one, for leaving it counts.
func (w *Walk) directory(s *State, limit int, visit func(uint64, bool, []uint64)) (visited int) {
	if len(w.frames) == 0 {
		return 1
	}
	f := &w.frames[len(w.frames)-1]
	from := append(idKey(nil, f.dir), f.after...)
	if len(f.after) > 0 {
		from = append(from, 0) // the next key that is possible
	}
	for key, value := range s.names.From(from) {
		if string(key[:8]) != string(from[:8]) {
			break
		}
		if visited == limit {
			return visited
		}
		n, _, _ := decodeNode(value)
		f.after = append(f.after[:0], key[8:]...)
		visited++
		if n.hidden && w.expired != nil { // it has an entry of its own there
			continue
		}
		hidden := f.hidden || n.hidden
		w.take(s, n, hidden, visit)
		if n.dir {
			w.frames = append(w.frames, frame{dir: n.id, hidden: hidden})
			return visited
		}
	}
	w.frames = w.frames[:len(w.frames)-1]
	return visited + 1
}

// nextHidden visits the next of what is hidden; false at the end.
func (w *Walk) nextHidden(s *State, visit func(uint64, bool, []uint64)) bool {
	if w.expired == nil {
		return false
	}
	from := slices.Clone(w.expired)
	if len(from) > 0 {
		from = append(from, 0)
	}
	for key, value := range s.expiry.From(from) {
		w.expired = append(w.expired[:0], key...)
		var room [hiddenRoom]byte
		h := hiddenNode{parent: binary.BigEndian.Uint64(value), name: string(value[8:]), at: binary.BigEndian.Uint64(key[8:])}
		raw, _ := s.names.Get(h.key(room[:0]))
		n, _, _ := decodeNode(raw)
		w.take(s, n, true, visit)
		if n.dir {
			w.frames = append(w.frames, frame{dir: n.id, hidden: true})
		}
		return true
	}
	w.expired = nil
	return false
}

// take counts a file or directory.
func (w *Walk) take(s *State, n node, hidden bool, visit func(uint64, bool, []uint64)) {
	switch {
	case n.dir && !hidden:
		w.Directories++
	case n.dir:
	case hidden:
		w.HiddenFiles++
		w.HiddenChunks += s.countSlots(n.id)
	default:
		w.Files++
		w.Chunks += s.countSlots(n.id)
	}
	if !n.dir && visit != nil {
		w.handles = s.handlesOf(w.handles[:0], n.id)
		visit(n.id, hidden, w.handles)
	}
}
