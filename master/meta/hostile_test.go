package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// TestDamagedSnapshot: every flipped byte and every cut is refused, and the state
// stays as it was.
func TestDamagedSnapshot(t *testing.T) {
	s := New()
	for i := range 6 {
		s.Apply(uint64(i+1), [][]byte{
			encode(t, &metapb.Command{Client: "c", Seq: uint64(i + 1), Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: fmt.Sprint("/f", i)}}}),
			encode(t, &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: fmt.Sprint("/f", i)}}}),
		})
	}
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
	s := New()
	s.Apply(1, [][]byte{
		encode(f, &metapb.Command{Client: "c", Seq: 1, Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: "/d"}}}),
		encode(f, &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/d/f"}}}),
		encode(f, &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/d/f"}}}),
		encode(f, intentOf(1, 0, "a", "b")),
	})
	s.Apply(2, [][]byte{encode(f, activeOf(1, 1, "a"))})
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
	s.Apply(s.index+1, [][]byte{encode(t, &metapb.Command{Client: "c", Seq: 9, Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: "/d/f"}}})})
}

// FuzzApply: no bytes can make Apply panic; bytes that are no command change
// nothing; and what it does with the others is the twin's business too.
func FuzzApply(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x52, 0x00})
	f.Add(encode(f, &metapb.Command{Client: "c", Seq: 1, Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/d/new"}}}))
	f.Add(encode(f, &metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: 1, Replicas: servers}}}))
	f.Add(encode(f, &metapb.Command{Op: &metapb.Command_Rename{Rename: &metapb.RenameOp{From: "/d", To: "/e"}}}))
	setup := [][]byte{
		encode(f, &metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: "/d"}}}),
		encode(f, &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/d/f"}}}),
		encode(f, &metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/d/f"}}}),
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, tw := New(), newTwin(SessionEntries, SessionLimit)
		s.Apply(1, setup)
		for k, c := range setup {
			cmd := new(metapb.Command)
			if err := proto.Unmarshal(c, cmd); err != nil {
				t.Fatal(err)
			}
			tw.apply(1, uint32(k), cmd)
		}
		before := s.Hash()
		got := decode(t, s.Apply(2, [][]byte{raw})[0])
		cmd := new(metapb.Command)
		if err := proto.Unmarshal(raw, cmd); err != nil {
			if Code(got.Code) != Invalid || s.Hash() != before {
				t.Fatalf("bytes that are no command: reply %v, hash %s before, %s after", got, before, s.Hash())
			}
			return
		}
		if want := tw.apply(2, 0, cmd); !proto.Equal(got, want) {
			t.Fatalf("command %v: reply %v, twin says %v", cmd, got, want)
		}
		if rehash(s) != s.Hash() {
			t.Fatal("the incremental hash has drifted")
		}
	})
}
