package master

import (
	"context"
	"math"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/master/meta"
)

// The bounds of one reply. A request that names no limit gets as much as fits, and
// learns where to go on.
const (
	listEntries = 1 << 16
	longEntries = 1 << 12
	listBytes   = 1 << 20 // of names
	// statDetails is how many of a file's chunks are described one by one.
	statDetails = 1 << 13
	// usageStep is how many files and directories are counted before the caller's
	// deadline is looked at.
	usageStep = 1 << 10
)

// Stat describes a file or directory, or what is hidden under its path. Lengths
// are as reported by chunkservers to this replica: soft state.
func (m *Master) Stat(ctx context.Context, r *api.ReadRequest) (*api.StatReply, error) {
	v, err := m.fit(ctx, r.Stale, r.AtLeast)
	if err != nil {
		return nil, err
	}
	reply := new(api.StatReply)
	var chunks []meta.Chunk
	m.machine.view(func(s *meta.State) {
		info, code := s.Find(r.Path, r.DeletedId)
		reply.Code, reply.At = api.Code(code), m.position(seenBy(s), v)
		reply.Id, reply.Directory, reply.Chunks = info.ID, info.Directory, info.Chunks
		if code != meta.OK {
			return
		}
		reply.Own, reply.Effective = attributes(&info.Own), attributes(&info.Effective)
		reply.QuotaFiles, reply.QuotaChunks = info.UsedFiles, info.UsedChunks
		chunks = make([]meta.Chunk, 0, min(len(info.Chunks), statDetails))
		for _, handle := range info.Chunks[:cap(chunks)] {
			c, _ := s.Chunk(handle)
			chunks = append(chunks, c)
		}
	})
	for i := range chunks {
		c := &chunks[i]
		reply.Details = append(reply.Details, &api.ChunkDetail{
			Handle: c.Handle, Kind: api.ChunkKind(c.Kind), Sealed: c.Sealed, Refs: references(c), Length: m.length(c),
		})
	}
	return reply, nil
}

// length of a chunk: the log's if it is sealed, else the longest that a current
// replica reported.
func (m *Master) length(c *meta.Chunk) uint64 {
	if c.Sealed {
		return c.Length
	}
	return m.servers.length(c)
}

func references(c *meta.Chunk) uint32 { return uint32(min(c.Refs, math.MaxUint32)) }

func attributes(a *meta.Attributes) *api.Attributes {
	return &api.Attributes{RetentionNs: a.RetentionNs, Replicas: a.Replicas, MaxFiles: a.MaxFiles, MaxChunks: a.MaxChunks}
}

// List names what is in a directory, page by page if it is too much for one reply.
// Each page is atomic: a create is in it or not, whatever else is.
func (m *Master) List(ctx context.Context, r *api.ListRequest) (*api.ListReply, error) {
	v, err := m.fit(ctx, r.Stale, r.AtLeast)
	if err != nil {
		return nil, err
	}
	limit := listEntries
	if r.Long {
		limit = longEntries
	}
	if r.Limit > 0 {
		limit = min(limit, int(r.Limit))
	}
	options := meta.ListOptions{
		Hidden: r.Deleted, Recursive: r.Recursive, Chunks: r.Long, Prefix: r.Prefix, After: r.After, Limit: limit, NameBytes: listBytes,
	}
	reply := new(api.ListReply)
	var entries []meta.Entry
	var chunks []fileChunk // those of all files among the entries, in order
	m.machine.view(func(s *meta.State) {
		var code meta.Code
		entries, reply.Next, code = s.ListPage(r.Path, options)
		reply.Code, reply.At = api.Code(code), m.position(seenBy(s), v)
		if r.Long {
			chunks = chunksOf(s, entries)
		}
	})
	reply.Names = make([]string, len(entries))
	for i := range entries {
		e := &entries[i]
		reply.Names[i] = e.Name
		if !r.Long && !r.Deleted {
			continue
		}
		out := &api.Entry{Name: e.Name, Id: e.ID, Directory: e.Directory, Chunks: e.Chunks, DeletedNs: e.DeletedNs, ExpiresNs: e.ExpiresNs}
		for ; len(chunks) > 0 && !e.Directory && chunks[0].file == e.ID; chunks = chunks[1:] {
			out.Bytes += m.length(&chunks[0].Chunk)
		}
		reply.Entries = append(reply.Entries, out)
	}
	return reply, nil
}

// fileChunk is a chunk of the file with an id.
type fileChunk struct {
	file uint64
	meta.Chunk
}

// chunksOf looks up the chunks of all files among the entries, in order.
func chunksOf(s *meta.State, entries []meta.Entry) (chunks []fileChunk) {
	var handles []uint64
	for _, e := range entries {
		if e.Directory {
			continue
		}
		handles = s.Handles(handles[:0], e.ID)
		for _, handle := range handles {
			c, _ := s.Chunk(handle)
			chunks = append(chunks, fileChunk{e.ID, c})
		}
	}
	return chunks
}

// Usage counts what is below a path, all at one position of the log.
func (m *Master) Usage(ctx context.Context, r *api.ReadRequest) (*api.UsageReply, error) {
	v, err := m.fit(ctx, r.Stale, r.AtLeast)
	if err != nil {
		return nil, err
	}
	s := m.machine.freeze()
	reply := &api.UsageReply{At: m.position(seenBy(s), v)}
	walk, code := s.WalkFrom(r.Path, r.DeletedId)
	if reply.Code = api.Code(code); code != meta.OK {
		return reply, nil
	}
	add := func(_ uint64, hidden bool, handles []uint64) {
		if hidden {
			return
		}
		for _, handle := range handles {
			c, _ := s.Chunk(handle)
			reply.Bytes += m.length(&c)
		}
	}
	for !walk.Step(s, usageStep, add) {
		if err := ctx.Err(); err != nil {
			return nil, status.FromContextError(err).Err()
		}
		if m.closing.Err() != nil {
			return nil, status.Error(codes.Unavailable, "the master is closed")
		}
	}
	reply.Files, reply.Directories, reply.Chunks = walk.Files, walk.Directories, walk.Chunks
	reply.HiddenFiles, reply.HiddenChunks = walk.HiddenFiles, walk.HiddenChunks
	return reply, nil
}

// FindLocation looks a chunk up by path and index.
func (m *Master) FindLocation(ctx context.Context, r *api.LocationRequest) (*api.ChunkReply, error) {
	v, err := m.fit(ctx, r.Stale, r.AtLeast)
	if err != nil {
		return nil, err
	}
	c, code, at := m.machine.chunkAt(r.Path, r.DeletedId, r.ChunkIndex)
	reply := m.chunkReply(c, code, m.position(at, v))
	reply.ChunkIndex = r.ChunkIndex
	return m.locate(reply), nil
}

// ChunkInfo looks a chunk up by handle, or by path and index.
func (m *Master) ChunkInfo(ctx context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	v, err := m.fit(ctx, false, 0)
	if err != nil {
		return nil, err
	}
	c, code, at := m.target(r)
	return indexed(m.chunkReply(c, code, m.position(at, v)), r), nil
}

// chunkReply describes a chunk to a client.
func (m *Master) chunkReply(c meta.Chunk, code meta.Code, at *api.Position) *api.ChunkReply {
	reply := &api.ChunkReply{Code: api.Code(code), At: at, Handle: c.Handle}
	if code != meta.OK {
		return reply
	}
	reply.Version, reply.Epoch, reply.Primary, reply.Replicas = c.Version, c.Epoch, c.Primary, c.Members
	reply.Kind, reply.Sealed, reply.Refs = api.ChunkKind(c.Kind), c.Sealed, references(&c)
	reply.Addresses = m.servers.addresses(c.Members)
	return reply
}
