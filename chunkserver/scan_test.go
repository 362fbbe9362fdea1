package chunkserver

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gfslab/api"
)

// sealFrames makes each header that is in the bytes one of this chunk and place, with
// the right checksum: a fuzzer does not guess that.
func sealFrames(data []byte) []byte {
	const client, handleAt, offsetAt, fixed = 5, 16, 40, api.FrameOverhead - 4
	magic := encodeFrame(handle, 1, 1, 0, id(1), nil, 0)[:4]
	le := binary.LittleEndian
	data = bytes.Clone(data)
	for at := 0; ; {
		next := bytes.Index(data[at:], magic)
		if next < 0 || len(data)-at-next < api.FrameOverhead {
			return data
		}
		at += next
		f := data[at:]
		if n := fixed + int(f[client]); n+4 <= len(f) {
			le.PutUint64(f[handleAt:], handle)
			le.PutUint64(f[offsetAt:], uint64(at))
			le.PutUint32(f[n:], api.Checksum(f[:n]))
		}
		at += len(magic)
	}
}

// Whatever a chunk holds, every byte of it is part of one frame or of one gap.
func FuzzScan(f *testing.F) {
	first := encodeFrame(handle, 1, 1, 0, id(1), []byte("payload"), 0)
	f.Add(first)
	f.Add(encodeFrame(handle, 1, 1, 0, nil, nil, 500))
	f.Add(append(append(bytes.Clone(first), "a gap"...), encodeFrame(handle, 1, 2, uint64(len(first))+5, id(2), []byte("more"), 0)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkScan(t, data)
		checkScan(t, sealFrames(data))
		if s, err := decodeSlot(data); err == nil && s.handle == 0 && s.version == 0 && len(data) < slotBytes {
			t.Fatal("a slot from too few bytes")
		}
	})
}

func checkScan(t *testing.T, data []byte) {
	end, parts := 0, 0
	api.WalkFrames(data, handle, func(f api.Frame) {
		n := api.FrameSize(f.Client, len(f.Payload))
		if f.Offset != uint64(end) || end+n > len(data) {
			t.Fatalf("%+v, %d bytes of %d, does not begin at %d", f, n, len(data), end)
		}
		if again, _, err := api.ParseFrame(data[end:]); err != nil || again.Seq != f.Seq {
			t.Fatalf("%+v is no frame: %v", f, err)
		}
		end += n
		parts++
	}, func(from, to int) {
		if from != end || to <= from || to > len(data) {
			t.Fatalf("a gap [%d, %d) of %d does not begin at %d", from, to, len(data), end)
		}
		end = to
		parts++
	})
	if end != len(data) {
		t.Fatalf("%d of %d bytes are in a frame or a gap", end, len(data))
	}
	found := scanChunk(data, handle, 1)
	if len(found) != parts {
		t.Fatalf("%d records and fragments of %d frames and gaps", len(found), parts)
	}
	least := uint64(0)
	for _, r := range found {
		if r.Offset < least {
			t.Fatalf("%+v starts before %d", r, least)
		}
		least = r.Offset + 1
	}
}

// The bytes that a fuzzer changes must still reach what is behind a header's checksum.
func TestSealedFramesAreFound(t *testing.T) {
	data := append([]byte("torn"), encodeFrame(7, 1, 1, 3, id(1), []byte("payload"), 0)...)
	if found := scanChunk(data, handle, 1); len(found) != 1 || found[0].Kind != KindFragment {
		t.Fatalf("a frame of another chunk: %+v", found)
	}
	sealed := sealFrames(data)
	if found := scanChunk(sealed, handle, 1); len(found) != 2 || found[1].Kind != KindRecord || found[1].Offset != 4 || found[1].Length != 7 {
		t.Fatalf("sealed: %+v", found)
	}
	checkScan(t, sealed)
}
