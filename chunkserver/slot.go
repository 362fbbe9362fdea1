package chunkserver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gfslab/api"
	"gfslab/internal/disk"
)

// A file starts with two slots that are written in turn, each in its own
// sector: a torn write spoils the slot that nobody relies on yet.
const (
	slotMagic  = 0x43534647 // "GFSC"
	slotFormat = 2
	slotBytes  = 72
	slotStride = 512
)

var errNoSlot = errors.New("no valid header")

// slot is the durable header of a chunk and of the chunkserver itself (handle 0;
// version counts boots).
type slot struct {
	handle     uint64
	version    uint64
	term       uint64
	generation uint64
	// chunkBytes, kind and settled are the chunk's only. settled is a batch that
	// was durable when the header was written.
	chunkBytes int64
	settled    uint64
	kind       api.ChunkKind
}

func (s slot) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, slotBytes)
	b = le.AppendUint32(b, slotMagic)
	b = le.AppendUint32(b, slotFormat)
	b = le.AppendUint64(b, s.handle)
	b = le.AppendUint64(b, s.version)
	b = le.AppendUint64(b, s.term)
	b = le.AppendUint64(b, s.generation)
	b = le.AppendUint64(b, uint64(s.chunkBytes))
	b = le.AppendUint64(b, s.settled)
	b = le.AppendUint32(b, uint32(s.kind))
	b = append(b, make([]byte, slotBytes-4-len(b))...)
	return le.AppendUint32(b, api.Checksum(b))
}

func decodeSlot(b []byte) (slot, error) {
	le := binary.LittleEndian
	if len(b) < 8 || le.Uint32(b) != slotMagic {
		return slot{}, errNoSlot
	}
	if f := le.Uint32(b[4:]); f != slotFormat && f > 0 && f < 16 {
		return slot{}, fmt.Errorf("format %d, this build knows %d", f, slotFormat)
	}
	if len(b) < slotBytes || le.Uint32(b[slotBytes-4:]) != api.Checksum(b[:slotBytes-4]) {
		return slot{}, errNoSlot
	}
	s := slot{
		handle: le.Uint64(b[8:]), version: le.Uint64(b[16:]), term: le.Uint64(b[24:]), generation: le.Uint64(b[32:]),
		chunkBytes: int64(le.Uint64(b[40:])), settled: le.Uint64(b[48:]), kind: api.ChunkKind(le.Uint32(b[56:])),
	}
	if s.handle != 0 && (s.chunkBytes < minChunkBytes || s.chunkBytes > maxChunkBytes) {
		return slot{}, errNoSlot
	}
	return s, nil
}

// write puts the slot into its place; the caller syncs.
func (s slot) write(f disk.File) error {
	_, err := f.WriteAt(s.encode(), int64(s.generation%2)*slotStride)
	return err
}

// readSlot returns the newer of the two valid slots, or errNoSlot. blank says
// that there is nothing at all in their places: the file is only half made.
func readSlot(f io.ReaderAt) (best slot, blank bool, err error) {
	found := false
	blank = true
	var b [slotBytes]byte
	for i := int64(0); i < 2; i++ {
		n, err := f.ReadAt(b[:], i*slotStride)
		if err != nil && !errors.Is(err, io.EOF) {
			return slot{}, false, err
		}
		blank = blank && zeros(b[:n])
		s, err := decodeSlot(b[:n])
		if errors.Is(err, errNoSlot) {
			continue
		}
		if err != nil {
			return slot{}, false, err
		}
		if !found || s.generation > best.generation {
			best, found = s, true
		}
	}
	if !found {
		return slot{}, blank, errNoSlot
	}
	return best, false, nil
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
