package meta

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"gfslab/master/meta/metapb"
)

// ids looks up what is hidden in a directory, in order.
func (w *world) ids(path string) (ids []uint64) {
	w.t.Helper()
	entries, _, code := w.s.ListPage(path, ListOptions{Hidden: true})
	if code != OK {
		w.t.Fatalf("list of %s: code %d", path, code)
	}
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestDeleteHides: several files of one name are hidden beside one another, each
// comes back by its id, the last one without, and never onto another file.
func TestDeleteHides(t *testing.T) {
	w := &world{t: t, s: New()}
	var ids []uint64
	for range 3 {
		ids = append(ids, w.do(createOf("/f"), OK).Id)
		w.do(deleteOf("/f"), OK)
	}
	if _, code := w.s.Stat("/f"); code != NotFound {
		t.Fatalf("a deleted file is there: code %d", code)
	}
	w.do(undeleteOf("/f", 99), NotFound)
	w.do(undeleteOf("/g", 0), NotFound)
	w.do(undeleteOf("/f/g", 0), NotFound)
	if r := w.do(undeleteOf("/f", 0), OK); r.Id != ids[2] {
		t.Fatalf("undelete brought %d back, want the last of %v", r.Id, ids)
	}
	w.do(undeleteOf("/f", ids[0]), Exists)
	w.do(renameOf("/f", "/g"), OK)
	if r := w.do(undeleteOf("/f", ids[0]), OK); r.Id != ids[0] {
		t.Fatalf("undelete brought %d back, want %d", r.Id, ids[0])
	}
	w.do(expediteOf("/f", ids[0]), NotFound) // it is not hidden
	w.do(expediteOf("/f", ids[1]), OK)
	w.do(undeleteOf("/f", ids[1]), NotFound)
	if got := w.ids("/"); len(got) != 0 {
		t.Fatalf("still hidden: %v", got)
	}
}

// TestDeleteDirectory: only a recursive delete hides what is not empty; what is
// hidden does not count.
func TestDeleteDirectory(t *testing.T) {
	w := &world{t: t, s: New()}
	for _, p := range []string{"/d", "/d/e"} {
		w.do(mkdirOf(p), OK)
	}
	w.do(createOf("/d/e/f"), OK)
	w.do(deleteOf("/d"), NotEmpty)
	w.do(deleteOf("/d/e/f"), OK)
	w.do(deleteOf("/d/e"), OK)
	w.do(deleteOf("/d"), OK)
	w.do(undeleteOf("/d/e", 0), NotFound) // no path leads there
	w.do(undeleteOf("/d", 0), OK)
	w.do(undeleteOf("/d/e", 0), OK)
	w.do(undeleteOf("/d/e/f", 0), OK)
	id := w.do(deleteAllOf("/d"), OK).Id
	if list, next, code := w.s.ListPage("/d", ListOptions{DeletedID: id, Recursive: true}); code != OK || len(list) != 2 || list[1].Name != "e/f" || next != "" {
		t.Fatalf("what is in the hidden directory: %v, code %d", list, code)
	}
	w.do(mkdirOf("/d"), OK)
	w.do(undeleteOf("/d", id), Exists)
	w.do(deleteOf("/d"), OK)
	w.do(undeleteOf("/d", id), OK)
	if _, code := w.s.Stat("/d/e/f"); code != OK {
		t.Fatalf("what was in it has not come back: code %d", code)
	}
}

// TestRetention: what a delete fixed holds, whatever is set later, and nothing is
// removed one nanosecond before.
func TestRetention(t *testing.T) {
	w := &world{t: t, s: New()}
	w.do(mkdirOf("/d"), OK)
	w.do(mkdirOf("/d/e"), OK)
	if _, any := w.s.NextExpiry(); any || w.s.Due(math.MaxInt64) {
		t.Fatal("something is due in an empty state")
	}
	for i, c := range []struct {
		retention, stamp, expires int64
	}{{-1, 100, 100 + DefaultRetention}, {50, 200, 250}, {math.MaxInt64, 300, math.MaxInt64}} {
		if c.retention >= 0 {
			w.do(retentionOf("/d", c.retention), OK)
		}
		p := fmt.Sprint("/d/e/", i)
		w.do(createOf(p), OK)
		id := w.do(at(c.stamp, deleteOf(p)), OK).Id
		if info, code := w.s.Find(p, id); code != OK || !info.Hidden || info.DeletedNs != c.stamp || info.ExpiresNs != c.expires {
			t.Fatalf("%s: %+v code %d, want %+v", p, info, code, c)
		}
	}
	if ns, any := w.s.NextExpiry(); !any || ns != 250 || !w.s.Due(0) { // the state's time is 300
		t.Fatalf("the next is due at %d", ns)
	}
	if r := w.do(at(300, purgeOf(10)), OK); r.Count != 1 {
		t.Fatalf("%d were removed, want 1", r.Count)
	}
	w.do(retentionOf("/d/e", 30), OK) // the nearest one counts
	w.do(createOf("/d/e/f"), OK)
	w.do(at(1000, deleteOf("/d/e/f")), OK)
	if w.s.Due(1029) || !w.s.Due(1030) {
		t.Fatal("not due when it should be")
	}
	if r := w.do(at(1029, purgeOf(10)), OK); r.Count != 0 {
		t.Fatal("removed before its time")
	}
	if r := w.do(at(1030, purgeOf(10)), OK); r.Count != 1 {
		t.Fatal("not removed at its time")
	}
	w.do(retentionOf("/d", 0), OK)
	w.do(setOf(&metapb.SetAttributesOp{Path: "/d/e", Clear: []string{"retention"}}), OK)
	w.do(createOf("/d/e/f"), OK)
	id := w.do(deleteOf("/d/e/f"), OK).Id
	w.do(undeleteOf("/d/e/f", id), NotFound) // retention 0: gone at once
	id = w.do(deleteAllOf("/d/e"), OK).Id
	if info, code := w.s.Find("/d/e", id); code != OK || info.ExpiresNs != w.s.Time() || !w.s.Due(0) {
		t.Fatalf("a directory is due at once: %+v code %d", info, code)
	}
}

// TestPurge removes a deep tree piece by piece, what is in a directory before the
// directory; begun, it cannot be brought back.
func TestPurge(t *testing.T) {
	w := &world{t: t, s: New()}
	path := ""
	entries := uint64(0)
	for range 5 {
		path += "/d"
		w.do(mkdirOf(path), OK)
		for i := range 3 {
			f := fmt.Sprint(path, "/", i)
			w.do(createOf(f), OK)
			w.do(allocateOf(f, 0, Records), OK)
		}
		w.do(deleteOf(path+"/2"), OK) // goes along when the directory does
		entries += 4
	}
	id := w.do(deleteAllOf("/d"), OK).Id
	w.do(expediteOf("/d", id), OK)
	w.do(undeleteOf("/d", id), OK) // until the removal has begun
	w.do(deleteAllOf("/d"), OK)
	w.do(expediteOf("/d", id), OK)
	removed := uint64(0)
	for removed < entries {
		r := w.do(purgeOf(3), OK)
		if r.Count != min(3, entries-removed) {
			t.Fatalf("%d removed after %d of %d", r.Count, removed, entries)
		}
		if removed += r.Count; removed < entries {
			w.do(undeleteOf("/d", id), NotFound)
			w.do(expediteOf("/d", id), NotFound)
			if _, code := w.s.Find("/d", id); code != NotFound {
				t.Fatalf("a directory that is half gone is shown: code %d", code)
			}
			w.same()
		}
	}
	if nodes, chunks, _ := w.s.Sizes(); nodes != 1 || chunks != 0 || w.s.expiry.Len() != 0 || w.s.extents.Len() != 0 || w.s.parents.Len() != 0 {
		t.Fatalf("%d nodes and %d chunks are left", nodes, chunks)
	}
}

// same restores the state from its own snapshot and compares.
func (w *world) same() {
	w.t.Helper()
	restored := w.again()
	if restored.Hash() != w.s.Hash() || rehash(w.s) != w.s.Hash() || restored.expiry.Len() != w.s.expiry.Len() || restored.quotas != w.s.quotas {
		w.t.Fatal("the state is not what its snapshot restores")
	}
}

func (w *world) again() *State {
	w.t.Helper()
	var image bytes.Buffer
	if _, err := w.s.Snapshot().WriteTo(&image); err != nil {
		w.t.Fatal(err)
	}
	restored := New()
	if err := restored.Restore(&image); err != nil {
		w.t.Fatal(err)
	}
	return restored
}

// TestUndeleteTooDeep: while a directory was hidden, the one above it moved where
// its paths would be too long.
func TestUndeleteTooDeep(t *testing.T) {
	w := &world{t: t, s: New()}
	name := "/" + strings.Repeat("n", 200)
	w.do(mkdirOf("/a"), OK)
	w.do(mkdirOf("/a/b"), OK)
	w.do(mkdirOf("/a/b"+name), OK)
	w.do(deleteAllOf("/a/b"), OK)
	deep := ""
	for len(deep)+len(name) <= MaxPathBytes {
		deep += name
		w.do(mkdirOf(deep), OK)
	}
	w.do(renameOf("/a", deep+"/a"), OK)
	w.do(undeleteOf(deep+"/a/b", 0), Invalid)
	w.do(renameOf(deep+"/a", "/a"), OK)
	w.do(snapshotOf("/a", deep+"/a"), OK) // what is hidden is not copied
	w.do(undeleteOf("/a/b", 0), OK)
	w.do(snapshotOf("/a", deep+"/c"), Invalid)
}

// TestWalkHidden visits everything hidden once, in steps of any size, and tells
// what a directory took along from what has a name of its own there.
func TestWalkHidden(t *testing.T) {
	w := &world{t: t, s: New()}
	for _, p := range []string{"/d", "/d/e"} {
		w.do(mkdirOf(p), OK)
	}
	for _, p := range []string{"/d/1", "/d/e/2", "/d/e/3", "/4", "/5"} {
		w.do(createOf(p), OK)
		w.do(allocateOf(p, 0, Bytes), OK)
	}
	w.do(deleteOf("/d/e/3"), OK)
	w.do(deleteAllOf("/d"), OK)
	w.do(deleteOf("/4"), OK)
	for limit := 1; limit < 9; limit++ {
		walk, seen := w.s.WalkHidden(), map[uint64]bool{}
		for !walk.Step(w.s, limit, func(id uint64, hidden bool, handles []uint64) {
			if seen[handles[0]] || !hidden || len(handles) != 1 {
				t.Fatalf("file %d, hidden %v, chunks %v", id, hidden, handles)
			}
			seen[handles[0]] = true
		}) {
		}
		if len(seen) != 4 || seen[5] || walk.Usage != (Usage{HiddenFiles: 4, HiddenChunks: 4}) {
			t.Fatalf("in steps of %d: %v, %+v", limit, seen, walk.Usage)
		}
	}
	walk, code := w.s.WalkFrom("/5", 0)
	if code != OK || !walk.Step(w.s, 1, nil) || walk.Usage != (Usage{Files: 1, Chunks: 1}) {
		t.Fatalf("of one file: %+v, code %d", walk, code)
	}
	if _, code := w.s.WalkFrom("/d/1", 0); code != NotFound {
		t.Fatalf("below a hidden directory: code %d", code)
	}
	info, _ := w.s.Find("/4", w.ids("/")[0])
	if c, code := w.s.ChunkOf("/4", info.ID, 0); code != OK || c.Kind != Bytes {
		t.Fatalf("chunk of a hidden file: %+v code %d", c, code)
	}
	if c, code := w.s.ChunkIn(info.ID, 0); code != OK || len(w.s.Handles(nil, info.ID)) != 1 || c.Handle != w.s.Handles(nil, info.ID)[0] {
		t.Fatalf("chunk of a hidden file: %+v code %d", c, code)
	}
}

// TestListHiddenRecursive pages through what is hidden anywhere below.
func TestListHiddenRecursive(t *testing.T) {
	w := &world{t: t, s: New()}
	for _, p := range []string{"/a", "/a/b", "/a-", "/c"} {
		w.do(mkdirOf(p), OK)
	}
	for _, p := range []string{"/f", "/f", "/g", "/a/f", "/a/b/f", "/a/b/f", "/a-/f", "/c/f"} {
		w.do(createOf(p), OK)
		w.do(deleteOf(p), OK)
	}
	w.do(deleteAllOf("/c"), OK) // what is hidden in it has no path
	const want = "c/ f f g a-/f a/f a/b/f a/b/f"
	for limit := range 9 {
		var got []string
		o := ListOptions{Hidden: true, Recursive: true, Limit: limit}
		for {
			entries, next, _ := w.s.ListPage("/", o)
			for _, e := range entries {
				got = append(got, e.Name)
				if e.ExpiresNs != DefaultRetention {
					t.Fatalf("%+v", e)
				}
			}
			if o.After = next; next == "" {
				break
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Fatalf("%d at a time: %s, want %s", limit, s, want)
		}
	}
}
