package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// TestDamagedSnapshot: every flipped byte and every cut is refused, and the state
// stays as it was.
func TestDamagedSnapshot(t *testing.T) {
	s := furnished(t).s
	var image bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&image); err != nil {
		t.Fatal(err)
	}
	target := New()
	before := target.Hash()
	for i := range image.Len() {
		bad := bytes.Clone(image.Bytes())
		bad[i] ^= 0x41
		for _, in := range [][]byte{bad, image.Bytes()[:i]} {
			if err := target.Restore(bytes.NewReader(in)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("byte %d of %d: error %v, want ErrSnapshot", i, image.Len(), err)
			}
		}
	}
	if target.Hash() != before {
		t.Fatal("a failed Restore changed the state")
	}
	if err := target.Restore(&image); err != nil || target.Hash() != s.Hash() {
		t.Fatalf("the whole snapshot: %v", err)
	}
}

// FuzzRestore: no bytes can make Restore panic, or change a state that it
// refuses to replace; a state that it accepts can be used and is sound.
func FuzzRestore(f *testing.F) {
	s := furnished(f).s
	var image bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&image); err != nil {
		f.Fatal(err)
	}
	f.Add(image.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		restoreHostile(t, raw)
		// Most damage is caught by the checksum, so mend it, and the hash too.
		if len(raw) < 4 {
			return
		}
		mended := binary.LittleEndian.AppendUint32(raw[:len(raw)-4:len(raw)-4], crc32.Checksum(raw[:len(raw)-4], castagnoli))
		restoreHostile(t, mended)
	})
}

func restoreHostile(t *testing.T, raw []byte) {
	s := New()
	if err := s.Restore(bytes.NewReader(raw)); err != nil {
		if !errors.Is(err, ErrSnapshot) || s.Hash() != New().Hash() {
			t.Fatalf("refused with %v, or changed", err)
		}
		return
	}
	if rehash(s) != s.Hash() {
		t.Fatal("the hash is not that of what was restored")
	}
	for _, p := range []string{"/", "/d", "/d/f"} {
		s.Stat(p)
		s.ChunkAt(p, 0)
	}
	var raws [][]byte
	for _, cmd := range furnished(t).log {
		cmd.Client, cmd.StampNs = "", math.MaxInt64
		raws = append(raws, encode(t, cmd))
	}
	for _, cmd := range []*metapb.Command{deleteAllOf("/d"), deleteAllOf("/g"), purgeOf(1), purgeOf(1000)} {
		raws = append(raws, encode(t, cmd))
	}
	s.Apply(s.index+1, raws)
}

// FuzzApply: no bytes can make Apply panic; bytes that are no command change
// nothing; and what it does with the others is the twin's business too.
func FuzzApply(f *testing.F) {
	w := furnished(f)
	f.Add([]byte{})
	f.Add([]byte{0x52, 0x00})
	info, _ := w.s.Stat("/d/f")
	file, shared := info.ID, info.Chunks[0]
	private := uint64(0)
	for key := range w.s.copies.From(nil) {
		private = binary.BigEndian.Uint64(key)
	}
	fence := intentOf(3, 1, "a")
	fence.GetGrantIntent().Fences = 9
	for _, cmd := range append([]*metapb.Command{
		createOf("/d/new"), renameOf("/d", "/e"), renameOf("/g", "/d/g"), deleteAllOf("/d"), undeleteOf("/s", 0), at(1<<60, purgeOf(2)), strictOf("/g", 2),
		snapshotOf("/d", "/c"), snapshotOf("/g", "/c"), quotaOf("/", 9, 9), commitOf(file, 0, shared, private, 0), commitOf(file, 0, shared, private, 1, "a"),
		addOf(3, 1, "c"), removeOf(3, 1, "b"), expediteOf("/s", 5<<20), endOf(5, 27), fence,
		setOf(&metapb.SetAttributesOp{Path: "/d", Replicas: proto.Uint32(2), Clear: []string{"max_files"}}),
	}, w.log...) {
		f.Add(encode(f, cmd))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, tw := New(), newTwin(SessionEntries, SessionLimit)
		for i, cmd := range w.log {
			s.Apply(uint64(i+1), [][]byte{encode(t, cmd)})
			tw.apply(uint64(i+1), 0, cmd)
		}
		before, index := s.Hash(), s.index+1
		got := decode(t, s.Apply(index, [][]byte{raw})[0])
		cmd := new(metapb.Command)
		if err := proto.Unmarshal(raw, cmd); err != nil {
			if Code(got.Code) != Invalid || s.Hash() != before {
				t.Fatalf("bytes that are no command: reply %v, hash %s before, %s after", got, before, s.Hash())
			}
			return
		}
		if want := tw.apply(index, 0, cmd); !proto.Equal(got, want) {
			t.Fatalf("command %v: reply %v, twin says %v", cmd, got, want)
		}
		if rehash(s) != s.Hash() {
			t.Fatal("the incremental hash has drifted")
		}
	})
}
