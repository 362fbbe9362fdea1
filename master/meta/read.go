package meta

import (
	"encoding/binary"
	"math"
	"slices"
)

// Attributes are what is set on a file or directory; nil is not set.
type Attributes struct {
	RetentionNs *int64
	Replicas    *uint32
	// MaxFiles and MaxChunks are a directory's quota.
	MaxFiles, MaxChunks *uint64
}

// Info describes a file or a directory.
type Info struct {
	ID        uint64
	Directory bool
	// Chunks are the handles of a file's chunks, in order; the caller owns them.
	Chunks []uint64
	// Own are the attributes set here. Effective are those that hold: retention
	// always; replicas if set here or above, else the cell's default holds; quotas
	// as in Own, as those above count for themselves.
	Own, Effective Attributes
	// UsedFiles and UsedChunks are what a directory with a quota counts.
	UsedFiles, UsedChunks uint64
	// Hidden: it was deleted at DeletedNs and may be removed from ExpiresNs on, in
	// the state's time.
	Hidden               bool
	DeletedNs, ExpiresNs int64
}

// Chunk describes a chunk. The caller owns its slices.
type Chunk struct {
	Handle uint64
	Kind   Kind
	// Version is the committed version, 0 if no lease was ever granted.
	Version uint64
	// Members are the current replicas.
	Members []string
	// Epoch and Primary are those of the active lease; 0 and "" if there is none.
	Epoch   uint64
	Primary string
	// Intent is the log index of the pending intent, 0 if there is none; Reserved
	// is the highest version that any intent was given.
	Intent, Reserved uint64
	// Sealed: the chunk ends at Length and is granted no more.
	Sealed bool
	Length uint64
	// Refs is in how many files the chunk is; more than one share it.
	Refs uint64
	// Goal is how many replicas it should have, 0 for the cell's default.
	Goal uint32
	// Deleted is true while the lease outlives the chunk's last file.
	Deleted bool
}

// Applied returns the index of the last entry applied and the number of commands
// in it: the position that a lookup made now sees.
func (s *State) Applied() (index uint64, commands uint32) { return s.index, s.commands }

// Time is the highest stamp applied, in nanoseconds.
func (s *State) Time() int64 { return s.time }

// NextHandle is above every handle given out so far: a replica of that one, or of
// a higher one, is of a chunk that this state has never heard of.
func (s *State) NextHandle() uint64 { return s.nextHandle }

// NextExpiry is when the first of what is hidden is due, in nanoseconds; false if
// nothing is hidden.
func (s *State) NextExpiry() (ns int64, any bool) {
	for key := range s.expiry.From(nil) {
		return int64(binary.BigEndian.Uint64(key)), true
	}
	return math.MaxInt64, false
}

// Due reports whether a Purge stamped now (nanoseconds) would remove anything.
func (s *State) Due(now int64) bool {
	ns, found := s.NextExpiry()
	return found && ns <= max(now, s.time)
}

// Stat looks a path up: OK, NotFound or Invalid.
func (s *State) Stat(path string) (Info, Code) { return s.Find(path, 0) }

// Find is Stat for what is hidden under the path with the given id, if that is
// not 0.
func (s *State) Find(path string, deletedID uint64) (Info, Code) {
	n, dir, code := s.find(path, deletedID)
	if code != OK {
		return Info{}, code
	}
	info := Info{ID: n.id, Directory: n.dir, Hidden: n.hidden, DeletedNs: n.deleted, ExpiresNs: n.expires}
	if !n.dir {
		info.Chunks = s.handlesOf(nil, n.id)
	}
	if own, found := s.loadAttributes(n.id); found {
		info.Own = own.public()
		if own.limited() {
			info.UsedFiles, info.UsedChunks = uint64(own.used.files), uint64(own.used.chunks)
		}
	}
	info.Effective = info.Own
	retention := s.retention(n.id, dir)
	info.Effective.RetentionNs = &retention
	if goal := s.goal(n.id, dir); goal != 0 {
		info.Effective.Replicas = &goal
	}
	return info, OK
}

// find looks up what is at a path or hidden under it, and in which directory: OK,
// NotFound or Invalid.
func (s *State) find(path string, deletedID uint64) (n node, dir uint64, code Code) {
	if !ValidPath(path) {
		return node{}, 0, Invalid
	}
	if deletedID == 0 {
		n, dir, found := s.lookupIn(path)
		if !found {
			return node{}, 0, NotFound
		}
		return n, dir, OK
	}
	if path == "/" {
		return node{}, 0, NotFound
	}
	p, code := s.lookupParent(path, 0)
	if code != OK {
		return node{}, 0, NotFound
	}
	h, found := s.findHidden(p.dir, p.name, deletedID)
	if !found {
		return node{}, 0, NotFound
	}
	return h.node, p.dir, OK
}

func (a *attributes) public() (out Attributes) {
	if a.has&hasRetention != 0 {
		out.RetentionNs = &a.retention
	}
	if a.has&hasReplicas != 0 {
		out.Replicas = &a.replicas
	}
	if a.has&hasMaxFiles != 0 {
		out.MaxFiles = &a.maxFiles
	}
	if a.has&hasMaxChunks != 0 {
		out.MaxChunks = &a.maxChunks
	}
	return out
}

// List returns the names in a directory in byte order, those of directories with
// a slash at the end: OK, NotFound, NotDirectory or Invalid.
func (s *State) List(path string) ([]string, Code) {
	n, _, code := s.find(path, 0)
	switch {
	case code != OK:
		return nil, code
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
// no file has it any more (it is still described if a lease lives on).
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
func (s *State) ChunkAt(path string, index uint32) (Chunk, Code) { return s.ChunkOf(path, 0, index) }

// ChunkOf is ChunkAt for a file that is hidden under the path with the given id,
// if that is not 0.
func (s *State) ChunkOf(path string, deletedID uint64, index uint32) (Chunk, Code) {
	n, _, code := s.find(path, deletedID)
	switch {
	case code != OK:
		return Chunk{}, code
	case n.dir:
		return Chunk{}, IsDirectory
	}
	return s.ChunkIn(n.id, index)
}

// ChunkIn looks a chunk up by its file's id and its index there: OK or NoChunk.
func (s *State) ChunkIn(fileID uint64, index uint32) (Chunk, Code) {
	handle := s.handleAt(fileID, index)
	if handle == 0 {
		return Chunk{}, NoChunk
	}
	return s.Chunk(handle)
}

// Handles appends the handles of a file's chunks, in order.
func (s *State) Handles(handles []uint64, fileID uint64) []uint64 {
	return s.handlesOf(handles, fileID)
}

// ChunksFrom returns up to limit chunks in the order of their handles, from
// handle on, and the handle to go on from; that is 0 at the end. Those that are
// only kept for a lease are left out.
func (s *State) ChunksFrom(handle uint64, limit int) (chunks []Chunk, next uint64) {
	var room [8]byte
	for key, value := range s.chunks.From(idKey(room[:0], handle)) {
		at := binary.BigEndian.Uint64(key)
		if len(chunks) >= limit {
			return chunks, at
		}
		if c, _ := decodeChunk(at, value); !c.deleted {
			chunks = append(chunks, s.describe(&c))
		}
	}
	return chunks, 0
}

// Orphans returns the handles, in order, of chunks that no file has any more but
// whose lease has not ended.
func (s *State) Orphans() []uint64 {
	handles := make([]uint64, 0, s.orphans.Len())
	for key := range s.orphans.From(nil) {
		handles = append(handles, binary.BigEndian.Uint64(key))
	}
	return handles
}

// Sizes returns the numbers of files and directories (hidden ones too), chunks,
// and sessions.
func (s *State) Sizes() (nodes, chunks, sessions int) {
	return s.names.Len() + 1, s.chunks.Len(), s.sessions.Len()
}

func (s *State) describe(c *chunk) Chunk {
	out := Chunk{
		Handle: c.handle, Kind: c.kind, Version: c.version, Epoch: c.lease.epoch, Intent: c.intent.index, Reserved: c.reserved,
		Sealed: c.sealed, Length: c.length, Refs: c.refs, Goal: c.goal, Deleted: c.deleted,
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
