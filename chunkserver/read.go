package chunkserver

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/disk"
)

// maxReadBytes bounds one ranged read.
const maxReadBytes = 1 << 20

// ReadChunk returns durable bytes of the replica: with length 0 the one record
// at the offset, its checksum verified; otherwise a range as it is, up to 1 MiB,
// whose frames the reader verifies. DATA_LOSS means a record whose header is
// sound and whose payload is not.
func (s *Server) ReadChunk(ctx context.Context, r *api.ReadChunkRequest) (*api.ReadChunkReply, error) {
	c := s.chunk(r.Handle)
	if c == nil {
		return &api.ReadChunkReply{Code: api.Code_NOT_FOUND}, nil
	}
	c.mu.Lock()
	f, version, end, failed := c.file, c.head.version, c.durable, c.failed
	c.mu.Unlock()
	switch {
	case failed != nil || s.ctx.Err() != nil:
		return nil, status.Error(codes.Unavailable, "the replica cannot be read")
	case f == nil || version == 0:
		return &api.ReadChunkReply{Code: api.Code_NOT_FOUND}, nil
	case version < r.Version:
		return &api.ReadChunkReply{Code: api.Code_STALE, Version: version, End: end}, nil
	}
	reply := &api.ReadChunkReply{Version: version, End: end}
	var err error
	if r.Length == 0 {
		reply.Data, err = readRecord(f, r.Handle, r.Offset, end)
	} else {
		reply.Data, err = readRange(f, r.Offset, min(uint64(r.Length), maxReadBytes), end)
	}
	switch {
	case errors.Is(err, errNoRecord):
		reply.Code = api.Code_NOT_FOUND
		return reply, nil
	case errors.Is(err, api.ErrFrameChecksum):
		return nil, status.Errorf(codes.DataLoss, "record at offset %d: %v", r.Offset, err)
	case err != nil:
		return nil, status.Errorf(codes.Internal, "read chunk: %v", err)
	}
	return reply, nil
}

var errNoRecord = errors.New("no whole record at the offset")

// readRange returns the bytes of [offset, offset+length) below end.
func readRange(f disk.File, offset, length, end uint64) ([]byte, error) {
	if offset >= end {
		return nil, nil
	}
	b := make([]byte, min(length, end-offset))
	n, err := f.ReadAt(b, dataStart+int64(offset))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// readRecord returns the frame that starts at offset; of a pad, its header.
func readRecord(f disk.File, handle, offset, end uint64) ([]byte, error) {
	head, err := readRange(f, offset, api.FrameOverhead+api.MaxClientBytes, end)
	if err != nil {
		return nil, err
	}
	h, n, err := api.ParseFrameHeader(head)
	if err != nil || h.Handle != handle || h.Offset != offset {
		return nil, errNoRecord
	}
	if h.Kind == api.FramePad {
		return head[:n], nil
	}
	b, err := readRange(f, offset, h.Size(), end)
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
