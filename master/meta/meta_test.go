package meta

import (
	"bytes"
	"errors"
	"fmt"
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
		cmd.Client = rapid.SampledFrom([]string{"c1", "c2", "c3"}).Draw(rt, "client")
		var last uint64
		if x := s.sessions.byClient[cmd.Client]; x != nil {
			last = x.seq
		}
		cmd.Seq = last + uint64(rapid.SampledFrom([]int{1, 1, 1, 0, 2}).Draw(rt, "seq"))
		if last > 1 && rapid.IntRange(0, 9).Draw(rt, "old?") == 0 {
			cmd.Seq = last - 1
		}
	}
	handle := rapid.Uint64Range(0, s.nextHandle).Draw(rt, "handle")
	c := chunk{}
	if x := s.chunks[handle]; x != nil {
		c = *x
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
		cmd.Op = &metapb.Command_Delete{Delete: &metapb.PathOp{Path: p("path")}}
	case 4:
		cmd.Op = &metapb.Command_Rename{Rename: &metapb.RenameOp{From: p("from"), To: p("to")}}
	case 5, 6:
		cmd.Op = &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: p("path"), ChunkIndex: rapid.Uint32Range(0, 2).Draw(rt, "slot")}}
	case 7:
		cmd.Op = &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: near("version", c.version), Replicas: names("replicas", c.members)}}
	case 8:
		g := &metapb.GrantActiveOp{Handle: handle, IntentIndex: near("intent", c.intent.index), Acked: names("acked", c.intent.replicas)}
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
		s, tw := newState(age), newTwin(age)
		index := uint64(0)
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
	copied := *s
	copied.sum, copied.scratch = digest{}, nil
	for path, n := range s.nodes {
		n := *n
		copied.hashNode(path, &n)
	}
	for _, c := range s.chunks {
		c := *c
		c.sum = digest{}
		copied.hashChunk(&c)
	}
	for x := s.sessions.oldest; x != nil; x = x.newer {
		y := *x
		y.sum = digest{}
		copied.hashSession(&y)
	}
	return copied.Hash()
}

func compare(rt *rapid.T, s *State, tw *twin) {
	if len(s.nodes) != len(tw.files) || len(s.chunks) != len(tw.chunks) || len(s.sessions.byClient) != len(tw.sessions) || s.Time() != tw.time {
		rt.Fatalf("%d nodes, %d chunks, %d sessions, time %d; twin has %d, %d, %d, %d",
			len(s.nodes), len(s.chunks), len(s.sessions.byClient), s.Time(), len(tw.files), len(tw.chunks), len(tw.sessions), tw.time)
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
			got.Index != c.slot || got.FileID != c.fileID || !slices.Equal(got.Members, c.members) {
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
		first := newState(age)
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
		again, restored := newState(age), newState(age)
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
		s, tw := New(), newTwin(SessionEntries)
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
		if want := tw.apply(2, 0, cmd); !proto.Equal(got, want) && len(cmd.GetGrantIntent().GetReplicas()) <= maxReplicas {
			t.Fatalf("command %v: reply %v, twin says %v", cmd, got, want)
		}
		if rehash(s) != s.Hash() {
			t.Fatal("the incremental hash has drifted")
		}
	})
}
