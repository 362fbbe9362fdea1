package master

import (
	"fmt"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

func (c *fakeCell) retain(m *Master, path string, d time.Duration) (*api.MutationReply, error) {
	ns := int64(d)
	return m.SetAttributes(c.t.Context(), &api.SetAttributesRequest{Session: c.session(), Path: path, Set: &api.Attributes{RetentionNs: &ns}})
}

func (c *fakeCell) delete(m *Master, path string, id uint64) (*api.MutationReply, error) {
	return m.Delete(c.t.Context(), &api.DeleteRequest{Session: c.session(), Path: path, Recursive: true, Id: id})
}

func (c *fakeCell) undelete(m *Master, path string, id uint64) (*api.MutationReply, error) {
	return m.Undelete(c.t.Context(), &api.UndeleteRequest{Session: c.session(), Path: path, Id: id})
}

// sizes counts what is in the state of a master.
func sizes(m *Master) (nodes, chunks int) {
	m.machine.view(func(s *meta.State) { nodes, chunks, _ = s.Sizes() })
	return nodes, chunks
}

// TestPurge: what was deleted is removed when its retention is over, not before,
// and by nobody but a leader.
func TestPurge(t *testing.T) {
	synctestCell(t, func(*Options) {}, 2, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		const retention = 10 * time.Second
		code[*api.MutationReply](t, api.Code_OK)(c.retain(m, "/", retention))
		c.newChunk("/f")
		gone := code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		time.Sleep(retention - time.Millisecond)
		if nodes, chunks := sizes(m); nodes != 2 || chunks != 1 {
			t.Fatalf("%d names and %d chunks before the retention is over", nodes, chunks)
		}
		back := code[*api.MutationReply](t, api.Code_OK)(c.undelete(m, "/f", gone.Id))
		if back.Id != gone.Id {
			t.Fatalf("undeleted %v, deleted %v", back, gone)
		}
		code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		proposed, _ := c.group.replicas[0].counts()
		c.group.elect(0)
		time.Sleep(2 * retention)
		now, _ := c.group.replicas[0].counts()
		if nodes, _ := sizes(m); nodes != 2 || now != proposed {
			t.Fatalf("something was removed without a leader: %d names", nodes)
		}
		c.group.elect(2)
		time.Sleep(2 * purgeEvery)
		for i, m := range c.masters {
			if nodes, chunks := sizes(m); nodes != 1 || chunks != 0 {
				t.Fatalf("master %d has %d names and %d chunks", i+1, nodes, chunks)
			}
		}
		code[*api.MutationReply](t, api.Code_NOT_FOUND)(c.undelete(c.masters[1], "/f", gone.Id))
		proposed, barriers := c.group.replicas[1].counts()
		time.Sleep(time.Minute)
		if p, b := c.group.replicas[1].counts(); p != proposed || b != barriers {
			t.Fatalf("%d commands and %d barriers with nothing to remove", p-proposed, b-barriers)
		}
	})
}

// TestPurgeMany: a large tree goes in bounded commands.
func TestPurgeMany(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, nil, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		code[*api.MutationReply](t, api.Code_OK)(c.retain(m, "/", time.Second))
		code[*api.MutationReply](t, api.Code_OK)(m.Mkdir(t.Context(), &api.PathRequest{Session: c.session(), Path: "/d"}))
		const files = 2*purgeEntries + 1
		for i := range files {
			code[*api.MutationReply](t, api.Code_OK)(m.Create(t.Context(), &api.PathRequest{Session: c.session(), Path: fmt.Sprint("/d/", i)}))
		}
		code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/d", 0))
		before, _ := c.group.replicas[0].counts()
		time.Sleep(time.Second + 2*purgeEvery)
		if nodes, _ := sizes(m); nodes != 1 {
			t.Fatalf("%d names are left", nodes)
		}
		if after, _ := c.group.replicas[0].counts(); after-before != 3 {
			t.Fatalf("%d commands removed %d entries", after-before, files+1)
		}
	})
}

// TestUndelete: what is hidden comes back under its old name, unless that is taken.
func TestUndelete(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		first := c.newChunk("/f")
		old := code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		code[*api.MutationReply](t, api.Code_NOT_FOUND)(c.delete(m, "/f", 0))
		second := c.newChunk("/f")
		code[*api.MutationReply](t, api.Code_EXISTS)(c.undelete(m, "/f", 0))
		young := code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		if old.Id == young.Id {
			t.Fatalf("two files of id %d", old.Id)
		}
		code[*api.MutationReply](t, api.Code_OK)(c.undelete(m, "/f", 0)) // the last one
		if got := c.chunks(m, "/f"); got[0] != second {
			t.Fatalf("chunks %v", got)
		}
		code[*api.MutationReply](t, api.Code_EXISTS)(c.undelete(m, "/f", old.Id))
		code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", 0))
		code[*api.MutationReply](t, api.Code_OK)(c.undelete(m, "/f", old.Id))
		if got := c.chunks(m, "/f"); got[0] != first {
			t.Fatalf("chunks %v", got)
		}
		code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/f", young.Id)) // for good
		code[*api.MutationReply](t, api.Code_NOT_FOUND)(c.undelete(m, "/f", young.Id))
		if nodes, chunks := sizes(m); nodes != 2 || chunks != 1 {
			t.Fatalf("%d names, %d chunks", nodes, chunks)
		}
	})
}

// TestQuota: what does not fit is refused and changes nothing; what is hidden
// counts.
func TestQuota(t *testing.T) {
	synctestCell(t, func(*Options) {}, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		create := func(path string) (*api.MutationReply, error) {
			return m.Create(t.Context(), &api.PathRequest{Session: c.session(), Path: path})
		}
		allocate := func(path string, index uint32) (*api.MutationReply, error) {
			return m.AllocateChunk(t.Context(), &api.AllocateRequest{Session: c.session(), Path: path, ChunkIndex: index})
		}
		code[*api.MutationReply](t, api.Code_OK)(m.Mkdir(t.Context(), &api.PathRequest{Session: c.session(), Path: "/d"}))
		two, one := uint64(2), uint64(1)
		quota := &api.SetAttributesRequest{Session: c.session(), Path: "/d", Set: &api.Attributes{MaxFiles: &two, MaxChunks: &one}}
		code[*api.MutationReply](t, api.Code_OK)(m.SetAttributes(t.Context(), quota))
		code[*api.MutationReply](t, api.Code_OK)(create("/d/a"))
		code[*api.MutationReply](t, api.Code_OK)(allocate("/d/a", 0))
		code[*api.MutationReply](t, api.Code_QUOTA)(allocate("/d/a", 1))
		code[*api.MutationReply](t, api.Code_OK)(c.delete(m, "/d/a", 0))
		code[*api.MutationReply](t, api.Code_OK)(create("/d/b"))
		code[*api.MutationReply](t, api.Code_QUOTA)(create("/d/c"))
		code[*api.MutationReply](t, api.Code_OK)(create("/e"))
		code[*api.MutationReply](t, api.Code_QUOTA)(c.snapshot(m, "/e", "/d/e"))
		code[*api.MutationReply](t, api.Code_QUOTA)(m.Rename(t.Context(), &api.RenameRequest{Session: c.session(), From: "/e", To: "/d/e"}))
		code[*api.MutationReply](t, api.Code_INVALID)(m.SetAttributes(t.Context(), &api.SetAttributesRequest{Session: c.session(), Path: "/d", Clear: []string{"colour"}}))
		clear := &api.SetAttributesRequest{Session: c.session(), Path: "/d", Clear: []string{"max_files"}}
		code[*api.MutationReply](t, api.Code_OK)(m.SetAttributes(t.Context(), clear))
		code[*api.MutationReply](t, api.Code_OK)(create("/d/c"))
	})
}

// TestStrict: the next chunk comes after the seal of the last one, which only the
// lease's own primary can ask for, and a sealed chunk is granted no more.
func TestStrict(t *testing.T) {
	synctestCell(t, func(o *Options) { o.Strict = true }, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		lease := c.find(m, handle)
		if grant := c.servers[lease.Primary].grants[handle]; !grant.Strict {
			t.Fatal("the primary was not told")
		}
		allocate := func() (*api.MutationReply, error) {
			return m.AllocateChunk(t.Context(), &api.AllocateRequest{Session: c.session(), Path: "/f", ChunkIndex: 1})
		}
		seal := func(epoch uint64) (*api.MutationReply, error) {
			return m.Seal(t.Context(), &api.SealRequest{Chunkserver: lease.Primary, Handle: handle, Version: lease.Version, Epoch: epoch, Length: 100})
		}
		code[*api.MutationReply](t, api.Code_NOT_SEALED)(allocate())
		code[*api.MutationReply](t, api.Code_STALE)(seal(lease.Epoch + 1))
		code[*api.MutationReply](t, api.Code_INVALID)(seal(0))
		code[*api.MutationReply](t, api.Code_OK)(seal(lease.Epoch))
		code[*api.MutationReply](t, api.Code_OK)(allocate())
		code[*api.ChunkReply](t, api.Code_SEALED)(m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}))
		code[*api.ChunkReply](t, api.Code_SEALED)(c.holder(m, "/f"))
		r := code[*api.ChunkReply](t, api.Code_OK)(m.FindLocation(t.Context(), &api.LocationRequest{Path: "/f"}))
		if !r.Sealed || r.Kind != api.ChunkKind_RECORDS || r.Refs != 1 {
			t.Fatalf("location %v", r)
		}
	})
}
