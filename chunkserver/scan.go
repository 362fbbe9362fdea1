package chunkserver

import (
	"errors"
	"fmt"
	"io"
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

// Scan reads all chunks of a chunkserver's directory, by handle and offset. The
// chunkserver should be closed. Chunks without a valid header are left out:
// their creation was never confirmed to anybody.
func Scan(fs disk.FS, dir string) ([]FoundRecord, error) {
	folder := fs.PathJoin(dir, chunkFolder)
	names, err := fs.List(folder)
	if err != nil {
		return nil, fmt.Errorf("scan chunks: %w", err)
	}
	sort.Strings(names)
	var found []FoundRecord
	for _, name := range names {
		handle, ok := chunkHandle(name)
		if !ok {
			continue
		}
		records, err := scanFile(fs, fs.PathJoin(folder, name), handle)
		if errors.Is(err, errNoSlot) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("scan chunk %d: %w", handle, err)
		}
		found = append(found, records...)
	}
	return found, nil
}

func scanFile(fs disk.FS, path string, handle uint64) ([]FoundRecord, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := readSlot(f)
	if err != nil {
		return nil, err
	}
	data, err := readData(f)
	if err != nil {
		return nil, err
	}
	return scanChunk(data, handle, head.version), nil
}

// readData returns all of the chunk's bytes.
func readData(f disk.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n := info.Size() - dataStart
	if n <= 0 {
		return nil, nil
	}
	data := make([]byte, n)
	got, err := f.ReadAt(data, dataStart)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:got], nil
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
