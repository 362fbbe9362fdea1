package meta

import "slices"

// Info describes a file or a directory.
type Info struct {
	ID        uint64
	Directory bool
	// Chunks are the handles of a file's chunks, in order; the caller owns them.
	Chunks []uint64
}

// Chunk describes a chunk. Its slices must not be changed.
type Chunk struct {
	Handle uint64
	FileID uint64
	Index  uint32 // within its file
	// Version is the committed version, 0 if no lease was ever granted.
	Version uint64
	// Members are the current replicas.
	Members []string
	// Epoch and Primary are those of the active lease; 0 and "" if there is none.
	Epoch   uint64
	Primary string
	// Deleted is true while the lease outlives the chunk's file.
	Deleted bool
}

// Applied returns the index of the last entry applied and the number of commands
// in it: the position that a lookup made now sees.
func (s *State) Applied() (index uint64, commands uint32) { return s.index, s.commands }

// Time is the highest stamp applied, in nanoseconds.
func (s *State) Time() int64 { return s.time }

// Stat looks a path up: OK, NotFound or Invalid.
func (s *State) Stat(path string) (Info, Code) {
	if !ValidPath(path) {
		return Info{}, Invalid
	}
	n := s.nodes[path]
	if n == nil {
		return Info{}, NotFound
	}
	return Info{ID: n.id, Directory: n.dir, Chunks: slices.Clone(n.chunks)}, OK
}

// List returns the names in a directory in byte order, those of directories with
// a slash at the end: OK, NotFound, NotDirectory or Invalid.
func (s *State) List(path string) ([]string, Code) {
	if !ValidPath(path) {
		return nil, Invalid
	}
	n := s.nodes[path]
	switch {
	case n == nil:
		return nil, NotFound
	case !n.dir:
		return nil, NotDirectory
	}
	names := make([]string, 0, len(n.children))
	for name, child := range n.children {
		if child.dir {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, OK
}

// Chunk looks a chunk up by handle: OK, or NoChunk if it was never allocated or
// its file is deleted (the description is still filled in if a lease lives on).
func (s *State) Chunk(handle uint64) (Chunk, Code) {
	c := s.chunks[handle]
	if c == nil {
		return Chunk{Handle: handle}, NoChunk
	}
	if c.deleted {
		return c.describe(), NoChunk
	}
	return c.describe(), OK
}

// ChunkAt looks a chunk up by path and index: OK, NotFound, IsDirectory, Invalid
// or NoChunk.
func (s *State) ChunkAt(path string, index uint32) (Chunk, Code) {
	if !ValidPath(path) {
		return Chunk{}, Invalid
	}
	n := s.nodes[path]
	switch {
	case n == nil:
		return Chunk{}, NotFound
	case n.dir:
		return Chunk{}, IsDirectory
	case uint64(index) >= uint64(len(n.chunks)):
		return Chunk{}, NoChunk
	}
	return s.chunks[n.chunks[index]].describe(), OK
}

// Orphans returns the handles, in order, of chunks whose file is deleted but
// whose lease has not ended.
func (s *State) Orphans() []uint64 {
	handles := make([]uint64, 0, len(s.orphans))
	for handle := range s.orphans {
		handles = append(handles, handle)
	}
	slices.Sort(handles)
	return handles
}

// Sizes returns the numbers of files and directories, chunks, and sessions.
func (s *State) Sizes() (nodes, chunks, sessions int) {
	return len(s.nodes), len(s.chunks), len(s.sessions.byClient)
}

func (c *chunk) describe() Chunk {
	return Chunk{
		Handle: c.handle, FileID: c.fileID, Index: c.slot, Version: c.version, Members: c.members,
		Epoch: c.lease.epoch, Primary: c.lease.primary, Deleted: c.deleted,
	}
}
