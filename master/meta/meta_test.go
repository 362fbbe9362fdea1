package meta

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"gfslab/master/meta/metapb"
)

func encode(t testing.TB, cmd *metapb.Command) []byte {
	t.Helper()
	raw, err := proto.Marshal(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func decode(t testing.TB, raw []byte) *metapb.Reply {
	t.Helper()
	reply := new(metapb.Reply)
	if err := proto.Unmarshal(raw, reply); err != nil {
		t.Fatal(err)
	}
	if len(reply.ProtoReflect().GetUnknown()) > 0 {
		t.Fatalf("reply %x has unknown fields", raw)
	}
	return reply
}

// TestAgainstTwin: replies and every lookup agree with the naive twin, and the
// incremental hash with one computed anew.
func TestAgainstTwin(t *testing.T) {
	var seen [20]int
	rapid.Check(t, func(rt *rapid.T) {
		age := uint64(rapid.SampledFrom([]int{5, 1000}).Draw(rt, "session age"))
		limit := rapid.IntRange(1, 4).Draw(rt, "session limit")
		s, tw := newState(age, limit), newTwin(age, limit)
		index := uint64(0)
		for range rapid.IntRange(1, 160).Draw(rt, "entries") {
			index += uint64(rapid.IntRange(1, 3).Draw(rt, "gap"))
			var raws [][]byte
			var want []*metapb.Reply
			for k := range rapid.IntRange(1, 3).Draw(rt, "batch") {
				cmd := generator{rt, s}.command()
				raws = append(raws, encode(t, cmd))
				want = append(want, tw.apply(index, uint32(k), cmd))
			}
			for k, raw := range s.Apply(index, raws) {
				got := decode(t, raw)
				if !proto.Equal(got, want[k]) {
					rt.Fatalf("entry %d command %d: reply %v, twin says %v", index, k, got, want[k])
				}
				seen[got.Code]++
			}
			compare(rt, s, tw)
			if fresh := rehash(s); fresh != s.Hash() {
				rt.Fatalf("entry %d: incremental hash %s, anew %s", index, s.Hash(), fresh)
			}
		}
	})
	t.Logf("answers by code: %v", seen)
	for _, code := range []Code{
		OK, NotFound, Exists, NotDirectory, IsDirectory, NotEmpty, Invalid, NoChunk, LeaseHeld, Stale,
		Shared, Quota, NotSealed, Sealed, WrongKind,
	} {
		if seen[code] == 0 {
			t.Errorf("no generated command was answered with code %d: %v", code, seen)
		}
	}
}

// rehash computes the hash from the items alone.
func rehash(s *State) string {
	copied := State{sum: sumOf(s), nextHandle: s.nextHandle, nextCopy: s.nextCopy, time: s.time}
	return copied.Hash()
}

// sumOf is the sum of all that is in the tables.
func sumOf(s *State) digest {
	var copied State
	for key, value := range s.extents.From(nil) {
		fileID, group, _ := decodeExtentKey(key)
		handles, _ := appendHandles(nil, value)
		for i, handle := range handles {
			copied.sum.add(slotHash(fileID, group*groupSlots+uint32(i), handle))
		}
	}
	for key, value := range s.attributes.From(nil) {
		copied.sum.add(itemHash('a', key, value))
	}
	for key, value := range s.copies.From(nil) {
		copied.sum.add(itemHash('p', key, value))
	}
	for key, value := range s.names.From(nil) {
		_, hashed, _ := decodeNode(value)
		copied.sum.add(itemHash('n', key, value[:hashed]))
	}
	for key, value := range s.chunks.From(nil) {
		copied.sum.add(itemHash('c', key, value))
	}
	for key, value := range s.sessions.From(nil) {
		_, hashed, _ := decodeSession(value)
		copied.sum.add(itemHash('s', key, value[:hashed]))
	}
	for n, name := range s.servers {
		copied.sum.add(itemHash('d', appendUints(nil, uint64(n)), []byte(name)))
	}
	return copied.sum
}

// TestReplay: the same log gives the same replies and hashes, and so does a
// snapshot at any entry followed by the rest, written while the rest is applied.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type entry struct {
			index    uint64
			commands [][]byte
			replies  [][]byte
			hash     string
		}
		age := uint64(rapid.SampledFrom([]int{5, 1000}).Draw(rt, "session age"))
		limit := rapid.IntRange(1, 4).Draw(rt, "session limit")
		first := newState(age, limit)
		cut := rapid.IntRange(0, 39).Draw(rt, "snapshot at")
		var log []entry
		var captured *Snapshot
		for i := range 40 {
			if i == cut {
				captured = first.Snapshot()
			}
			e := entry{index: first.index + uint64(rapid.IntRange(1, 3).Draw(rt, "gap"))}
			for range rapid.IntRange(1, 3).Draw(rt, "batch") {
				e.commands = append(e.commands, encode(t, generator{rt, first}.command()))
			}
			e.replies = first.Apply(e.index, e.commands)
			e.hash = first.Hash()
			log = append(log, e)
		}
		var image bytes.Buffer
		n, err := captured.WriteTo(&image) // later than the Apply calls that followed
		if err != nil || n != int64(image.Len()) {
			rt.Fatalf("WriteTo: %d of %d bytes, %v", n, image.Len(), err)
		}
		captured.Release()
		again, restored := newState(age, limit), newState(age, limit)
		if err := restored.Restore(bytes.NewReader(image.Bytes())); err != nil {
			rt.Fatal(err)
		}
		for i, e := range log {
			for name, s := range map[string]*State{"replayed": again, "restored": restored} {
				if name == "restored" && i < cut {
					continue
				}
				for k, got := range s.Apply(e.index, e.commands) {
					if !bytes.Equal(got, e.replies[k]) {
						rt.Fatalf("%s: entry %d command %d: reply %x, want %x", name, e.index, k, got, e.replies[k])
					}
				}
				if s.Hash() != e.hash {
					rt.Fatalf("%s: entry %d: hash %s, want %s", name, e.index, s.Hash(), e.hash)
				}
			}
		}
		var a, b bytes.Buffer
		for s, w := range map[*State]*bytes.Buffer{again: &a, restored: &b} {
			if _, err := s.Snapshot().WriteTo(w); err != nil {
				rt.Fatal(err)
			}
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			rt.Fatal("equal states wrote different snapshots")
		}
	})
}
