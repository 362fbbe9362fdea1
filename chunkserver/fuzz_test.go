package chunkserver

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gfslab/api"
)

// What a decoder accepts, the encoder makes again, and nothing else is accepted.

func FuzzHeader(f *testing.F) {
	f.Add(slot{handle: 3, version: 4, term: 5, generation: 6, chunkBytes: 1 << 20, settled: 7, kind: api.ChunkKind_BYTES}.encode())
	f.Add(slot{version: 9, generation: 1}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decodeSlot(data)
		if err == nil && !bytes.Equal(s.encode(), data[:slotBytes]) && zeros(data[60:slotBytes-4]) {
			t.Fatalf("%+v is encoded in another way", s)
		}
	})
}

func FuzzTableSlot(f *testing.F) {
	f.Add(uint64(3), 5, encodeEntrySlot(3, 5, block{batch: 9, len: 100, crc: 77}))
	f.Add(uint64(3), 0, encodeEntrySlot(3, 0, block{batch: 1, len: blockBytes, crc: 1, padded: true}))
	f.Add(uint64(1), 1, make([]byte, entrySlot))
	f.Fuzz(func(t *testing.T, handle uint64, index int, data []byte) {
		b, err := decodeEntrySlot(handle, index, data)
		if err != nil || b.batch == 0 {
			return
		}
		if b.len == 0 || b.len > blockBytes {
			t.Fatalf("%+v", b)
		}
		again, err := decodeEntrySlot(handle, index, encodeEntrySlot(handle, index, b))
		if err != nil || again != b {
			t.Fatalf("%+v comes back as %+v, %v", b, again, err)
		}
		if _, err := decodeEntrySlot(handle+1, index, data); err == nil {
			t.Fatal("the slot counts for another chunk too")
		}
	})
}

func redoSeed() *redoRecord {
	return &redoRecord{handle: 3, batch: 8, blocks: []redoBlock{
		{index: 0, block: block{batch: 8, len: 50, crc: 4}, lo: 10, data: []byte("overwritten")},
		{index: 2, block: block{batch: 8, len: blockBytes, crc: 5, padded: true}, lo: 0, data: []byte("x")},
	}}
}

func FuzzRedo(f *testing.F) {
	f.Add(redoSeed().encode(), 4)
	f.Add((&redoRecord{handle: 1, batch: 1}).encode(), 1)
	f.Fuzz(func(t *testing.T, data []byte, blocks int) {
		blocks = min(max(blocks, 0), 1<<16)
		r, err := decodeRedo(data, blocks)
		if err != nil {
			return
		}
		for _, b := range r.blocks {
			if b.index < 0 || b.index >= blocks || int(b.lo)+len(b.data) > int(b.block.len) || b.block.len > blockBytes {
				t.Fatalf("%+v", b)
			}
		}
		again, err := decodeRedo(r.encode(), blocks)
		if err != nil || again.batch != r.batch || again.handle != r.handle || len(again.blocks) != len(r.blocks) {
			t.Fatalf("%+v comes back as %+v, %v", r, again, err)
		}
	})
}

// Whatever a file holds, reading it ends, and what it says is within bounds.
func FuzzImage(f *testing.F) {
	const size = 8192
	head := slot{handle: handle, version: 2, term: 5, generation: 1, chunkBytes: size}.encode()
	table := make([]byte, pageBytes)
	copy(table, encodeEntrySlot(handle, 0, block{batch: 1, len: 5, crc: api.Checksum([]byte("hello"))}))
	f.Add(head, table, []byte("hello"), redoSeed().encode())
	f.Add(head, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, head, table, data, redo []byte) {
		l := layout{size}
		file := make([]byte, l.journalStart(), l.journalStart()+int64(len(redo)))
		copy(file[:tableStart], head)
		copy(file[tableStart:l.dataStart()], table)
		copy(file[l.dataStart():], data)
		file = append(file, redo...)
		m, err := readImage(bytes.NewReader(file), handle)
		if err != nil {
			return
		}
		if lengthOf(m.blocks) > uint64(m.lay.blocks())*blockBytes || len(m.blocks) > m.lay.blocks() {
			t.Fatalf("%d bytes in %d blocks", lengthOf(m.blocks), len(m.blocks))
		}
		for _, p := range m.clear {
			if p.index >= m.lay.blocks() || p.at > 1 {
				t.Fatalf("%+v is to be cleared", p)
			}
		}
	})
}

// Each flipped bit of the table or the header of a settled chunk is noticed, or
// changes nothing of what the chunk is said to hold.
func TestFlippedBitsOfHeaderAndTable(t *testing.T) {
	t.Logf("seed %d", testSeed)
	rng := rand.New(rand.NewPCG(testSeed, 9))
	l := layout{3 * blockBytes}
	file := make([]byte, l.dataStart()+l.chunkBytes)
	data := random(rng, 2*blockBytes+100)
	copy(file[l.dataStart():], data)
	for i := range 3 {
		part := data[i*blockBytes : min((i+1)*blockBytes, len(data))]
		copy(file[entryOffset(i, 0):], encodeEntrySlot(handle, i, block{batch: uint64(i) + 1, len: uint32(len(part)), crc: api.Checksum(part)}))
	}
	for generation := range uint64(2) {
		s := slot{handle: handle, version: 4, term: 5, generation: generation, chunkBytes: l.chunkBytes, settled: 3, kind: api.ChunkKind_BYTES}
		copy(file[generation*slotStride:], s.encode())
	}
	want, err := readImage(bytes.NewReader(file), handle)
	if err != nil || want.bad != "" || lengthOf(want.blocks) != uint64(len(data)) {
		t.Fatalf("%+v, %v", want, err)
	}
	for at := 0; at < tableStart+3*entryBytes; at++ {
		bad := bytes.Clone(file)
		bad[at] ^= 1 << rng.IntN(8)
		m, err := readImage(bytes.NewReader(bad), handle)
		if err != nil || m.bad != "" {
			continue
		}
		if m.head.version != 4 || lengthOf(m.blocks) != uint64(len(data)) || len(m.clear) != 0 {
			t.Fatalf("byte %d flipped: version %d, %d bytes, and nobody noticed", at, m.head.version, lengthOf(m.blocks))
		}
	}
	// A flipped bit of settled bytes is no torn write.
	bad := bytes.Clone(file)
	bad[l.dataStart()+2*blockBytes+50] ^= 1
	m, err := readImage(bytes.NewReader(bad), handle)
	if err != nil || lengthOf(m.blocks) != uint64(len(data)) {
		t.Fatalf("a flipped bit of the last block shortened the chunk: %+v, %v", m, err)
	}
}
