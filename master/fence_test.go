package master

import (
	"slices"
	"testing"
	"time"

	"gfslab/api"
)

func fencing(o *Options) { o.LeaseWait = false }

// TestFenceDeadPrimary: once a primary is known to be dead, the next caller gets a
// grant without it at once, long before the old lease has run out; the old epoch
// can be claimed no more, and stays in the state until it is replaced.
func TestFenceDeadPrimary(t *testing.T) {
	long := func(o *Options) { fencing(o); o.LeaseTerm = time.Minute }
	synctestCell(t, long, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		var others []string
		for _, name := range three {
			if name != first.Primary {
				others = append(others, name)
			}
		}
		c.servers[first.Primary].set(true, "")
		time.Sleep(c.o.DeadAfter)
		c.heartbeat(others...)
		if r := c.find(m, handle); r.Epoch != first.Epoch {
			t.Fatalf("a primary that was just heard of lost its lease: %v", r)
		}
		time.Sleep(10 * time.Millisecond)
		c.heartbeat(others...)
		events := c.record()
		begin := time.Now()
		second := c.find(m, handle)
		if took := time.Since(begin); took != 0 || !second.Granted || second.Version != 2 || slices.Contains(second.Replicas, first.Primary) {
			t.Fatalf("after %v: %v", took, second)
		}
		if got := events.kinds(handle); !slices.Equal(got, []string{"fence", "intent", "active", "activate", "claim"}) &&
			!slices.Equal(got, []string{"fence", "intent", "active", "claim", "activate"}) {
			t.Fatalf("the lease went through %v", got)
		}
		claim := &api.ClaimRequest{Chunkserver: first.Primary, Handle: handle, Version: 1, Epoch: first.Epoch}
		if r, err := m.ClaimLease(t.Context(), claim); err != nil || r.Granted {
			t.Fatalf("the old epoch was claimed: %v, %v", r, err)
		}
	})
}

// TestFenceNeedsMembers: a new grant goes to members of the old one alone, as only
// they refuse the old version.
func TestFenceNeedsMembers(t *testing.T) {
	synctestCell(t, fencing, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		c.find(m, handle)
		c.serve("cs4")
		time.Sleep(c.o.DeadAfter + time.Millisecond)
		c.heartbeat("cs4")
		if r, err := m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}); err != nil || r.Code != api.Code_NO_CHUNKSERVER {
			t.Fatalf("no member is alive: %v, %v", r, err)
		}
		if c.servers["cs4"].count("prepare") != 0 {
			t.Fatal("a stranger was asked")
		}
	})
}

// TestFenceAfterRevoke: a revocation that the primary does not acknowledge does
// not wait, and the next caller takes the lease away.
func TestFenceAfterRevoke(t *testing.T) {
	bubbleWith(t, fencing, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		c.servers[first.Primary].set(true, "")
		begin := time.Now()
		code[*api.ChunkReply](t, api.Code_LEASE_HELD)(m.RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}))
		if x, _, _ := m.machine.chunk(handle); x.Epoch != first.Epoch {
			t.Fatalf("the lease is not in the state any more: %+v", x)
		}
		second := c.find(m, handle)
		if took := time.Since(begin); took > 2*c.o.CallTimeout+5*time.Millisecond || second.Version != 2 || slices.Contains(second.Replicas, first.Primary) {
			t.Fatalf("after %v: %v", took, second)
		}
		// On its word, a lease ends as ever.
		r := code[*api.ChunkReply](t, api.Code_OK)(m.RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}))
		if r.Epoch != 0 {
			t.Fatalf("revoked: %v", r)
		}
	})
}

// TestFenceLeaderDies: between fence and grant, the state shows the old lease, so a
// snapshot by the next leader ends it properly.
func TestFenceLeaderDies(t *testing.T) {
	bubbleWith(t, fencing, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		c.servers[first.Primary].set(true, "")
		code[*api.ChunkReply](t, api.Code_LEASE_HELD)(c.masters[0].RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}))
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
		begin := time.Now()
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(c.masters[1], "/f", "/copy"))
		if took := time.Since(begin); !near(took, scaled(leaseTerm, 1+leaseRho)) {
			t.Fatalf("the snapshot took %v; the inherited lease may be acted on for D(1+rho)", took)
		}
	})
}

// TestFenceInherited: a new leader sends nobody to a primary that it knows to be
// dead, although the lease that it inherited has not run out.
func TestFenceInherited(t *testing.T) {
	long := func(o *Options) { fencing(o); o.LeaseTerm = time.Minute }
	synctestCell(t, long, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		c.servers[first.Primary].set(true, "")
		time.Sleep(c.o.DeadAfter + time.Millisecond)
		for _, name := range three {
			if name != first.Primary {
				c.heartbeat(name)
			}
		}
		c.group.elect(2)
		begin := time.Now()
		second := c.find(c.masters[1], handle)
		if took := time.Since(begin); took > c.o.CallTimeout || second.Version != 2 || slices.Contains(second.Replicas, first.Primary) {
			t.Fatalf("after %v: %v", took, second)
		}
	})
}

// TestSnapshotOverDeadPrimary: a lease whose primary is dead is taken over first,
// and ended on its new primary's word; nobody waits for D.
func TestSnapshotOverDeadPrimary(t *testing.T) {
	long := func(o *Options) { fencing(o); o.LeaseTerm = time.Minute }
	synctestCell(t, long, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		c.servers[first.Primary].set(true, "")
		time.Sleep(c.o.DeadAfter + time.Millisecond)
		for _, name := range three {
			if name != first.Primary {
				c.heartbeat(name)
			}
		}
		events := c.record()
		begin := time.Now()
		code[*api.MutationReply](t, api.Code_OK)(c.snapshot(m, "/f", "/copy"))
		if took := time.Since(begin); took > 2*c.o.CallTimeout {
			t.Fatalf("the snapshot took %v", took)
		}
		if got := events.kinds(handle); got[len(got)-2] != "revoke" || !slices.Contains(got, "fence") {
			t.Fatalf("the lease went through %v", got)
		}
		x, _, _ := m.machine.chunk(handle)
		if x.Epoch != 0 || x.Version != 2 || slices.Contains(x.Members, first.Primary) {
			t.Fatalf("the chunk is %+v", x)
		}
	})
}

// TestRevokeAsksAgain: a primary that did not hear the first time is asked again
// while its lease lasts.
func TestRevokeAsksAgain(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		begin := time.Now()
		c.servers[first.Primary].set(true, "")
		time.AfterFunc(c.o.CallTimeout+time.Millisecond, func() { c.servers[first.Primary].set(false, "") })
		code[*api.ChunkReply](t, api.Code_OK)(m.RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}))
		if took := time.Since(begin); took > 2*c.o.CallTimeout {
			t.Fatalf("revoked after %v", took)
		}
	})
}
