package meta

import "gfslab/master/meta/metapb"

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
	n := node{id: FileID(at.index, at.offset), dir: dir}
	s.setChild(p.dir, p.name, nil, &n)
	if p.shallow {
		s.deepen(path, len(path))
	}
	return reply{id: n.id}
}

// delete removes a file, with its chunks, or an empty directory.
func (s *State) delete(path string) reply {
	p, code := s.lookupParent(path, 0)
	if code != OK { // nothing is below a file
		return reply{code: NotFound}
	}
	n, found := s.child(p.dir, p.name)
	if !found {
		return reply{code: NotFound}
	}
	empty := true
	if n.dir {
		s.eachChild(n.id, func([]byte, node) bool {
			empty = false
			return false
		})
	}
	if !empty {
		return reply{code: NotEmpty}
	}
	if !n.dir {
		s.dropChunks(n.id)
	}
	s.setChild(p.dir, p.name, &n, nil)
	return reply{id: n.id}
}

// rename moves a file or a directory with all below it. The form of the paths
// has been checked: to is not below from. It takes the same time whatever is
// below.
func (s *State) rename(from, to string) reply {
	old, code := s.lookupParent(from, 0)
	if code != OK {
		return reply{code: NotFound}
	}
	n, found := s.child(old.dir, old.name)
	if !found {
		return reply{code: NotFound}
	}
	if to == "/" {
		return reply{code: Exists}
	}
	p, code := s.lookupParent(to, len(to)+int(n.below))
	if code != OK {
		return reply{code: code}
	}
	if _, taken := s.child(p.dir, p.name); taken {
		return reply{code: Exists}
	}
	// The bound may be above the truth, which is worth a search only here.
	if len(to)+int(n.below) > MaxPathBytes && len(to)+s.longest(n.id) > MaxPathBytes {
		return reply{code: Invalid}
	}
	s.setChild(old.dir, old.name, &n, nil)
	s.setChild(p.dir, p.name, nil, &n)
	if p.shallow {
		s.deepen(to, len(to)+int(n.below))
	}
	return reply{id: n.id}
}

// allocate adds a chunk at the end of a file.
func (s *State) allocate(op *metapb.AllocateOp) reply {
	n, found := s.lookup(op.Path)
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
	}
	c := chunk{handle: s.nextHandle, fileID: n.id, slot: op.ChunkIndex}
	s.nextHandle++
	s.storeChunk(&c)
	s.addSlot(c.fileID, c.slot, c.handle)
	return reply{handle: c.handle}
}
