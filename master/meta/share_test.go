package meta

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// granted gives a chunk a lease and returns its version and epoch.
func (w *world) granted(handle uint64, replicas ...string) (version, epoch uint64) {
	w.t.Helper()
	c, _ := w.s.Chunk(handle)
	r := w.do(activeOf(handle, w.do(intentOf(handle, c.Version, replicas...), OK).Index, replicas...), OK)
	return r.Version, r.Epoch
}

// TestSnapshotShares: refused while a chunk is in use; afterwards the chunk is of
// both and is granted no more, until each side but one has its own.
func TestSnapshotShares(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(mkdirOf("/d"), OK)
	file := w.do(createOf("/d/f"), OK).Id
	h := w.do(allocateOf("/d/f", 0, Bytes), OK).Handle
	version, epoch := w.granted(h, "a", "b")
	if r := w.do(snapshotOf("/d", "/s"), LeaseHeld); r.Handle != h {
		t.Fatalf("refused for chunk %d, want %d", r.Handle, h)
	}
	w.do(endOf(h, epoch), OK)
	intent := w.do(intentOf(h, version, "a", "b"), OK).Index
	w.do(snapshotOf("/d", "/s"), LeaseHeld)
	w.do(endOf(h, intent+1), Stale)
	w.do(endOf(h, intent), OK)                 // given up
	w.do(activeOf(h, intent, "a", "b"), Stale) // too late
	w.do(beginOf(file, 0, h), Stale)           // not shared yet
	r := w.do(snapshotOf("/d", "/s"), OK)
	if r.Count != 2 {
		t.Fatalf("%d were copied, want 2", r.Count)
	}
	other, _ := w.s.Stat("/s/f")
	if c, _ := w.s.Chunk(h); c.Refs != 2 || other.ID == file || other.Chunks[0] != h {
		t.Fatalf("shared: %+v of %+v", c, other)
	}
	w.do(intentOf(h, version, "a"), Shared)
	w.do(activeOf(h, 1, "a"), Shared)

	begun := w.do(beginOf(file, 0, h), OK)
	late := w.do(beginOf(file, 0, h), OK).Handle
	if begun.Handle != h+1 || begun.Version != version {
		t.Fatalf("begun: %v", begun)
	}
	w.same()
	for _, c := range []*metapb.Command{
		commitOf(file, 1, h, begun.Handle, version, "a"), commitOf(other.ID, 0, h, begun.Handle, version, "a"),
		commitOf(file, 0, h+1, begun.Handle, version, "a"), commitOf(file, 0, h, h, version, "a"), commitOf(file, 0, h, begun.Handle+2, version, "a"),
		commitOf(file, 0, h, begun.Handle, version-1, "a"), commitOf(file, 0, h, begun.Handle, version, "a", "c"),
	} {
		w.do(c, Stale)
	}
	w.do(commitOf(file, 0, h, begun.Handle, version, "b"), OK)
	w.do(commitOf(file, 0, h, late, version, "a"), Stale) // the slot has another chunk
	own, _ := w.s.ChunkAt("/d/f", 0)
	if own.Handle != begun.Handle || own.Refs != 1 || own.Version != version || own.Kind != Bytes || len(own.Members) != 1 || own.Members[0] != "b" {
		t.Fatalf("its own chunk: %+v", own)
	}
	if c, code := w.s.Chunk(h); code != OK || c.Refs != 1 {
		t.Fatalf("the other's: %+v code %d", c, code)
	}
	w.do(beginOf(other.ID, 0, h), Stale) // it is not shared any more
	if v, _ := w.granted(h, "a"); v != version+2 {
		t.Fatalf("version %d, want %d: one was given up", v, version+2)
	}
	w.same()
}

// TestNothingToCopy: a shared chunk that no chunkserver has yet.
func TestNothingToCopy(t *testing.T) {
	w := &world{t: t, s: New()}
	file := w.do(createOf("/f"), OK).Id
	h := w.do(allocateOf("/f", 0, Records), OK).Handle
	w.do(snapshotOf("/f", "/g"), OK)
	private := w.do(beginOf(file, 0, h), OK).Handle
	w.do(commitOf(file, 0, h, private, 0, "a"), Stale)
	w.do(commitOf(file, 0, h, private, 1), Invalid)
	w.do(commitOf(file, 0, h, private, 0), OK)
	if v, _ := w.granted(private, "a"); v != 1 {
		t.Fatalf("version %d", v)
	}
}

// TestLastReference: a chunk goes with the last of its files, hidden ones counted,
// whichever it was allocated for.
func TestLastReference(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(createOf("/f"), OK)
	h := w.do(allocateOf("/f", 0, Records), OK).Handle
	for _, to := range []string{"/g", "/h"} {
		w.do(snapshotOf("/f", to), OK)
	}
	w.do(snapshotOf("/g", "/i"), OK) // a copy of a copy
	w.do(deleteOf("/i"), OK)
	refs := func(want uint64) {
		t.Helper()
		if c, _ := w.s.Chunk(h); c.Refs != want {
			t.Fatalf("%d references, want %d", c.Refs, want)
		}
	}
	refs(4)
	w.do(at(DefaultRetention, purgeOf(1)), OK)
	refs(3)
	w.keepNothing()
	w.do(deleteOf("/f"), OK)
	w.do(deleteOf("/g"), OK)
	refs(1)
	version, epoch := w.granted(h, "a")
	w.do(deleteOf("/h"), OK)
	if c, code := w.s.Chunk(h); code != NoChunk || !c.Deleted || c.Refs != 0 || c.Version != version {
		t.Fatalf("%+v code %d", c, code)
	}
	w.do(endOf(h, epoch), OK)
	if _, chunks, _ := w.s.Sizes(); chunks != 0 {
		t.Fatal("the chunk is still there")
	}
}

// TestSnapshotRefusals walks through what rename refuses too, and what it keeps.
func TestSnapshotRefusals(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(mkdirOf("/d"), OK)
	w.do(mkdirOf("/d/e"), OK)
	w.do(createOf("/d/f"), OK)
	w.do(createOf("/d/gone"), OK)
	w.do(deleteOf("/d/gone"), OK)
	w.do(setOf(&metapb.SetAttributesOp{Path: "/d", Replicas: proto.Uint32(2), MaxFiles: proto.Uint64(9)}), OK)
	before := w.s.Hash()
	for _, c := range []struct {
		from, to string
		want     Code
	}{
		{"/", "/x", Invalid}, {"/d", "/d/x", Invalid}, {"/x", "/y", NotFound}, {"/d", "/d/../x", Invalid}, {"/d", "/", Exists}, {"/d", "/d", Exists},
		{"/d", "/x/y", NotFound}, {"/d/e", "/d/f/x", NotDirectory}, {"/d/e", "/d/f", Exists}, {"/d/gone", "/x", NotFound},
	} {
		w.do(snapshotOf(c.from, c.to), c.want)
	}
	if w.s.Hash() != before {
		t.Fatal("a refused snapshot changed the state")
	}
	w.do(snapshotOf("/d", "/c"), OK)
	info, _ := w.s.Stat("/c")
	if *info.Own.Replicas != 2 || *info.Own.MaxFiles != 9 || info.UsedFiles != 1 || info.UsedChunks != 0 {
		t.Fatalf("the copy: %+v", info)
	}
	if original, _ := w.s.Stat("/d"); original.UsedFiles != 2 {
		t.Fatalf("the original counts what is hidden: %+v", original)
	}
	if len(w.ids("/c")) != 0 {
		t.Fatal("what is hidden was copied")
	}
	w.do(quotaOf("/", 4, 9), OK)
	w.do(snapshotOf("/d/e", "/e"), OK) // no file in it
	w.do(snapshotOf("/d/f", "/f"), OK)
	w.do(snapshotOf("/d/f", "/g"), Quota)
	w.same()
}

// TestTooLarge: a command touches at most 200,000 entries, and is refused before
// it has changed anything.
func TestTooLarge(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(mkdirOf("/d"), OK)
	w.do(mkdirOf("/e"), OK)
	w.do(quotaOf("/e", 1<<20, 1<<20), OK)
	raws := [][]byte{}
	for i := range maxEntries - 1 {
		raws = append(raws, encode(t, createOf(fmt.Sprint("/d/", i))))
	}
	w.s.Apply(w.s.index+1, raws)
	refuse := func(cmd *metapb.Command) {
		t.Helper()
		before := w.s.Hash()
		w.do(cmd, TooLarge)
		if w.s.Hash() != before {
			t.Fatal("a refused command changed the state")
		}
	}
	if r := w.do(snapshotOf("/d", "/s"), OK); r.Count != maxEntries {
		t.Fatalf("%d copied", r.Count)
	}
	w.do(renameOf("/s", "/e/s"), OK)
	w.do(allocateOf("/d/0", 0, Records), OK)
	refuse(snapshotOf("/d", "/x")) // chunks count
	w.do(renameOf("/d", "/e/d"), OK)
	if info, _ := w.s.Stat("/e"); info.UsedFiles != 2*(maxEntries-1) || info.UsedChunks != 1 {
		t.Fatalf("%+v", info)
	}
	w.do(mkdirOf("/q"), OK)
	w.do(mkdirOf("/q/q"), OK)
	w.do(quotaOf("/q", 1<<20, 1<<20), OK)
	refuse(renameOf("/e", "/q/e"))
	refuse(quotaOf("/", 1<<20, 1<<20))
	w.do(renameOf("/e", "/f"), OK) // no quota but its own: nothing to count
}

// TestSnapshotOfManyChunks: the copy of a file has its chunks in the same places,
// whatever they are grouped by, and grows like any other.
func TestSnapshotOfManyChunks(t *testing.T) {
	for _, n := range []int{1, groupSlots - 1, groupSlots, groupSlots + 1, 241*groupSlots + 3} {
		w := &world{t: t, s: New()}
		id := w.do(createOf("/f"), OK).Id
		for i := range n {
			w.do(allocateOf("/f", uint32(i), Records), OK)
		}
		w.do(snapshotOf("/f", "/g"), OK)
		// One in the middle is copied, so the file's own handles are in no order.
		slot := uint32(n / 2)
		h := w.s.handleAt(id, slot)
		own := w.do(beginOf(id, slot, h), OK).Handle
		w.do(commitOf(id, slot, h, own, 0), OK)
		w.do(snapshotOf("/f", "/h"), OK)
		for _, path := range []string{"/g", "/h"} {
			w.do(allocateOf(path, uint32(n), Records), OK)
			was, _ := w.s.Stat("/f")
			is, _ := w.s.Stat(path)
			want := slices.Clone(was.Chunks)
			if path == "/g" {
				want[slot] = h
			}
			if len(is.Chunks) != n+1 || !slices.Equal(is.Chunks[:n], want) || rehash(w.s) != w.s.Hash() {
				t.Fatalf("%d chunks: %s has %d others", n, path, len(is.Chunks))
			}
		}
	}
}

// TestCopyLimit: of the handles that were taken for copies and never used the
// oldest are forgotten.
func TestCopyLimit(t *testing.T) {
	w := &world{t: t, s: New()}
	file := w.do(createOf("/f"), OK).Id
	h := w.do(allocateOf("/f", 0, Records), OK).Handle
	w.do(snapshotOf("/f", "/g"), OK)
	var raws [][]byte
	for range copyLimit + 1 {
		raws = append(raws, encode(t, beginOf(file, 0, h)))
	}
	w.s.Apply(w.s.index+1, raws)
	if w.s.copies.Len() != copyLimit || rehash(w.s) != w.s.Hash() {
		t.Fatalf("%d copies are remembered", w.s.copies.Len())
	}
	w.do(commitOf(file, 0, h, h+1, 0), Stale)
	w.do(commitOf(file, 0, h, h+2, 0), OK)
}
