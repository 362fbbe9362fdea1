package meta

import (
	"encoding/binary"
	"slices"
)

// Info describes a file or a directory.
type Info struct {
	ID        uint64
	Directory bool
	// Chunks are the handles of a file's chunks, in order; the caller owns them.
	Chunks []uint64
}

// Chunk describes a chunk. The caller owns its slices.
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
	n, found := s.lookup(path)
	if !found {
		return Info{}, NotFound
	}
	info := Info{ID: n.id, Directory: n.dir}
	if !n.dir {
		info.Chunks = s.handlesOf(nil, n.id)
	}
	return info, OK
}

// List returns the names in a directory in byte order, those of directories with
// a slash at the end: OK, NotFound, NotDirectory or Invalid.
func (s *State) List(path string) ([]string, Code) {
	if !ValidPath(path) {
		return nil, Invalid
	}
	n, found := s.lookup(path)
	switch {
	case !found:
		return nil, NotFound
	case !n.dir:
		return nil, NotDirectory
	}
	names := []string{}
	s.eachChild(n.id, func(name []byte, child node) bool {
		if child.dir {
			names = append(names, string(name)+"/")
		} else {
			names = append(names, string(name))
		}
		return true
	})
	slices.Sort(names) // "a/" is not where "a" was
	return names, OK
}

// Chunk looks a chunk up by handle: OK, or NoChunk if it was never allocated or
// its file is deleted (the description is still filled in if a lease lives on).
func (s *State) Chunk(handle uint64) (Chunk, Code) {
	var room [8]byte
	value, found := s.chunks.Get(idKey(room[:0], handle))
	if !found {
		return Chunk{Handle: handle}, NoChunk
	}
	c, _ := decodeChunk(handle, value)
	if c.deleted {
		return s.describe(&c), NoChunk
	}
	return s.describe(&c), OK
}

// ChunkAt looks a chunk up by path and index: OK, NotFound, IsDirectory, Invalid
// or NoChunk.
func (s *State) ChunkAt(path string, index uint32) (Chunk, Code) {
	if !ValidPath(path) {
		return Chunk{}, Invalid
	}
	n, found := s.lookup(path)
	switch {
	case !found:
		return Chunk{}, NotFound
	case n.dir:
		return Chunk{}, IsDirectory
	}
	handle := s.handleAt(n.id, index)
	if handle == 0 {
		return Chunk{}, NoChunk
	}
	return s.Chunk(handle)
}

// Orphans returns the handles, in order, of chunks whose file is deleted but
// whose lease has not ended.
func (s *State) Orphans() []uint64 {
	handles := make([]uint64, 0, s.orphans.Len())
	for key := range s.orphans.From(nil) {
		handles = append(handles, binary.BigEndian.Uint64(key))
	}
	return handles
}

// Sizes returns the numbers of files and directories, chunks, and sessions.
func (s *State) Sizes() (nodes, chunks, sessions int) {
	return s.names.Len() + 1, s.chunks.Len(), s.sessions.Len()
}

func (s *State) describe(c *chunk) Chunk {
	out := Chunk{
		Handle: c.handle, FileID: c.fileID, Index: c.slot, Version: c.version,
		Epoch: c.lease.epoch, Deleted: c.deleted,
	}
	if c.lease.epoch != 0 {
		out.Primary = s.servers[c.lease.primary]
	}
	if len(c.members) > 0 {
		out.Members = make([]string, len(c.members))
		for i, n := range c.members {
			out.Members[i] = s.servers[n]
		}
	}
	return out
}
