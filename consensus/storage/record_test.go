package storage

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestChunksAgree reads what pebble's writer wrote with our reader and with its.
func TestChunksAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var file bytes.Buffer
	w := record.NewWriter(&file)
	var want [][]byte
	for range 400 {
		p := make([]byte, rng.IntN(1000))
		if rng.IntN(5) == 0 {
			// End near or on a block's end, where trailers and empty chunks are.
			p = make([]byte, (blockBytes-int(w.Size()%blockBytes)-2*chunkHeader+rng.IntN(24)-8+blockBytes)%blockBytes)
		}
		if rng.IntN(40) == 0 {
			p = make([]byte, rng.IntN(200000))
		}
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		if _, err := w.WriteRecord(p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	data := append(file.Bytes(), make([]byte, 100)...)
	theirs := record.NewReader(bytes.NewReader(data), 0)
	off := 0
	for i, p := range want {
		got, next, st := readRecord(data, off)
		if st != readOK || !bytes.Equal(got, p) {
			t.Fatalf("record %d: status %d, %d bytes, want %d", i, st, len(got), len(p))
		}
		r, err := theirs.Next()
		if err != nil {
			t.Fatal(err)
		}
		if other, err := io.ReadAll(r); err != nil || !bytes.Equal(got, other) {
			t.Fatalf("record %d: readers disagree: %v", i, err)
		}
		off = next
	}
	if _, _, st := readRecord(data, off); st != readEnd {
		t.Fatalf("status %d at the end", st)
	}
}

// TestConfirmedAcrossBlocks puts the confirming record's header over the end of
// a block, at every split.
func TestConfirmedAcrossBlocks(t *testing.T) {
	for short := range headerBytes + chunkHeader + 2 {
		var file bytes.Buffer
		w := record.NewWriter(&file)
		rec := func(seq uint64, size int) {
			p := appendHeader(nil, header{version: formatVersion, kind: kindBatch, segment: 3, seq: seq, durable: seq - 1, oldest: 3})
			if _, err := w.WriteRecord(append(p, make([]byte, size)...)); err != nil {
				t.Fatal(err)
			}
		}
		rec(1, 100)
		bad := int(w.Size())
		rec(2, blockBytes-bad-2*chunkHeader-headerBytes-short+chunkHeader)
		rec(3, 10)
		data := file.Bytes()
		data[bad+20] ^= 1
		if _, yes := confirmed(data, bad, 3, 2); !yes {
			t.Errorf("%d bytes before the end of the block: not confirmed", short)
		}
		if _, yes := confirmed(data, bad, 4, 2); yes {
			t.Errorf("%d: confirmed by another segment", short)
		}
		if _, yes := confirmed(data, bad, 3, 3); yes {
			t.Errorf("%d: confirmed a record that was not durable", short)
		}
	}
}

// TestUnknownFormat: a record of a later version is refused, not cut away.
func TestUnknownFormat(t *testing.T) {
	for _, at := range []int{0, 1} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("d", 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := fs.Create("d/"+segmentName(1), "")
		if err != nil {
			t.Fatal(err)
		}
		w := record.NewWriter(f)
		for i := range at + 1 {
			h := header{version: formatVersion, kind: kindHead, segment: 1, seq: uint64(i) + 1, durable: uint64(i), oldest: 1}
			p := appendBody(appendHeader(nil, h), &Batch{}, cut{})
			if i == at {
				p = []byte{formatVersion + 1, 0, 0}
			}
			if _, err := w.WriteRecord(p); err != nil {
				t.Fatal(err)
			}
		}
		_, err = Open(Options{FS: fs, Dir: "d"})
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), segmentName(1)) {
			t.Fatalf("version in record %d: %v", at, err)
		}
	}
}

// FuzzDecode: the decoder neither panics nor accepts what it would not write.
func FuzzDecode(f *testing.F) {
	f.Add(appendBody(nil, &Batch{}, cut{}))
	f.Add(appendBody(nil, &Batch{HardState: []byte("h"), TruncateFrom: 4, CompactTo: 2,
		Entries: []Entry{{Index: 3, Stamp: 1 << 60, Data: []byte("data")}, {Index: 300, Data: nil}},
		Stable:  []KV{{Key: "k", Value: []byte{}}, {Key: "gone"}}}, cut{1, 2, 3}))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, p []byte) {
		b, c, err := decodeBody(p)
		if err != nil {
			return
		}
		again, c2, err := decodeBody(appendBody(nil, &b, c))
		if err != nil || c != c2 || !reflect.DeepEqual(b, again) {
			t.Fatalf("%+v became %+v (%v)", b, again, err)
		}
	})
}

// FuzzRead: no bytes of a segment make the reader or the scan panic.
func FuzzRead(f *testing.F) {
	var file bytes.Buffer
	w := record.NewWriter(&file)
	for i := range 3 {
		if _, err := w.WriteRecord(make([]byte, 20*i)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, p []byte) {
		for off := 0; ; {
			_, next, st := readRecord(p, off)
			if st != readOK {
				confirmed(p, off, 1, 1)
				return
			}
			if next <= off {
				t.Fatalf("no progress at %d", off)
			}
			off = next
		}
	})
}
