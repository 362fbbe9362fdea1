package meta

import (
	"bytes"
	"slices"
	"strings"
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

// universe is every path that a generated command uses, apart from broken ones.
var universe = []string{"/", "/a", "/b", "/ab", "/a/x", "/a/y", "/b/x", "/a/x/p", "/a/x/q", "/b/x/p", "/a/x/p/r"}

var servers = []string{"cs1", "cs2", "cs3", "cs4"}

// genCommand draws a command. Handles, versions, indexes and epochs are drawn
// near those that exist, so that the interesting branches are reached.
func genCommand(rt *rapid.T, s *State, index uint64) *metapb.Command {
	p := func(label string) string {
		if rapid.IntRange(0, 30).Draw(rt, label+"?") == 0 {
			return rapid.SampledFrom([]string{"", "a", "/a/", "//", "/.", "/a/../b", "/a//x", "/" + strings.Repeat("n", 256), "/nul\x00"}).Draw(rt, label)
		}
		return rapid.SampledFrom(universe).Draw(rt, label)
	}
	cmd := &metapb.Command{StampNs: rapid.Int64Range(-5, 1000).Draw(rt, "stamp")}
	if rapid.IntRange(0, 3).Draw(rt, "session?") > 0 {
		cmd.Client = rapid.SampledFrom([]string{"c1", "c2", "c3", "c4"}).Draw(rt, "client")
		var last uint64
		if x, found := s.loadSession(cmd.Client); found {
			last = x.seq
		}
		cmd.Seq = last + uint64(rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(rt, "seq"))
		if last > 1 && rapid.IntRange(0, 9).Draw(rt, "old?") == 0 {
			cmd.Seq = last - 1
		}
	}
	handle := rapid.Uint64Range(0, s.nextHandle).Draw(rt, "handle")
	c, _ := s.loadChunk(handle)
	named := func(numbers []uint32) (names []string) {
		for _, n := range numbers {
			names = append(names, s.servers[n])
		}
		return names
	}
	near := func(label string, v uint64) uint64 {
		if rapid.IntRange(0, 9).Draw(rt, label+"?") > 0 {
			return v
		}
		return v + uint64(rapid.IntRange(0, 2).Draw(rt, label))
	}
	names := func(label string, likely []string) []string {
		from := likely
		if len(from) == 0 || rapid.IntRange(0, 9).Draw(rt, label+"?") == 0 {
			from = servers
		}
		n := rapid.IntRange(0, len(from)).Draw(rt, label+" count")
		return slices.Clone(rapid.Permutation(from).Draw(rt, label)[:n])
	}
	switch rapid.IntRange(0, 9).Draw(rt, "op") {
	case 0:
		cmd.Op = &metapb.Command_Create{Create: &metapb.PathOp{Path: p("path")}}
	case 1, 2:
		cmd.Op = &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: p("path")}}
	case 3:
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: p("path")}}
	case 4:
		cmd.Op = &metapb.Command_Rename{Rename: &metapb.RenameOp{From: p("from"), To: p("to")}}
	case 5, 6:
		cmd.Op = &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: p("path"), ChunkIndex: rapid.Uint32Range(0, 2).Draw(rt, "slot")}}
	case 7:
		cmd.Op = &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: near("version", c.version), Replicas: names("replicas", named(c.members))}}
	case 8:
		g := &metapb.GrantActiveOp{Handle: handle, IntentIndex: near("intent", c.intent.index), Acked: names("acked", named(c.intent.replicas))}
		if len(g.Acked) > 0 {
			g.Primary = g.Acked[0]
		}
		cmd.Op = &metapb.Command_GrantActive{GrantActive: g}
	case 9:
		if rapid.IntRange(0, 20).Draw(rt, "no op") > 0 {
			cmd.Op = &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: near("epoch", c.lease.epoch)}}
		}
	}
	return cmd
}

// TestAgainstTwin: replies and every lookup agree with the naive twin, and the
// incremental hash with one computed anew.
func TestAgainstTwin(t *testing.T) {
	var seen [12]int
	rapid.Check(t, func(rt *rapid.T) {
		age := uint64(rapid.SampledFrom([]int{5, 1000}).Draw(rt, "session age"))
		limit := rapid.IntRange(1, 4).Draw(rt, "session limit")
		s, tw := newState(age, limit), newTwin(age, limit)
		s.Apply(1, [][]byte{encode(t, &metapb.Command{Op: &metapb.Command_SetAttributes{SetAttributes: &metapb.SetAttributesOp{Path: "/", RetentionNs: new(int64)}}})})
		index := uint64(1)
		for range rapid.IntRange(1, 60).Draw(rt, "entries") {
			index += uint64(rapid.IntRange(1, 3).Draw(rt, "gap"))
			var raws [][]byte
			var want []*metapb.Reply
			for k := range rapid.IntRange(1, 3).Draw(rt, "batch") {
				cmd := genCommand(rt, s, index)
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
	for _, code := range []Code{OK, NotFound, Exists, NotDirectory, IsDirectory, NotEmpty, Invalid, NoChunk, Stale} {
		if seen[code] == 0 {
			t.Errorf("no generated command was answered with code %d: %v", code, seen)
		}
	}
}

// rehash computes the hash from the items alone.
func rehash(s *State) string {
	copied := State{tables: s.tables, nextHandle: s.nextHandle, nextCopy: s.nextCopy, time: s.time}
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
	return copied.Hash()
}

func compare(rt *rapid.T, s *State, tw *twin) {
	nodes, chunks, sessions := s.Sizes()
	if nodes-s.expiry.Len() != len(tw.files) || chunks != len(tw.chunks) || sessions != len(tw.sessions) || s.Time() != tw.time || s.ages.Len() != sessions {
		rt.Fatalf("%d nodes, %d chunks, %d sessions, %d queued, time %d; twin has %d, %d, %d, %d",
			nodes, chunks, sessions, s.ages.Len(), s.Time(), len(tw.files), len(tw.chunks), len(tw.sessions), tw.time)
	}
	for _, p := range universe {
		info, code := s.Stat(p)
		f, there := tw.files[p]
		if (code == OK) != there || code != OK && code != NotFound || info.ID != f.id || info.Directory != f.dir {
			rt.Fatalf("stat %s: %+v code %d; twin has %+v, %v", p, info, code, f, there)
		}
		var handles []uint64
		for slot, c := range tw.chunksOf(f.id) {
			handles = append(handles, c.handle)
			if at, code := s.ChunkAt(p, uint32(slot)); there && (code != OK || at.Handle != c.handle) {
				rt.Fatalf("chunk %d of %s: %+v code %d; twin has %+v", slot, p, at, code, c)
			}
		}
		if there && !slices.Equal(info.Chunks, handles) {
			rt.Fatalf("chunks of %s: %v, twin has %v", p, info.Chunks, handles)
		}
		if n, found := s.lookup(p); found && p != "/" && int(n.below) < s.longest(n.id) {
			rt.Fatalf("%s: paths below it are bounded by %d and one has %d", p, n.below, s.longest(n.id))
		}
		if f.dir {
			var want []string
			for _, name := range tw.below(strings.TrimSuffix(p, "/")) {
				rest := strings.TrimPrefix(name[len(strings.TrimSuffix(p, "/")):], "/")
				if rest != "" && !strings.Contains(rest, "/") {
					if tw.files[name].dir {
						rest += "/"
					}
					want = append(want, rest)
				}
			}
			slices.Sort(want)
			if got, code := s.List(p); code != OK || !slices.Equal(got, want) {
				rt.Fatalf("list %s: %v code %d, twin has %v", p, got, code, want)
			}
		}
	}
	for _, c := range tw.chunks {
		got, code := s.Chunk(c.handle)
		if (code == OK) != tw.referenced(c) || got.Version != c.version || got.Epoch != c.epoch || got.Primary != c.primary ||
			!slices.Equal(got.Members, c.members) {
			rt.Fatalf("chunk %d: %+v code %d, twin has %+v", c.handle, got, code, c)
		}
	}
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
				e.commands = append(e.commands, encode(t, genCommand(rt, first, e.index)))
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
