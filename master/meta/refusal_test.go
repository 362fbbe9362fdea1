package meta

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
)

// TestMalformed: what makes no sense in any state is INVALID and changes nothing,
// not even the time.
func TestMalformed(t *testing.T) {
	w, h := newChunk(t)
	before := w.s.Hash()
	set := func(change func(*metapb.SetAttributesOp)) *metapb.Command {
		op := &metapb.SetAttributesOp{Path: "/f"}
		change(op)
		return setOf(op)
	}
	many := make([]string, maxReplicas+1)
	for i := range many {
		many[i] = strings.Repeat("n", i+1)
	}
	for _, cmd := range []*metapb.Command{
		{}, createOf("f"), mkdirOf("/f/"), deleteOf("/"), deleteAllOf("//"), expediteOf("/", 3), undeleteOf("/", 0), undeleteOf("/\x00f", 0),
		purgeOf(0), renameOf("/", "/x"), renameOf("/f", "/f/x"), snapshotOf("/", "/x"), snapshotOf("/f", "/f/x"), snapshotOf("/f", "x"),
		allocateOf("f", 0, Records), allocateOf("/f", 1, 2), allocateOf("/f", 1, 255), retentionOf("/f", -1), retentionOf("f", 1),
		set(func(op *metapb.SetAttributesOp) { op.Replicas = proto.Uint32(0) }),
		set(func(op *metapb.SetAttributesOp) { op.Replicas = proto.Uint32(maxReplicas + 1) }),
		set(func(op *metapb.SetAttributesOp) { op.Clear = []string{"mode"} }),
		set(func(op *metapb.SetAttributesOp) { op.Clear = []string{""} }),
		set(func(op *metapb.SetAttributesOp) { op.Clear, op.MaxFiles = []string{"max_files"}, proto.Uint64(0) }),
		set(func(op *metapb.SetAttributesOp) {
			op.Clear = []string{"replicas", "replicas", "replicas", "replicas", "replicas"}
		}),
		intentOf(h, 0), intentOf(h, 0, "a", "a"), intentOf(h, 0, ""), intentOf(h, 0, many...), activeOf(h, 1, strings.Repeat("n", 256)), endOf(h, 0),
		sealOf(h, 0, 0, 1), beginOf(1, 0, 0), commitOf(1, 0, 0, 1, 1, "a"), commitOf(1, 0, h, 1, 1), commitOf(1, 0, h, 1, 0, "a", "a"),
		addOf(h, 1, ""), removeOf(h, 1, ""), addOf(h, 1, strings.Repeat("n", 256)),
		{Client: "c", Op: createOf("/x").Op}, {Client: strings.Repeat("c", 256), Seq: 1, Op: createOf("/x").Op},
	} {
		cmd.StampNs = 1 << 40
		if WellFormed(cmd) {
			t.Errorf("%v passes for well-formed", cmd)
		}
		if r := w.do(cmd, Invalid); r.Handle != 0 || r.Id != 0 || w.s.Hash() != before {
			t.Errorf("%v: %v, or the state changed", cmd, r)
		}
	}
	if negative := allocateOf("/f", 1, 0); true {
		negative.GetAllocate().Kind = -1
		w.do(negative, Invalid)
	}
	if index, commands := w.s.Applied(); index != w.s.index || commands != 1 {
		t.Fatalf("applied %d, %d", index, commands)
	}
}

// TestMembers: a clone becomes a member only of exactly what was cloned, in peace;
// the last member stays.
func TestMembers(t *testing.T) {
	w, h := newChunk(t)
	w.do(addOf(h+1, 1, "a"), NoChunk)
	w.do(removeOf(h+1, 1, "a"), NoChunk)
	w.do(addOf(h, 0, "a"), Stale) // there is nothing to clone
	version, epoch := w.granted(h, "a", "b")
	w.do(addOf(h, version, "c"), Stale) // what is written now would be missing
	w.do(removeOf(h, version, "a"), LeaseHeld)
	w.do(endOf(h, epoch), OK)
	intent := w.do(intentOf(h, version, "a", "b"), OK).Index
	w.do(addOf(h, version, "c"), Stale)
	w.do(endOf(h, intent), OK)
	w.do(addOf(h, version-1, "c"), Stale)
	w.do(addOf(h, version, "b"), Exists)
	w.do(addOf(h, version, "c"), OK)
	if c, _ := w.s.Chunk(h); strings.Join(c.Members, "") != "abc" || c.Version != version {
		t.Fatalf("%+v", c)
	}
	w.do(removeOf(h, version-1, "a"), Stale)
	w.do(removeOf(h, version, "d"), NotFound)
	w.do(removeOf(h, version, "b"), OK)
	w.do(intentOf(h, version, "b"), Stale) // it may miss data from now on
	w.do(removeOf(h, version, "a"), OK)
	w.do(removeOf(h, version, "c"), Invalid)
	w.same()
	names := make([]string, maxReplicas-1)
	for i := range names {
		names[i] = strings.Repeat("x", i+1)
		w.do(addOf(h, version, names[i]), OK)
	}
	w.do(addOf(h, version, "one more"), Invalid)
}

// TestSeal: only the holder of the lease seals, and only records; then there is no
// other lease, and only then, if asked strictly, a next chunk.
func TestSeal(t *testing.T) {
	w, h := newChunk(t)
	w.do(sealOf(h+1, 1, 1, 10), NoChunk)
	w.do(sealOf(h, 0, 1, 10), Stale)
	w.do(strictOf("/f", 1), NotSealed)
	version, epoch := w.granted(h, "a", "b")
	w.do(sealOf(h, version, epoch+1, 10), Stale)
	w.do(sealOf(h, version+1, epoch, 10), Stale)
	w.do(strictOf("/f", 0), Exists)
	w.do(strictOf("/f", 2), Invalid)
	w.do(sealOf(h, version, epoch, 10), OK)
	w.do(sealOf(h, version, epoch, 10), OK)
	w.do(sealOf(h, version, epoch, 11), Sealed)
	fence := intentOf(h, version, "b")
	fence.GetGrantIntent().Fences = epoch
	w.do(fence, Sealed)
	w.do(endOf(h, epoch), OK)
	w.do(intentOf(h, version, "a"), Sealed)
	w.do(activeOf(h, epoch, "a"), Sealed)
	w.do(addOf(h, version, "c"), OK)
	if c, _ := w.s.Chunk(h); !c.Sealed || c.Length != 10 || len(c.Members) != 3 {
		t.Fatalf("%+v", c)
	}
	second := w.do(strictOf("/f", 1), OK).Handle
	w.do(strictOf("/f", 2), NotSealed)
	bytes := w.do(allocateOf("/f", 2, Bytes), OK).Handle
	w.do(strictOf("/f", 3), OK)
	if c, _ := w.s.Chunk(second); c.Kind != Records || c.Sealed {
		t.Fatalf("%+v", c)
	}
	version, epoch = w.granted(bytes, "a")
	w.do(sealOf(bytes, version, epoch, 10), WrongKind)

	w.do(snapshotOf("/f", "/g"), LeaseHeld)
	w.do(endOf(bytes, epoch), OK)
	w.do(snapshotOf("/f", "/g"), OK)
	info, _ := w.s.Stat("/f")
	w.do(intentOf(h, version, "a"), Sealed)
	w.do(beginOf(info.ID, 0, h), Sealed) // nobody will write to it
	w.same()
}

// TestGoals: a chunk's goal is that of its file when it is allocated, and changes
// with its file's only.
func TestGoals(t *testing.T) {
	w := &world{t: t, s: New()}
	replicas := func(path string, n uint32) *metapb.Command {
		return setOf(&metapb.SetAttributesOp{Path: path, Replicas: proto.Uint32(n)})
	}
	goal := func(slot uint32, want uint32) {
		t.Helper()
		if c, code := w.s.ChunkAt("/d/f", slot); code != OK || c.Goal != want {
			t.Fatalf("chunk %d: %+v code %d, want goal %d", slot, c, code, want)
		}
	}
	w.do(mkdirOf("/d"), OK)
	w.do(createOf("/d/f"), OK)
	w.do(allocateOf("/d/f", 0, Records), OK)
	w.do(replicas("/", 2), OK)
	w.do(allocateOf("/d/f", 1, Records), OK)
	w.do(replicas("/d", 4), OK)
	w.do(allocateOf("/d/f", 2, Records), OK)
	goal(0, 0)
	goal(1, 2)
	goal(2, 4)
	w.do(replicas("/d/f", 5), OK)
	for slot := range uint32(3) {
		goal(slot, 5)
	}
	w.do(setOf(&metapb.SetAttributesOp{Path: "/d/f", Clear: []string{"replicas"}}), OK)
	goal(0, 4)
	info, _ := w.s.Stat("/d/f")
	if info.Own.Replicas != nil || *info.Effective.Replicas != 4 || *info.Effective.RetentionNs != DefaultRetention {
		t.Fatalf("%+v", info)
	}
	w.do(replicas("/nowhere", 1), NotFound)
	w.do(quotaOf("/d/f", 1, 1), NotDirectory)
	w.same()
}

// TestQuota: each quota above counts, what is hidden too, until it is removed.
func TestQuota(t *testing.T) {
	w := &world{t: t, s: New()}
	used := func(path string, files, chunks uint64) {
		t.Helper()
		if info, code := w.s.Stat(path); code != OK || info.UsedFiles != files || info.UsedChunks != chunks {
			t.Fatalf("%s uses %+v code %d, want %d files and %d chunks", path, info, code, files, chunks)
		}
		w.same()
	}
	for _, p := range []string{"/a", "/a/b", "/c"} {
		w.do(mkdirOf(p), OK)
	}
	w.do(createOf("/a/b/1"), OK)
	w.do(allocateOf("/a/b/1", 0, Records), OK)
	w.do(quotaOf("/a", 3, 2), OK) // counts what is there
	w.do(quotaOf("/a/b", 2, 9), OK)
	used("/a", 1, 1)
	w.do(createOf("/a/b/2"), OK)
	w.do(createOf("/a/b/3"), Quota)
	w.do(mkdirOf("/a/b/d"), OK) // directories are free
	w.do(createOf("/a/3"), OK)
	w.do(createOf("/a/4"), Quota)
	w.do(deleteOf("/a/3"), OK)
	w.do(createOf("/a/4"), Quota) // it is only hidden
	w.do(undeleteOf("/a/3", 0), OK)
	id := w.do(deleteOf("/a/3"), OK).Id
	w.do(expediteOf("/a/3", id), OK)
	w.do(createOf("/a/4"), OK)
	used("/a", 3, 1)
	w.do(allocateOf("/a/b/2", 0, Records), OK)
	w.do(allocateOf("/a/b/2", 1, Records), Quota)
	w.do(allocateOf("/a/b/2", 0, Records), Exists)
	w.do(renameOf("/a/b", "/c/b"), OK)
	used("/a", 1, 0)
	used("/c/b", 2, 2)
	w.do(createOf("/a/5"), OK)
	w.do(renameOf("/c/b", "/a/b"), Quota)
	w.do(renameOf("/c/b/1", "/a/b"), OK)
	used("/a", 3, 1)
	w.do(renameOf("/a/b", "/a/c"), OK) // under the same quotas as before
	w.do(quotaOf("/a", 0, 0), OK)      // less than there is
	w.do(mkdirOf("/a/d"), OK)
	w.do(renameOf("/a/c", "/a/d/c"), OK)
	w.do(renameOf("/c/b/2", "/a/b"), Quota)
	w.do(setOf(&metapb.SetAttributesOp{Path: "/a", Clear: []string{"max_files", "max_chunks"}}), OK)
	used("/a", 0, 0) // nothing counts there any more
	w.do(renameOf("/c/b/2", "/a/b"), OK)
	w.do(quotaOf("/", 99, 99), OK)
	used("/", 4, 2)
	w.do(deleteAllOf("/a"), OK)
	w.do(at(DefaultRetention, purgeOf(4)), OK)
	w.do(purgeOf(99), OK)
	used("/", 0, 0)
}
