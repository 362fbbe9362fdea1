package meta

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// world applies one command an entry and checks its reply.
type world struct {
	t   testing.TB
	s   *State
	log []*metapb.Command
}

func (w *world) do(cmd *metapb.Command, want Code) *metapb.Reply {
	w.t.Helper()
	w.log = append(w.log, cmd)
	reply := decode(w.t, w.s.Apply(w.s.index+1, [][]byte{encode(w.t, cmd)})[0])
	if Code(reply.Code) != want {
		w.t.Fatalf("entry %d: %v: code %d, want %d", w.s.index, cmd, reply.Code, want)
	}
	return reply
}

// keepNothing makes deleted files go at once.
func (w *world) keepNothing() {
	w.do(&metapb.Command{Op: &metapb.Command_SetAttributes{SetAttributes: &metapb.SetAttributesOp{Path: "/", RetentionNs: new(int64)}}}, OK)
}

func intentOf(handle, expect uint64, replicas ...string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_GrantIntent{GrantIntent: &metapb.GrantIntentOp{Handle: handle, ExpectVersion: expect, Replicas: replicas}}}
}

func activeOf(handle, intent uint64, acked ...string) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_GrantActive{GrantActive: &metapb.GrantActiveOp{Handle: handle, IntentIndex: intent, Primary: acked[0], Acked: acked}}}
}

func endOf(handle, epoch uint64) *metapb.Command {
	return &metapb.Command{Op: &metapb.Command_LeaseEnd{LeaseEnd: &metapb.LeaseEndOp{Handle: handle, Epoch: epoch}}}
}

func newChunk(t *testing.T) (*world, uint64) {
	w := &world{t: t, s: New()}
	w.do(&metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/f"}}}, OK)
	return w, w.do(&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/f"}}}, OK).Handle
}

// TestGrant walks through gfs-like trouble: an aborted grant, an acknowledgement
// that was lost, a late activation.
func TestGrant(t *testing.T) {
	w, h := newChunk(t)
	aborted := w.do(intentOf(h, 0, "a", "b", "c"), OK)
	second := w.do(intentOf(h, 0, "a", "b", "c"), OK)
	if aborted.Version != 1 || second.Version != 2 {
		t.Fatalf("versions %d and %d; an aborted version must never come back", aborted.Version, second.Version)
	}
	w.do(activeOf(h, aborted.Index, "a", "b"), Stale) // the late activation
	grant := w.do(activeOf(h, second.Index, "a", "b"), OK)
	if grant.Version != 2 || grant.Epoch != grant.Index {
		t.Fatalf("grant %v", grant)
	}
	w.do(activeOf(h, second.Index, "a", "b"), Stale) // consumed
	w.do(intentOf(h, 2, "a"), Stale)                 // a lease is active
	w.do(endOf(h, grant.Epoch+1), Stale)
	w.do(endOf(h, grant.Epoch), OK)
	w.do(endOf(h, grant.Epoch), Stale)
	w.do(intentOf(h, 1, "a"), Stale)      // an old version expected
	w.do(intentOf(h, 2, "a", "c"), Stale) // c holds the same version but lost its membership
	third := w.do(intentOf(h, 2, "a", "b"), OK)
	w.do(activeOf(h, third.Index, "c"), Invalid) // not asked
	w.do(activeOf(h, third.Index, "b"), OK)
	c, _ := w.s.Chunk(h)
	if c.Version != 3 || len(c.Members) != 1 || c.Members[0] != "b" {
		t.Fatalf("chunk %+v", c)
	}
}

// TestOneEntry: an intent is known only after its entry, and a chunk has one
// intent and one activation in an entry, else epochs would not be unique.
func TestOneEntry(t *testing.T) {
	w, h := newChunk(t)
	i := w.s.index + 1
	replies := w.s.Apply(i, [][]byte{
		encode(t, intentOf(h, 0, "a")), encode(t, intentOf(h, 0, "b")), encode(t, activeOf(h, i, "a")),
	})
	for k, want := range []Code{OK, Stale, Stale} {
		if got := decode(t, replies[k]); Code(got.Code) != want {
			t.Errorf("command %d: code %d, want %d", k, got.Code, want)
		}
	}
}

// TestDeleteUnderLease: the chunk is gone for everybody at once, its record when
// the lease has ended.
func TestDeleteUnderLease(t *testing.T) {
	w, h := newChunk(t)
	intent := w.do(intentOf(h, 0, "a"), OK)
	grant := w.do(activeOf(h, intent.Index, "a"), OK)
	w.keepNothing()
	w.do(&metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: "/f"}}}, OK)
	if c, code := w.s.Chunk(h); code != NoChunk || c.Epoch != grant.Epoch || !c.Deleted {
		t.Fatalf("chunk %+v, code %d", c, code)
	}
	if got := w.s.Orphans(); len(got) != 1 || got[0] != h {
		t.Fatalf("orphans %v", got)
	}
	w.do(intentOf(h, 1, "a"), NoChunk)
	w.do(endOf(h, grant.Epoch), OK)
	w.do(endOf(h, grant.Epoch), NoChunk)
	if _, chunks, _ := w.s.Sizes(); chunks != 0 || len(w.s.Orphans()) != 0 {
		t.Fatalf("%d chunks, orphans %v", chunks, w.s.Orphans())
	}
}

// TestExactlyOnce: a retry changes nothing and returns the first reply, even
// though the state has moved on.
func TestExactlyOnce(t *testing.T) {
	w := &world{t: t, s: New()}
	create := &metapb.Command{Client: "c", Seq: 7, Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/f"}}}
	first := w.do(create, OK)
	w.do(&metapb.Command{Client: "d", Seq: 1, Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: "/f"}}}, OK)
	before := w.s.Hash()
	again := w.do(create, OK)
	first.Replayed = true
	if !proto.Equal(first, again) || w.s.Hash() != before {
		t.Fatalf("first reply %v, replayed %v; hash %s, then %s", first, again, before, w.s.Hash())
	}
	create.Seq = 6
	w.do(create, Stale)
	if _, code := w.s.Stat("/f"); code != NotFound {
		t.Fatalf("a retry took effect: code %d", code)
	}
}

// TestSessionsAge: an unused session is dropped after the age, not before, and a
// used one is not.
func TestSessionsAge(t *testing.T) {
	s := newState(10, 100)
	apply := func(index uint64, client string, seq uint64) *metapb.Reply {
		return decode(t, s.Apply(index, [][]byte{encode(t, &metapb.Command{
			Client: client, Seq: seq, Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: fmt.Sprint("/", client, seq)}},
		})})[0])
	}
	apply(1, "old", 1)
	apply(2, "used", 1)
	apply(9, "used", 2)
	if r := apply(11, "old", 1); !r.Replayed {
		t.Fatalf("at age 10: %v", r)
	}
	if _, _, n := s.Sizes(); n != 2 {
		t.Fatalf("%d sessions, want 2", n)
	}
	if r := apply(12, "old", 1); r.Replayed || Code(r.Code) != Exists { // a replay does not refresh
		t.Fatalf("at age 11: %v", r)
	}
	if r := apply(13, "used", 2); !r.Replayed {
		t.Fatalf("the used session: %v", r)
	}
}

// TestRename moves a subtree, keeps ids and chunks, and refuses what it must.
func TestRename(t *testing.T) {
	w := &world{t: t, s: New()}
	mkdir := func(p string) { w.do(&metapb.Command{Op: &metapb.Command_Mkdir{Mkdir: &metapb.PathOp{Path: p}}}, OK) }
	rename := func(from, to string, want Code) {
		t.Helper()
		w.do(&metapb.Command{Op: &metapb.Command_Rename{Rename: &metapb.RenameOp{From: from, To: to}}}, want)
	}
	mkdir("/a")
	mkdir("/a/b")
	mkdir("/c")
	w.do(&metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: "/a/b/f"}}}, OK)
	w.do(&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: "/a/b/f"}}}, OK)
	before, _ := w.s.Stat("/a/b/f")
	rename("/a", "/a/b/x", Invalid)
	rename("/a", "/c", Exists)
	rename("/a", "/nowhere/x", NotFound)
	rename("/a/b/f", "/a/b/f/g", Invalid)
	rename("/c", "/a/b/f/g", NotDirectory)
	rename("/a", "/c/z", OK)
	after, code := w.s.Stat("/c/z/b/f")
	if code != OK || after.ID != before.ID || len(after.Chunks) != 1 || after.Chunks[0] != before.Chunks[0] {
		t.Fatalf("moved file: %+v code %d, was %+v", after, code, before)
	}
	for _, p := range []string{"/a", "/a/b", "/a/b/f"} {
		if _, code := w.s.Stat(p); code != NotFound {
			t.Errorf("%s is still there: code %d", p, code)
		}
	}
	long := "/"
	for len(long) < MaxPathBytes-300 {
		long += fmt.Sprintf("%0250d/", 0)
	}
	long = long[:len(long)-1]
	for i := 1; i < len(long); i++ {
		if long[i] == '/' {
			mkdir(long[:i])
		}
	}
	mkdir(long)
	rename("/c", long+"/c", OK)
	mkdir("/deep")
	mkdir("/deep/" + fmt.Sprintf("%0200d", 0))
	mkdir("/deep/" + fmt.Sprintf("%0200d", 0) + "/" + fmt.Sprintf("%0200d", 0))
	rename("/deep", long+"/deep", Invalid) // a child's path would be too long
}

func BenchmarkCreate(b *testing.B) {
	const batch = 64
	s := New()
	clients := make([]string, 256)
	for i := range clients {
		clients[i] = fmt.Sprintf("client-%03d", i)
	}
	raws := make([][][]byte, b.N/batch+1)
	n := 0
	for i := range raws {
		for range batch {
			raws[i] = append(raws[i], encode(b, &metapb.Command{
				Client: clients[n%len(clients)], Seq: uint64(n/len(clients) + 1), StampNs: int64(n),
				Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: fmt.Sprintf("/file-%08d", n)}},
			}))
			n++
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range raws {
		s.Apply(uint64(i+1), raws[i])
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s := New()
	for i := range 100_000 {
		s.Apply(uint64(i+1), [][]byte{encode(b, &metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: fmt.Sprintf("/file-%08d", i)}}})})
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Snapshot().Release()
	}
}

// TestManyChunks: a file whose handles fill groups of every form of key, beside
// files with ids just below and above its own.
func TestManyChunks(t *testing.T) {
	w := &world{t: t, s: New()}
	allocate := func(path string, slot uint32) uint64 {
		return w.do(&metapb.Command{Op: &metapb.Command_Allocate{Allocate: &metapb.AllocateOp{Path: path, ChunkIndex: slot}}}, OK).Handle
	}
	for _, p := range []string{"/a", "/b", "/c"} {
		w.do(&metapb.Command{Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: p}}}, OK)
	}
	const slots = 500*groupSlots + 3
	var handles []uint64
	first := allocate("/a", 0)
	for i := range uint32(slots) {
		if i == 20 {
			allocate("/c", 0)
		}
		handles = append(handles, allocate("/b", i))
	}
	last := allocate("/c", 1)
	check := func(s *State) {
		t.Helper()
		if info, _ := s.Stat("/b"); !slices.Equal(info.Chunks, handles) {
			t.Fatalf("%d handles, want %d, or others", len(info.Chunks), len(handles))
		}
		for _, slot := range []uint32{0, 15, 16, 239*16 + 15, 240 * 16, 256 * 16, slots - 1} {
			if c, code := s.ChunkAt("/b", slot); code != OK || c.Handle != handles[slot] {
				t.Fatalf("chunk %d: %+v code %d, want handle %d", slot, c, code, handles[slot])
			}
		}
		if _, code := s.ChunkAt("/b", slots); code != NoChunk {
			t.Fatalf("beyond the end: code %d", code)
		}
	}
	check(w.s)
	var image bytes.Buffer
	if _, err := w.s.Snapshot().WriteTo(&image); err != nil {
		t.Fatal(err)
	}
	restored := New()
	if err := restored.Restore(&image); err != nil {
		t.Fatal(err)
	}
	check(restored)
	w.keepNothing()
	w.do(&metapb.Command{Op: &metapb.Command_Delete{Delete: &metapb.DeleteOp{Path: "/b"}}}, OK)
	if _, chunks, _ := w.s.Sizes(); chunks != 3 || w.s.extents.Len() != 2 {
		t.Fatalf("%d chunks and %d extents are left, want 3 and 2", chunks, w.s.extents.Len())
	}
	if c, code := w.s.ChunkAt("/a", 0); code != OK || c.Handle != first {
		t.Fatalf("the file before: %+v", c)
	}
	if c, code := w.s.ChunkAt("/c", 1); code != OK || c.Handle != last {
		t.Fatalf("the file behind: %+v", c)
	}
}
