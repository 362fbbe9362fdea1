package chunkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"gfslab/api"
)

// The redo record: what a batch writes over acknowledged bytes, with the slots
// that its blocks get. It is durable before the first of those bytes changes, so
// a power cut in between is mended at the next start. There is one record a
// file, at a fixed place; it counts as long as no later batch is in the table.
const (
	redoMagic  = 0x4a534647 // "GFSJ"
	redoFormat = 1
	redoHeader = 48
	redoEntry  = 24
)

var errNoRedo = errors.New("no whole redo record")

type redoRecord struct {
	handle uint64
	batch  uint64
	blocks []redoBlock // ascending
}

// redoBlock gives one block its bytes [lo, lo+len(data)) and its slot.
type redoBlock struct {
	index int
	block block
	lo    uint32
	data  []byte
}

func (r *redoRecord) encode() []byte {
	le := binary.LittleEndian
	size := redoHeader
	for _, b := range r.blocks {
		size += redoEntry + len(b.data)
	}
	out := make([]byte, redoHeader, size)
	for _, b := range r.blocks {
		flags := uint32(0)
		if b.block.padded {
			flags = flagPadded
		}
		for _, v := range []uint32{uint32(b.index), b.block.len, b.block.crc, flags, b.lo, uint32(len(b.data))} {
			out = le.AppendUint32(out, v)
		}
		out = append(out, b.data...)
	}
	le.PutUint32(out, redoMagic)
	le.PutUint32(out[4:], redoFormat)
	le.PutUint64(out[8:], r.handle)
	le.PutUint64(out[16:], r.batch)
	le.PutUint64(out[24:], uint64(size-redoHeader))
	le.PutUint32(out[32:], uint32(len(r.blocks)))
	le.PutUint32(out[36:], api.Checksum(out[redoHeader:]))
	le.PutUint32(out[redoHeader-4:], api.Checksum(out[:redoHeader-4]))
	return out
}

// decodeRedoHeader returns how long the body is.
func decodeRedoHeader(b []byte) (body uint64, err error) {
	le := binary.LittleEndian
	if len(b) < redoHeader || le.Uint32(b) != redoMagic || le.Uint32(b[redoHeader-4:]) != api.Checksum(b[:redoHeader-4]) {
		return 0, errNoRedo
	}
	if f := le.Uint32(b[4:]); f != redoFormat {
		return 0, fmt.Errorf("redo record of format %d, this build knows %d", f, redoFormat)
	}
	return le.Uint64(b[24:]), nil
}

// decodeRedo reads a whole record of a chunk with that many blocks.
func decodeRedo(b []byte, blocks int) (*redoRecord, error) {
	size, err := decodeRedoHeader(b)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	body := b[redoHeader:]
	if size > uint64(len(body)) {
		return nil, errNoRedo
	}
	body = body[:size]
	if le.Uint32(b[36:]) != api.Checksum(body) {
		return nil, errNoRedo
	}
	r := &redoRecord{handle: le.Uint64(b[8:]), batch: le.Uint64(b[16:])}
	last := -1
	for range le.Uint32(b[32:]) {
		if len(body) < redoEntry {
			return nil, errNoRedo
		}
		n := le.Uint32(body[20:])
		e := redoBlock{index: int(le.Uint32(body)), lo: le.Uint32(body[16:])}
		e.block = block{batch: r.batch, len: le.Uint32(body[4:]), crc: le.Uint32(body[8:]), padded: le.Uint32(body[12:])&flagPadded != 0}
		body = body[redoEntry:]
		if e.index <= last || e.index >= blocks || e.block.len > blockBytes || e.block.len == 0 ||
			uint64(n) > uint64(len(body)) || uint64(e.lo)+uint64(n) > uint64(e.block.len) {
			return nil, errNoRedo
		}
		last = e.index
		e.data, body = body[:n:n], body[n:]
		r.blocks = append(r.blocks, e)
	}
	if len(body) != 0 || r.batch == 0 {
		return nil, errNoRedo
	}
	return r, nil
}

// readRedo returns the file's record, or errNoRedo.
func readRedo(f io.ReaderAt, l layout) (*redoRecord, error) {
	head := make([]byte, redoHeader)
	if n, err := f.ReadAt(head, l.journalStart()); n < redoHeader {
		if err == nil || errors.Is(err, io.EOF) {
			err = errNoRedo
		}
		return nil, err
	}
	size, err := decodeRedoHeader(head)
	if err != nil {
		return nil, err
	}
	if most := uint64(l.blocks()) * (blockBytes + redoEntry); size > min(most, math.MaxInt32) {
		return nil, errNoRedo
	}
	b := make([]byte, redoHeader+size)
	if n, err := f.ReadAt(b, l.journalStart()); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = errNoRedo
		}
		return nil, err
	}
	return decodeRedo(b, l.blocks())
}
