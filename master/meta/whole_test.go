package meta

import (
	"bytes"
	"errors"
	"testing"
)

// furnished is a world that has something in every table.
func furnished(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, s: New()}
	for _, p := range []string{"/d", "/d/e", "/x"} {
		w.do(mkdirOf(p), OK)
	}
	file := w.do(createOf("/d/f"), OK).Id
	h := w.do(allocateOf("/d/f", 0, Records), OK).Handle
	w.do(snapshotOf("/d", "/s"), OK)
	w.do(beginOf(file, 0, h), OK)
	w.do(allocateOf("/d/f", 1, Bytes), OK)
	w.do(quotaOf("/d", 5, 5), OK)
	w.do(retentionOf("/x", 0), OK)
	w.do(deleteAllOf("/s"), OK)
	w.do(createOf("/x/gone"), OK)
	orphan := w.do(allocateOf("/x/gone", 0, Records), OK).Handle
	w.granted(orphan, "a")
	w.do(deleteOf("/x/gone"), OK)
	w.do(createOf("/g"), OK)
	busy := w.do(allocateOf("/g", 0, Records), OK).Handle
	_, epoch := w.granted(busy, "a", "b")
	w.do(sealOf(busy, 1, epoch, 7), OK)
	pending := w.do(allocateOf("/g", 1, Records), OK).Handle
	w.do(intentOf(pending, 0, "b", "c"), OK)
	create := createOf("/h")
	create.Client, create.Seq = "c", 1
	w.do(create, OK)
	return w
}

// TestUnsound: tables that cannot be those of one state are refused, though every
// sum and the hash agree with them.
func TestUnsound(t *testing.T) {
	id := func(s *State, path string) uint64 {
		n, found := s.lookup(path)
		if !found {
			t.Fatalf("there is no %s", path)
		}
		return n.id
	}
	chunkAt := func(s *State, path string, slot uint32, change func(*chunk)) {
		c, found := s.loadChunk(s.handleAt(id(s, path), slot))
		if !found {
			t.Fatalf("%s has no chunk %d", path, slot)
		}
		change(&c)
		s.storeChunk(&c)
	}
	for name, tamper := range map[string]func(*State){
		"one reference less": func(s *State) { chunkAt(s, "/d/f", 0, func(c *chunk) { c.refs-- }) },
		"one reference more": func(s *State) { chunkAt(s, "/d/f", 1, func(c *chunk) { c.refs++ }) },
		"a chunk of no file": func(s *State) { s.nextHandle++; s.storeChunk(&chunk{handle: s.nextHandle - 1, refs: 1}) },
		"no chunk":           func(s *State) { s.chunks.Delete(idKey(nil, s.handleAt(id(s, "/d/f"), 1))) },
		"slots of no file":   func(s *State) { s.addSlot(FileID(1, 77), 0, 1); chunkAt(s, "/d/f", 0, func(c *chunk) { c.refs++ }) },
		"a handle to come":   func(s *State) { s.nextHandle-- },
		"a goal too high":    func(s *State) { chunkAt(s, "/d/f", 1, func(c *chunk) { c.goal = maxReplicas + 1 }) },
		"a member twice":     func(s *State) { chunkAt(s, "/g", 0, func(c *chunk) { c.members[1] = c.members[0] }) },
		"an unknown member":  func(s *State) { chunkAt(s, "/g", 0, func(c *chunk) { c.members[1] = 99 }) },
		"an unknown primary": func(s *State) { chunkAt(s, "/g", 0, func(c *chunk) { c.lease.primary = 99 }) },
		"an unknown replica": func(s *State) { chunkAt(s, "/g", 1, func(c *chunk) { c.intent.replicas[0] = 99 }) },
		"a version reserved too low": func(s *State) {
			chunkAt(s, "/g", 0, func(c *chunk) { c.reserved = 0 })
		},
		"an orphan without a lease": func(s *State) {
			s.nextHandle++
			s.storeChunk(&chunk{handle: s.nextHandle - 1, deleted: true})
		},
		"a file counted twice":  func(s *State) { s.charge(id(s, "/d"), usage{files: 1}) },
		"a chunk not counted":   func(s *State) { s.charge(id(s, "/d"), usage{chunks: -1}) },
		"attributes of nothing": func(s *State) { s.storeAttributes(FileID(1, 77), &attributes{has: hasRetention}) },
		"a quota of a file": func(s *State) {
			s.storeAttributes(id(s, "/g"), &attributes{has: hasMaxFiles, used: usage{files: 1, chunks: 2}})
		},
		"no replicas":           func(s *State) { s.storeAttributes(id(s, "/g"), &attributes{has: hasReplicas}) },
		"an id twice":           func(s *State) { s.setChild(rootID, "again", nil, &node{id: id(s, "/g")}) },
		"a directory twice":     func(s *State) { s.setChild(rootID, "again", nil, &node{id: id(s, "/d"), dir: true}) },
		"file and directory":    func(s *State) { s.setChild(rootID, "again", nil, &node{id: id(s, "/d")}) },
		"an id to come":         func(s *State) { s.setChild(rootID, "new", nil, &node{id: FileID(s.index+1, 0)}) },
		"a copy to come":        func(s *State) { s.setChild(rootID, "new", nil, &node{id: copyID(s.nextCopy)}) },
		"the root's id":         func(s *State) { s.setChild(rootID, "new", nil, &node{id: rootID, dir: true}) },
		"names in no directory": func(s *State) { s.setChild(FileID(1, 77), "new", nil, &node{id: FileID(1, 78)}) },
		"a directory in itself": func(s *State) { s.setChild(FileID(1, 77), "new", nil, &node{id: FileID(1, 77), dir: true}) },
		"a slash in a name":     func(s *State) { s.setChild(rootID, "a/b", nil, &node{id: FileID(1, 77)}) },
		"hidden by name":        func(s *State) { s.setChild(rootID, "new", nil, &node{id: FileID(1, 77), hidden: true}) },
		"shown by key":          func(s *State) { s.setNode(hiddenKey(nil, rootID, "new", 1<<20), nil, &node{id: FileID(1, 77)}) },
		"due before its time": func(s *State) {
			s.setNode(hiddenKey(nil, rootID, "new", 1<<20), nil, &node{id: FileID(1, 77), hidden: true, deleted: 2, expires: 1})
		},
		"a file half removed": func(s *State) {
			s.setNode(hiddenKey(nil, rootID, "new", 1<<20), nil, &node{id: FileID(1, 77), hidden: true, doomed: true})
		},
		"two hidden at once": func(s *State) {
			for i, name := range []string{"a", "b"} {
				s.setNode(hiddenKey(nil, rootID, name, 1<<20), nil, &node{id: FileID(1, uint32(77+i)), hidden: true})
			}
		},
		"a copy in use": func(s *State) { s.copies.Set(idKey(nil, s.handleAt(id(s, "/g"), 0)), privateCopy{1, 1, 1}.encode(nil)) },
		"a copy of a handle to come": func(s *State) {
			s.copies.Set(idKey(nil, s.nextHandle), privateCopy{1, 1, 1}.encode(nil))
		},
		"time before 0": func(s *State) { s.time = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := furnished(t).s
			image := func() []byte {
				s.sum = sumOf(s)
				var b bytes.Buffer
				if _, err := s.Snapshot().WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				return b.Bytes()
			}
			if err := New().Restore(bytes.NewReader(image())); err != nil {
				t.Fatalf("before: %v", err)
			}
			tamper(s)
			if err := New().Restore(bytes.NewReader(image())); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("restored: %v", err)
			} else {
				t.Log(err)
			}
		})
	}
}

// TestOldFormat: a snapshot of another version is refused by name.
func TestOldFormat(t *testing.T) {
	err := New().Restore(bytes.NewReader([]byte("gfsmeta2 and so on")))
	if !errors.Is(err, ErrSnapshot) || !bytes.Contains([]byte(err.Error()), []byte(`begins with "gfsmeta2", want "gfsmeta3"`)) {
		t.Fatal(err)
	}
}
