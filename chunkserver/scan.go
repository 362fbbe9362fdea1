package chunkserver

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"gfslab/api"
	"gfslab/internal/disk"
)

// The kinds of found records.
const (
	KindRecord   = "record"
	KindPad      = "pad"
	KindFragment = "fragment"
)

// FoundRecord is one record, pad or fragment found in a chunk file.
type FoundRecord struct {
	Handle uint64
	// Version is the replica's; Grant is the version under which the record
	// was written.
	Version uint64
	Grant   uint64
	Serial  uint64
	// Offset is where the frame starts in the chunk, as the append's reply said.
	Offset uint64
	// Length and CRC (crc32c) are of the payload as found on disk; of a
	// fragment: all its bytes. A pad has no payload on disk: its CRC is 0.
	Length uint32
	CRC    uint32
	Client string
	Seq    uint64
	Kind   string
}

const (
	chunkSuffix = ".chunk"
	partSuffix  = ".part" // a copy that is not whole yet
	chunkFolder = "chunks"
)

func chunkFile(handle uint64) string { return fmt.Sprintf("%016x%s", handle, chunkSuffix) }

// chunkHandle returns the handle that a file name stands for.
func chunkHandle(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, chunkSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	h, err := strconv.ParseUint(hex, 16, 64)
	return h, err == nil && h != 0
}

// FoundChunk is what a chunk's file holds.
type FoundChunk struct {
	Handle  uint64
	Version uint64
	Kind    api.ChunkKind
	Length  uint64
	// Full: it was padded, or is full to its last byte.
	Full bool
	// Blocks are the crc32c of the blocks of 64 KiB, of the bytes that are there.
	Blocks []uint32
	// Bad lists the blocks that do not match their checksums, and Damage says what
	// is wrong with header or table; empty if nothing is.
	Bad    []int
	Damage string
	// Records are the frames of a chunk of records, bad blocks included.
	Records []FoundRecord
}

// Scan reads the records of all chunks of a chunkserver's directory, by handle
// and offset; see ScanChunks.
func Scan(fs disk.FS, dir string) ([]FoundRecord, error) {
	chunks, err := ScanChunks(fs, dir)
	var found []FoundRecord
	for _, c := range chunks {
		found = append(found, c.Records...)
	}
	return found, err
}

// ScanChunks reads all chunks of a chunkserver's directory, by handle, as the
// chunkserver would find them at its next start, and verifies every block. The
// chunkserver should be closed. Chunks without any header are left out: their
// creation was never confirmed to anybody. One whose headers are both damaged
// has only a handle and Damage.
func ScanChunks(fs disk.FS, dir string) ([]FoundChunk, error) {
	folder := fs.PathJoin(dir, chunkFolder)
	names, err := fs.List(folder)
	if err != nil {
		return nil, fmt.Errorf("scan chunks: %w", err)
	}
	sort.Strings(names)
	var found []FoundChunk
	for _, name := range names {
		handle, ok := chunkHandle(name)
		if !ok {
			continue
		}
		c, err := scanFile(fs, fs.PathJoin(folder, name), handle)
		if errors.Is(err, errNoSlot) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("scan chunk %d: %w", handle, err)
		}
		found = append(found, c)
	}
	return found, nil
}

func scanFile(fs disk.FS, path string, handle uint64) (FoundChunk, error) {
	f, err := fs.Open(path)
	if err != nil {
		return FoundChunk{}, err
	}
	defer f.Close()
	m, err := readImage(f, handle)
	switch {
	case errors.Is(err, errNoSlot):
		return FoundChunk{}, err
	case err != nil:
		return FoundChunk{Handle: handle, Damage: err.Error()}, nil
	}
	c := FoundChunk{Handle: handle, Version: m.head.version, Kind: m.head.kind, Length: lengthOf(m.blocks), Full: m.full, Damage: m.bad}
	all := make([]byte, 0, c.Length)
	for i, b := range m.blocks {
		data, err := m.readBlock(f, i, b)
		if err != nil {
			return c, err
		}
		sum := api.Checksum(data)
		c.Blocks = append(c.Blocks, sum)
		if b.bad || sum != b.crc {
			c.Bad = append(c.Bad, i)
		}
		all = append(all, data...)
	}
	if c.Kind == api.ChunkKind_RECORDS {
		c.Records = scanChunk(all, handle, c.Version)
	}
	return c, nil
}

// scanChunk lists a chunk's frames and what lies between them.
func scanChunk(data []byte, handle, version uint64) []FoundRecord {
	var found []FoundRecord
	frame := func(f api.Frame) {
		r := FoundRecord{Handle: handle, Version: version, Grant: f.Version, Serial: f.Serial, Offset: f.Offset,
			Length: f.Length, CRC: f.CRC, Client: f.Client, Seq: f.Seq, Kind: KindRecord}
		if f.Kind == api.FramePad {
			r.Kind, r.CRC = KindPad, 0
		}
		found = append(found, r)
	}
	gap := func(start, end int) {
		r := FoundRecord{Handle: handle, Version: version, Offset: uint64(start), Length: uint32(end - start),
			CRC: api.Checksum(data[start:end]), Kind: KindFragment}
		if end == len(data) && end-start < api.FrameOverhead && filler(data[start:end]) {
			r.Kind = KindPad
		}
		found = append(found, r)
	}
	api.WalkFrames(data, handle, frame, gap)
	return found
}

func filler(b []byte) bool {
	for _, c := range b {
		if c != api.PadFiller {
			return false
		}
	}
	return true
}
