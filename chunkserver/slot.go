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
	slotFormat = 1
	slotBytes  = 48
	slotStride = 512
	// dataStart is where the chunk's bytes begin in its file.
	dataStart = 2 * slotStride
)

var errNoSlot = errors.New("no valid header")

// slot is the durable header of a chunk (handle, version, term) and of the
// chunkserver itself (handle 0; version counts boots).
type slot struct {
	handle     uint64
	version    uint64
	term       uint64
	generation uint64
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
	b = le.AppendUint32(b, 0)
	return le.AppendUint32(b, api.Checksum(b))
}

func decodeSlot(b []byte) (slot, error) {
	le := binary.LittleEndian
	if len(b) < slotBytes || le.Uint32(b) != slotMagic || le.Uint32(b[slotBytes-4:]) != api.Checksum(b[:slotBytes-4]) {
		return slot{}, errNoSlot
	}
	if f := le.Uint32(b[4:]); f != slotFormat {
		return slot{}, fmt.Errorf("format %d, this build knows %d", f, slotFormat)
	}
	return slot{handle: le.Uint64(b[8:]), version: le.Uint64(b[16:]), term: le.Uint64(b[24:]), generation: le.Uint64(b[32:])}, nil
}

// write puts the slot into its place; the caller syncs.
func (s slot) write(f disk.File) error {
	_, err := f.WriteAt(s.encode(), int64(s.generation%2)*slotStride)
	return err
}

// readSlot returns the newer of the two valid slots, or errNoSlot.
func readSlot(f io.ReaderAt) (slot, error) {
	var best slot
	found := false
	var b [slotBytes]byte
	for i := int64(0); i < 2; i++ {
		n, err := f.ReadAt(b[:], i*slotStride)
		if err != nil && !errors.Is(err, io.EOF) {
			return slot{}, err
		}
		s, err := decodeSlot(b[:n])
		if errors.Is(err, errNoSlot) {
			continue
		}
		if err != nil {
			return slot{}, err
		}
		if !found || s.generation > best.generation {
			best, found = s, true
		}
	}
	if !found {
		return slot{}, errNoSlot
	}
	return best, nil
}
