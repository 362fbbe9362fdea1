package meta

import "gfslab/master/meta/metapb"

// create makes a file or, if dir, a directory.
func (s *State) create(at position, path string, dir bool) reply {
	if s.nodes[path] != nil {
		return reply{code: Exists}
	}
	parentPath, name := splitPath(path)
	parent := s.nodes[parentPath]
	switch {
	case parent == nil:
		return reply{code: NotFound}
	case !parent.dir:
		return reply{code: NotDirectory}
	}
	n := &node{id: FileID(at.index, at.offset), dir: dir}
	if dir {
		n.children = make(map[string]*node)
	}
	s.nodes[path] = n
	parent.children[name] = n
	s.hashNode(path, n)
	return reply{id: n.id}
}

// delete removes a file, with its chunks, or an empty directory.
func (s *State) delete(path string) reply {
	n := s.nodes[path]
	switch {
	case n == nil:
		return reply{code: NotFound}
	case len(n.children) > 0:
		return reply{code: NotEmpty}
	}
	for _, handle := range n.chunks {
		s.dropChunk(s.chunks[handle])
	}
	parentPath, name := splitPath(path)
	delete(s.nodes[parentPath].children, name)
	delete(s.nodes, path)
	s.sum.remove(n.sum)
	return reply{id: n.id}
}

// rename moves a file or a directory with all below it. The form of the paths
// has been checked: to is not below from.
func (s *State) rename(from, to string) reply {
	n := s.nodes[from]
	if n == nil {
		return reply{code: NotFound}
	}
	if s.nodes[to] != nil {
		return reply{code: Exists}
	}
	toParentPath, toName := splitPath(to)
	toParent := s.nodes[toParentPath]
	switch {
	case toParent == nil:
		return reply{code: NotFound}
	case !toParent.dir:
		return reply{code: NotDirectory}
	case len(to)-len(from) > 0 && !s.pathsFit(from, n, len(to)-len(from)):
		return reply{code: Invalid}
	}
	fromParentPath, fromName := splitPath(from)
	delete(s.nodes[fromParentPath].children, fromName)
	toParent.children[toName] = n
	s.move(from, to, n)
	return reply{id: n.id}
}

// move re-keys n and all below it. The order in which a directory's children are
// visited does not matter: each has its own key, and hashes add up in any order.
func (s *State) move(from, to string, n *node) {
	delete(s.nodes, from)
	s.sum.remove(n.sum)
	s.nodes[to] = n
	s.hashNode(to, n)
	for name, child := range n.children {
		s.move(from+"/"+name, to+"/"+name, child)
	}
}

// pathsFit reports whether n's path and all below it stay within MaxPathBytes
// when they grow.
func (s *State) pathsFit(path string, n *node, growth int) bool {
	if len(path)+growth > MaxPathBytes {
		return false
	}
	for name, child := range n.children {
		if !s.pathsFit(path+"/"+name, child, growth) {
			return false
		}
	}
	return true
}

// allocate adds a chunk at the end of a file.
func (s *State) allocate(op *metapb.AllocateOp) reply {
	n := s.nodes[op.Path]
	switch {
	case n == nil:
		return reply{code: NotFound}
	case n.dir:
		return reply{code: IsDirectory}
	case uint64(op.ChunkIndex) < uint64(len(n.chunks)):
		c := s.chunks[n.chunks[op.ChunkIndex]]
		return reply{code: Exists, handle: c.handle, version: c.version}
	case uint64(op.ChunkIndex) > uint64(len(n.chunks)):
		return reply{code: Invalid}
	}
	c := &chunk{handle: s.nextHandle, fileID: n.id, slot: op.ChunkIndex}
	s.nextHandle++
	s.chunks[c.handle] = c
	n.chunks = append(n.chunks, c.handle)
	s.hashChunk(c)
	return reply{handle: c.handle}
}
