package master

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/consensus"
)

// TestSnapshotRevokes: the leases below are ended before the copy is logged, no
// chunk is granted while it is not, and both sides get chunks of their own when
// they are written to.
func TestSnapshotRevokes(t *testing.T) {
	bubble(t, 3, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		code[*api.MutationReply](t, api.Code_OK)(m.Mkdir(t.Context(), &api.PathRequest{Session: c.session(), Path: "/d"}))
		handle := c.newChunk("/d/f")
		lease := c.find(m, handle)
		events := c.record()
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/d", "/e"))
		if got := events.kinds(handle); !slices.Equal(got, []string{"ending", "revoke", "end"}) {
			t.Fatalf("the lease went through %v", got)
		}
		if epoch := c.servers[lease.Primary].acting(handle); epoch != 0 {
			t.Fatalf("the primary still acts under epoch %d", epoch)
		}
		if got := c.chunks(m, "/e/f"); !slices.Equal(got, []uint64{handle}) {
			t.Fatalf("the copy has chunks %v", got)
		}
		// By handle alone nobody can say whose copy is to be made.
		code[*api.ChunkReply](t, api.Code_SHARED)(m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}))

		first := code[*api.ChunkReply](t, api.Code_OK)(c.holder(m, "/d/f"))
		if first.Handle == handle || !first.Granted || first.Version != lease.Version+1 || len(first.Replicas) != 3 || first.Refs != 1 {
			t.Fatalf("the first write is sent to %v", first)
		}
		for name, s := range c.servers {
			if s.count("copy") != 1 {
				t.Errorf("%s made %d copies", name, s.count("copy"))
			}
		}
		// The last one left keeps the chunk: there is nobody to share it with.
		second := code[*api.ChunkReply](t, api.Code_OK)(c.holder(m, "/e/f"))
		if second.Handle != handle || second.Version != lease.Version+1 {
			t.Fatalf("the other side is sent to %v", second)
		}
		if a, b := c.chunks(m, "/d/f"), c.chunks(m, "/e/f"); a[0] != first.Handle || b[0] != handle {
			t.Fatalf("chunks %v and %v", a, b)
		}
	})
}

// TestSnapshotWaits: without the primary's word, a snapshot waits until the lease
// has surely run out; nobody gets a lease below meanwhile, beside it everybody.
func TestSnapshotWaits(t *testing.T) {
	for _, wait := range []bool{true, false} { // a snapshot never fences
		t.Run(fmt.Sprintf("lease wait %v", wait), func(t *testing.T) {
			bubbleWith(t, func(o *Options) { o.LeaseWait = wait }, 1, three, func(t *testing.T, c *fakeCell) {
				m := c.masters[0]
				handle, beside := c.newChunk("/f"), c.newChunk("/g")
				lease := c.find(m, handle)
				c.servers[lease.Primary].set(true, "")
				granted := time.Now()
				done := make(chan *api.MutationReply, 1)
				go func() {
					done <- code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/copy"))
				}()
				synctest.Wait()
				var wg sync.WaitGroup
				wg.Go(func() { // by path: waits for the lock
					r := code[*api.ChunkReply](t, api.Code_OK)(c.holder(m, "/f"))
					if r.Handle == handle {
						t.Errorf("the shared chunk was granted: %v", r)
					}
				})
				wg.Go(func() { // by handle: waits for the hold
					code[*api.ChunkReply](t, api.Code_SHARED)(m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}))
				})
				begin := time.Now()
				c.find(m, beside)
				if took := time.Since(begin); took > 2*c.o.CallTimeout {
					t.Errorf("a lease beside the snapshot took %v", took)
				}
				<-done
				if got := time.Since(granted); !near(got, scaled(leaseTerm, 1+leaseRho)) {
					t.Errorf("the snapshot was done after %v, want D(1+rho)", got)
				}
				wg.Wait()
			})
		})
	}
}

// TestSnapshotLeaderDies: revocations without the copy have no effect but that
// leases are gone; the next leader does it all once.
func TestSnapshotLeaderDies(t *testing.T) {
	bubble(t, 3, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		handle := c.newChunk("/f")
		c.find(m, handle)
		request := &api.SnapshotTreeRequest{Session: c.session(), From: "/f", To: "/copy"}
		c.mu.Lock()
		c.onLease = func(e LeaseEvent) {
			if e.Kind == "end" && e.Handle == handle {
				c.group.elect(2)
			}
		}
		c.mu.Unlock()
		if r, err := m.Snapshot(t.Context(), request); err == nil {
			t.Fatalf("a deposed leader answered %v", r)
		}
		next := c.masters[1]
		code[*api.StatReply](t, api.Code_NOT_FOUND)(next.Stat(t.Context(), &api.ReadRequest{Path: "/copy"}))
		if r := c.find(next, handle); !r.Granted || r.Version != 2 {
			t.Fatalf("the lease after the failed snapshot: %v", r)
		}
		first := code[*api.MutationReply](t, api.Code_OK)(next.Snapshot(t.Context(), request))
		again := code[*api.MutationReply](t, api.Code_OK)(next.Snapshot(t.Context(), request))
		if first.Replayed || !again.Replayed || again.At.Index != first.At.Index || again.Id != first.Id {
			t.Fatalf("first %v, again %v", first, again)
		}
	})
}

// TestSnapshotOfPendingIntent: an intent whose leader died is given up first.
func TestSnapshotOfPendingIntent(t *testing.T) {
	bubble(t, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		c.mu.Lock()
		c.onLease = func(e LeaseEvent) {
			if e.Kind == "intent" && e.Term == 1 {
				c.group.elect(2)
			}
		}
		c.mu.Unlock()
		if r, err := c.masters[0].FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}); err == nil && r.Code == api.Code_OK {
			t.Fatalf("a deposed leader granted %v", r)
		}
		if x, _, _ := c.masters[1].machine.chunk(handle); x.Intent == 0 {
			t.Fatal("no intent is pending")
		}
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(c.masters[1], "/f", "/copy"))
	})
}

// TestSnapshotsCross: snapshots that share chunks do not wait for each other for
// ever.
func TestSnapshotsCross(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		code[*api.MutationReply](t, api.Code_OK)(m.Mkdir(t.Context(), &api.PathRequest{Session: c.session(), Path: "/d"}))
		for i := range 8 {
			c.newChunk(fmt.Sprint("/d/", i))
		}
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/d", "/e"))
		// In the order of names, the chunks are in another order now, and twice.
		code[*api.MutationReply](t, api.Code_OK)(m.Rename(t.Context(), &api.RenameRequest{Session: c.session(), From: "/e/0", To: "/e/x"}))
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/e/x", "/e/y"))
		if got := m.handlesBelow("/e"); len(got) != 8 || !slices.IsSorted(got) {
			t.Fatalf("the chunks would be taken as %v", got)
		}
		var wg sync.WaitGroup
		for i := range 6 {
			from := []string{"/d", "/e"}[i%2]
			request := &api.SnapshotTreeRequest{Session: &api.Session{Client: fmt.Sprint("c", i), Seq: 1}, From: from, To: fmt.Sprint("/copy", i)}
			wg.Go(func() { code[*api.MutationReply](t, api.Code_OK)(m.Snapshot(t.Context(), request)) })
		}
		wg.Wait()
		if n := m.paths.Len(); n != 0 || len(m.leases.flights) != 0 {
			t.Fatalf("%d paths are locked, %d chunks held", n, len(m.leases.flights))
		}
	})
}

// TestCopyPartly: a member that does not copy is no member of the copy; if none
// does there is no lease, and the next call tries with a new handle.
func TestCopyPartly(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		handle := c.newChunk("/f")
		c.find(m, handle)
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/copy"))
		for _, s := range c.servers {
			s.set(false, "copy")
		}
		code[*api.ChunkReply](t, api.Code_NO_CHUNKSERVER)(c.holder(m, "/f"))
		if got := c.chunks(m, "/f"); got[0] != handle {
			t.Fatalf("chunks %v", got)
		}
		c.servers["cs2"].set(false, "")
		c.servers["cs3"].set(true, "")
		r := code[*api.ChunkReply](t, api.Code_OK)(c.holder(m, "/f"))
		if r.Handle <= handle+1 || !slices.Equal(r.Replicas, []string{"cs2"}) {
			t.Fatalf("the copy is %v", r)
		}
		if len(m.leases.copies) != 0 {
			t.Fatalf("copies %v are still in hand", m.leases.copies)
		}
	})
}

// TestCopyOnce: callers of one path get one copy, and the callers of both sides
// never the same chunk.
func TestCopyOnce(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m := c.masters[0]
		c.find(m, c.newChunk("/f"))
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/g"))
		var mu sync.Mutex
		handles := map[string][]uint64{}
		var wg sync.WaitGroup
		for i := range 20 {
			path := []string{"/f", "/g"}[i%2]
			wg.Go(func() {
				r := code[*api.ChunkReply](t, api.Code_OK)(c.holder(m, path))
				mu.Lock()
				defer mu.Unlock()
				handles[path] = append(handles[path], r.Handle)
			})
		}
		wg.Wait()
		f, g := slices.Compact(handles["/f"]), slices.Compact(handles["/g"])
		if len(f) != 1 || len(g) != 1 || f[0] == g[0] {
			t.Fatalf("leases on %v and %v", handles["/f"], handles["/g"])
		}
		if got := c.servers["cs1"].count("copy"); got != 1 {
			t.Fatalf("%d copies were made", got)
		}
	})
}

// TestCopyLeaderDies: a copy whose leader died before it was committed leaves an
// unused handle, and the next leader makes another.
func TestCopyLeaderDies(t *testing.T) {
	bubble(t, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		c.find(c.masters[0], handle)
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(c.masters[0], "/f", "/copy"))
		c.mu.Lock()
		c.onLease = func(e LeaseEvent) {
			if e.Kind == "copy" && e.Term == 1 {
				c.group.elect(consensus.NodeID(2))
			}
		}
		c.mu.Unlock()
		if r, err := c.holder(c.masters[0], "/f"); err == nil && r.Code == api.Code_OK {
			t.Fatalf("a deposed leader answered %v", r)
		}
		if got := c.chunks(c.masters[1], "/f"); got[0] != handle {
			t.Fatalf("chunks %v; the copy was not committed", got)
		}
		r := code[*api.ChunkReply](t, api.Code_OK)(c.holder(c.masters[1], "/f"))
		if r.Handle != handle+2 {
			t.Fatalf("the copy has handle %d; %d was taken for one that was given up", r.Handle, handle+1)
		}
	})
}

// TestSnapshotOfUnequalMembers: a write that reached one member and was not
// acknowledged stays on that one in a snapshot. When the others are lost, the lowest
// contents of the members rise, though nobody wrote; a write would be seen.
func TestSnapshotOfUnequalMembers(t *testing.T) {
	soon := func(o *Options) { o.ReplicateAfter, o.WarmUp = time.Second, time.Second }
	bubbleWith(t, soon, 1, []string{"cs1", "cs2", "cs3", "cs4", "cs5"}, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		lease := c.find(m, handle)
		for _, name := range lease.Replicas {
			if s := c.servers[name]; !s.store.overwrite(handle, lease.Version, 1) {
				t.Fatalf("%s takes no write", name)
			}
		}
		c.servers[lease.Primary].store.overwrite(handle, lease.Version, 2)
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/copy"))
		w := &world{fakeCell: c, t: t, begin: time.Now()}
		held := w.contents("/copy")
		if slices.Sort(held); !slices.Equal(held, []uint64{1, 1, 2}) {
			t.Fatalf("the members hold %v", held)
		}
		for _, name := range lease.Replicas {
			if name != lease.Primary {
				c.servers[name].set(true, "")
				c.servers[name].store.kill()
			}
		}
		time.Sleep(10 * time.Second)
		now := w.contents("/copy")
		if slices.Min(now) != 2 || len(now) != 3 || len(strange(held, now)) > 0 {
			t.Fatalf("the members held %v and hold %v", held, now)
		}
		c.servers[lease.Primary].store.overwrite(handle, lease.Version, 3)
		if got := strange(held, w.contents("/copy")); !slices.Equal(got, []uint64{3}) {
			t.Fatalf("of a write to the snapshot %v is seen", got)
		}
	})
}

// TestRestartedPrimary: a chunkserver that restarted, as the churns have them do, acts
// on no lease of the boot before: the master counts on that.
func TestRestartedPrimary(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		lease := c.find(c.masters[0], handle)
		primary, writes := c.servers[lease.Primary], 0
		write := func(*api.GrantRequest, bool) { writes++ }
		primary.whileActing(handle, lease.Version, write)
		primary.restart()
		primary.whileActing(handle, lease.Version, write)
		if primary.acting(handle) != 0 || writes != 1 {
			t.Fatalf("it acts under epoch %d, and wrote %d times", primary.acting(handle), writes)
		}
	})
}
