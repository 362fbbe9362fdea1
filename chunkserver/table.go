package chunkserver

import (
	"encoding/binary"
	"fmt"

	"gfslab/api"
	"gfslab/internal/disk"
)

// A chunk's file holds, in this order: two header slots in the first page; the
// table of blocks; the chunk's bytes; and, only once acknowledged bytes were
// written over, the redo record (journal.go).
//
// The table has an entry a block of 64 KiB, of two slots that are written in
// turn: length and crc32c of the block's bytes, and the number of the batch that
// wrote them. Data and slots go to the disk with one sync. If the power goes
// before it is done, the slot of what was acknowledged is still there, and so
// are its bytes: appending changes none of them. What a disk must promise is
// that a sector of 512 bytes is written whole or not at all.
const (
	blockBytes = 64 << 10
	pageBytes  = 4096
	entryBytes = 64
	entrySlot  = entryBytes / 2
	tableStart = pageBytes
)

// layout says where things are in the file of a chunk of this size.
type layout struct{ chunkBytes int64 }

func (l layout) blocks() int { return int((l.chunkBytes + blockBytes - 1) / blockBytes) }

func (l layout) dataStart() int64 {
	table := int64(l.blocks() * entryBytes)
	return tableStart + (table+pageBytes-1)/pageBytes*pageBytes
}

func (l layout) journalStart() int64 {
	return l.dataStart() + (l.chunkBytes+pageBytes-1)/pageBytes*pageBytes
}

// DataStart is where the bytes of a chunk begin in the file of a chunk of that
// size, in bytes.
func DataStart(chunkBytes int64) int64 { return layout{chunkBytes}.dataStart() }

// ChunkPath is the file of a chunk below a chunkserver's directory.
func ChunkPath(fs disk.FS, dir string, handle uint64) string {
	return fs.PathJoin(dir, chunkFolder, chunkFile(handle))
}

// block is what is known of one block: all but a chunk's last are full.
type block struct {
	batch uint64 // that wrote it
	len   uint32
	crc   uint32
	// at is the slot in use, 0 or 1; the next one goes to the other.
	at uint8
	// padded: a pad begins here or before, so nothing is appended.
	padded bool
	// bad: neither slot is right, or the bytes are not what they were.
	bad bool
}

const flagPadded = 1

// encodeEntrySlot makes a slot; its own checksum covers where it belongs.
func encodeEntrySlot(handle uint64, index int, b block) []byte {
	le := binary.LittleEndian
	out := make([]byte, entrySlot, entrySlot+16)
	le.PutUint64(out, b.batch)
	le.PutUint32(out[8:], b.len)
	le.PutUint32(out[12:], b.crc)
	if b.padded {
		out[16] = flagPadded
	}
	le.PutUint32(out[entrySlot-4:], entrySum(handle, index, out))
	return out
}

func entrySum(handle uint64, index int, slot []byte) uint32 {
	var place [entrySlot + 12]byte
	copy(place[:], slot[:entrySlot-4])
	binary.LittleEndian.PutUint64(place[entrySlot-4:], handle)
	binary.LittleEndian.PutUint64(place[entrySlot+4:], uint64(index))
	return api.Checksum(place[:])
}

// decodeEntrySlot reads a slot. An empty one is of batch 0.
func decodeEntrySlot(handle uint64, index int, b []byte) (block, error) {
	if len(b) < entrySlot {
		return block{}, fmt.Errorf("a table slot of %d bytes", len(b))
	}
	if zeros(b[:entrySlot]) {
		return block{}, nil
	}
	le := binary.LittleEndian
	out := block{batch: le.Uint64(b), len: le.Uint32(b[8:]), crc: le.Uint32(b[12:]), padded: b[16]&flagPadded != 0}
	switch {
	case le.Uint32(b[entrySlot-4:]) != entrySum(handle, index, b):
		return block{}, fmt.Errorf("the table slot of block %d does not match its checksum", index)
	case out.batch == 0 || out.len == 0 || out.len > blockBytes:
		return block{}, fmt.Errorf("the table slot of block %d contradicts itself", index)
	}
	return out, nil
}

// entryOffset is where the slot of a block stands in the file.
func entryOffset(index int, at uint8) int64 {
	return tableStart + int64(index)*entryBytes + int64(at)*entrySlot
}

// span returns the blocks [first, last] that [offset, end) touches; end > offset.
func span(offset, end uint64) (first, last int) {
	return int(offset / blockBytes), int((end - 1) / blockBytes)
}

// lengthOf is the number of bytes that the blocks hold.
func lengthOf(blocks []block) uint64 {
	if n := len(blocks); n > 0 {
		return uint64(n-1)*blockBytes + uint64(blocks[n-1].len)
	}
	return 0
}
