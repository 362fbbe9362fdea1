package chunkserver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// maxReadBytes bounds one ranged read.
const maxReadBytes = 1 << 20

// ReadChunk returns durable bytes of the replica, after every block that they
// lie in was compared with its checksum: with length 0 the one record at the
// offset, otherwise a range of up to 1 MiB, whose frames the reader verifies.
// CORRUPT: a block is damaged, no bytes. DATA_LOSS: a record whose header is
// sound and whose payload is not; another record may lie over it.
func (s *Server) ReadChunk(ctx context.Context, r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	c := s.chunk(r.Handle)
	if c == nil {
		return &api.ReadChunkReply{Code: api.Code_NOT_FOUND}, nil
	}
	c.mu.Lock()
	reply := &api.ReadChunkReply{Version: c.head.version, End: c.durable, Kind: c.head.kind, Full: c.full}
	there, failed := c.file != nil && c.head.version > 0, c.failed
	c.mu.Unlock()
	switch {
	case errors.Is(failed, errGone) || failed == nil && !there:
		return &api.ReadChunkReply{Code: api.Code_NOT_FOUND}, nil
	case failed != nil || s.ctx.Err() != nil:
		return nil, status.Error(codes.Unavailable, "the replica cannot be read")
	case reply.Version < r.Version:
		reply.Code = api.Code_STALE
		return reply, nil
	}
	v := &view{s: s, c: c, ctx: ctx}
	var err error
	if r.Length == 0 {
		reply.Data, err = v.record(r.Offset)
	} else {
		reply.Data, err = v.read(r.Offset, min(uint64(r.Length), maxReadBytes))
	}
	switch {
	case err == nil:
		reply.Crc32C = api.Checksum(reply.Data)
		s.stats.read.Add(uint64(len(reply.Data)))
		s.event(Event{Kind: EventServe, Handle: r.Handle, Version: reply.Version, Wanted: r.Version, Offset: r.Offset,
			Length: uint64(len(reply.Data))})
		return reply, nil
	case errors.Is(err, errNoRecord):
		reply.Code = api.Code_NOT_FOUND
	case errors.Is(err, errCorrupt):
		reply.Code = api.Code_CORRUPT
	case errors.Is(err, api.ErrFrameChecksum):
		return nil, status.Errorf(codes.DataLoss, "record at offset %d: %v", r.Offset, err)
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	default:
		return nil, status.Errorf(codes.Unavailable, "read chunk: %v", err)
	}
	reply.Data = nil
	return reply, nil
}

var errNoRecord = errors.New("no whole record at the offset")

// view reads a chunk's durable bytes. It keeps the blocks that it read last: a
// record's header and payload are mostly in one.
type view struct {
	s   *Server
	c   *chunk
	ctx context.Context

	start uint64 // of data, a block's start
	data  []byte // verified
}

// read returns the bytes of [offset, offset+length) below the chunk's end.
func (v *view) read(offset, length uint64) ([]byte, error) {
	for {
		if have := v.start + uint64(len(v.data)); offset >= v.start && offset+length <= have {
			return v.data[offset-v.start:][:length:length], nil
		}
		end, err := v.load(offset, length)
		switch {
		case errors.Is(err, errRetry):
			continue
		case err != nil:
			return nil, err
		case offset >= end:
			return nil, nil
		}
		length = min(length, end-offset)
	}
}

// errRetry: the bytes changed while they were read.
var errRetry = errors.New("bytes changed while they were read")

// load reads and verifies the blocks of a range and returns where the chunk ends.
func (v *view) load(offset, length uint64) (end uint64, err error) {
	c := v.c
	c.mu.Lock()
	rewriting, rewrites, failed, corrupt := c.rewriting, c.rewrites, c.failed, c.corrupt
	end = c.durable
	if rewriting != nil || failed != nil || offset >= end {
		c.mu.Unlock()
		switch {
		case failed != nil:
			return 0, failed
		case rewriting == nil && corrupt:
			return 0, errCorrupt // where it really ends is not known
		case rewriting == nil:
			return end, nil
		}
		select {
		case <-rewriting:
			return 0, errRetry
		case <-v.ctx.Done():
			return 0, v.ctx.Err()
		}
	}
	first, last := span(offset, min(offset+length, end))
	blocks := append([]block(nil), c.blocks[first:last+1]...)
	f := c.file
	c.mu.Unlock()
	if f == nil {
		return 0, errNotHere
	}
	h, err := v.s.files.use(v.ctx, f)
	switch {
	case errors.Is(err, errReplaced):
		return 0, errRetry
	case err != nil && v.ctx.Err() == nil && !tooManyOpen(err):
		v.s.markUnreadable(c, offset, f, err)
		fallthrough
	case err != nil:
		return 0, err
	}
	defer v.s.files.done(f)

	start := uint64(first) * blockBytes
	data := make([]byte, lengthOf(blocks))
	if _, err := h.ReadAt(data, layout{v.s.opts.ChunkBytes}.dataStart()+int64(start)); err != nil && !errors.Is(err, io.EOF) {
		// The block is not known to be bad, and may be read yet; but a new replica is
		// due, as only this chunkserver knows of the error.
		v.s.markUnreadable(c, start, f, err)
		return 0, err
	}
	for i, b := range blocks {
		if part := data[i*blockBytes:][:b.len]; b.bad || api.Checksum(part) != b.crc {
			c.mu.Lock()
			changed := c.rewriting != nil || c.rewrites != rewrites
			c.mu.Unlock()
			if changed {
				return 0, errRetry
			}
			v.s.markBad(c, first+i, f)
			return 0, errCorrupt
		}
	}
	v.start, v.data = start, data
	return end, nil
}

// record returns the frame that starts at offset; of a pad, its header.
func (v *view) record(offset uint64) ([]byte, error) {
	head, err := v.read(offset, api.FrameOverhead+api.MaxClientBytes)
	if err != nil {
		return nil, err
	}
	h, n, err := api.ParseFrameHeader(head)
	if err != nil || h.Handle != v.c.handle || h.Offset != offset {
		return nil, errNoRecord
	}
	if h.Kind == api.FramePad {
		return head[:n], nil
	}
	b, err := v.read(offset, h.Size())
	if err != nil {
		return nil, err
	}
	if _, _, err := api.ParseFrame(b); err != nil {
		if errors.Is(err, api.ErrFrameShort) {
			err = errNoRecord
		}
		return nil, err
	}
	return b, nil
}

// markBad notes that a block is damaged, unless the file was replaced meanwhile.
func (s *Server) markBad(c *chunk, index int, f *openFile) {
	c.mu.Lock()
	same := c.file == f && index < len(c.blocks)
	if same {
		c.blocks[index].bad = true
	}
	c.mu.Unlock()
	if same {
		s.markCorrupt(c, uint64(index)*blockBytes, "found while reading")
	}
}

// markUnreadable notes that the disk does not give a range back, unless the file was
// replaced meanwhile.
func (s *Server) markUnreadable(c *chunk, offset uint64, f *openFile, err error) {
	c.mu.Lock()
	same := c.file == f
	c.mu.Unlock()
	if same {
		s.markCorrupt(c, offset, err.Error())
	}
}

// markCorrupt makes the masters hear of it; the first time is logged.
func (s *Server) markCorrupt(c *chunk, offset uint64, how string) {
	c.mu.Lock()
	known := c.corrupt
	c.corrupt = true
	version := c.head.version
	c.mu.Unlock()
	if known {
		return
	}
	s.stats.corrupt.Add(1)
	s.changed(c.handle)
	s.event(Event{Kind: EventCorrupt, Handle: c.handle, Version: version, Offset: offset, Reason: how})
	s.log.Warn("replica is corrupt", "chunkserver", s.opts.Name, "handle", c.handle, "how", how)
}
