package meta

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// create makes a file or, if dir, a directory.
func (s *State) create(at position, path string, dir bool) reply {
	if path == "/" {
		return reply{code: Exists}
	}
	p, code := s.lookupParent(path, len(path))
	if code != OK {
		return reply{code: code}
	}
	if _, taken := s.child(p.dir, p.name); taken {
		return reply{code: Exists}
	}
	if !dir && !s.fits(p.dir, usage{files: 1}) {
		return reply{code: Quota}
	}
	n := node{id: FileID(at.index, at.offset), dir: dir}
	s.setChild(p.dir, p.name, nil, &n)
	if dir {
		s.setParent(n.id, p.dir)
	} else {
		s.charge(p.dir, usage{files: 1})
	}
	if p.shallow {
		s.deepen(path, len(path))
	}
	return reply{id: n.id}
}

// rename moves a file or a directory with all below it. The form of the paths
// has been checked: to is not below from. It takes the same time whatever is
// below, except from under some quotas to under others.
func (s *State) rename(at position, op *metapb.RenameOp) reply {
	from, to := op.From, op.To
	old, n, p, code := s.endpoints(from, to)
	var replaced *node
	if code == Exists && op.Replace && to != "/" {
		if x, _ := s.child(p.dir, p.name); !x.dir && !n.dir && x.id != n.id {
			replaced, code = &x, OK // a file is below no other name: its path is not too long
		}
	}
	if code != OK {
		return reply{code: code}
	}
	if before, after := s.quotasAbove(old.dir), s.quotasAbove(p.dir); !slices.Equal(before, after) {
		u, all := s.count(n, maxEntries)
		if !all {
			return reply{code: TooLarge}
		}
		for _, dir := range after {
			if !slices.Contains(before, dir) && !s.hasRoom(dir, u) {
				return reply{code: Quota}
			}
		}
		s.charge(old.dir, u.negative())
		s.charge(p.dir, u)
	}
	if replaced != nil {
		s.hide(at, p, *replaced)
	}
	s.setChild(old.dir, old.name, &n, nil)
	s.setChild(p.dir, p.name, nil, &n)
	if n.dir {
		s.setParent(n.id, p.dir)
	}
	if p.shallow {
		s.deepen(to, len(to)+int(n.below))
	}
	return reply{id: n.id}
}

// endpoints looks up what is to be moved or copied, n at old, and the free place
// for it, p.
func (s *State) endpoints(from, to string) (old place, n node, p place, code Code) {
	if old, code = s.lookupParent(from, 0); code != OK {
		return old, n, p, NotFound
	}
	n, found := s.child(old.dir, old.name)
	if !found {
		return old, n, p, NotFound
	}
	if to == "/" {
		return old, n, p, Exists
	}
	if p, code = s.lookupParent(to, len(to)+int(n.below)); code != OK {
		return old, n, p, code
	}
	if _, taken := s.child(p.dir, p.name); taken {
		return old, n, p, Exists
	}
	if s.tooLong(&n, len(to)) {
		return old, n, p, Invalid
	}
	return old, n, p, OK
}

// allocate adds a chunk at the end of a file.
func (s *State) allocate(op *metapb.AllocateOp) reply {
	if op.Path == "/" {
		return reply{code: IsDirectory}
	}
	p, code := s.lookupParent(op.Path, 0)
	if code != OK {
		return reply{code: NotFound}
	}
	n, found := s.child(p.dir, p.name)
	switch {
	case !found:
		return reply{code: NotFound}
	case n.dir:
		return reply{code: IsDirectory}
	}
	slots := s.countSlots(n.id)
	switch {
	case uint64(op.ChunkIndex) < slots:
		c, _ := s.loadChunk(s.handleAt(n.id, op.ChunkIndex))
		return reply{code: Exists, handle: c.handle, version: c.version}
	case uint64(op.ChunkIndex) > slots:
		return reply{code: Invalid}
	case op.Strict && slots > 0:
		last, _ := s.loadChunk(s.handleAt(n.id, op.ChunkIndex-1))
		if last.kind == Records && !last.sealed {
			return reply{code: NotSealed, handle: last.handle, version: last.version}
		}
	}
	if !s.fits(p.dir, usage{chunks: 1}) {
		return reply{code: Quota}
	}
	c := chunk{handle: s.nextHandle, kind: Kind(op.Kind), refs: 1, goal: s.goal(n.id, p.dir)}
	s.nextHandle++
	s.storeChunk(&c)
	s.addSlot(n.id, op.ChunkIndex, c.handle)
	s.charge(p.dir, usage{chunks: 1})
	return reply{handle: c.handle}
}
