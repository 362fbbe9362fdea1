package master

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// bubble runs a test of a cell in virtual time, with heartbeats.
func bubble(t *testing.T, masters int, chunkservers []string, test func(t *testing.T, c *fakeCell)) {
	t.Helper()
	bubbleWith(t, func(*Options) {}, masters, chunkservers, test)
}

// bubbleWith is bubble for a cell with other options.
func bubbleWith(t *testing.T, change func(*Options), masters int, chunkservers []string, test func(t *testing.T, c *fakeCell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCellWith(t, change, masters, chunkservers...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.keepAlive(ctx) }()
		defer func() {
			cancel()
			<-done
			c.stop()
		}()
		test(t, c)
	})
}

var three = []string{"cs1", "cs2", "cs3"}

// near compares virtual durations.
func near(got, want time.Duration) bool { return got >= want && got <= want+5*time.Millisecond }

// TestGrantOnce: one call grants, all others get the same lease.
func TestGrantOnce(t *testing.T) {
	bubble(t, 3, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		const callers = 50
		replies := make([]*api.ChunkReply, callers)
		var wg sync.WaitGroup
		for i := range replies {
			wg.Go(func() { replies[i] = c.find(m, handle) })
		}
		wg.Wait()
		granted := 0
		for _, r := range replies {
			if r.Granted {
				granted++
			}
			if r.Epoch != replies[0].Epoch || r.Version != 1 || r.Primary != replies[0].Primary || len(r.Replicas) != 3 || len(r.Addresses) != 3 {
				t.Fatalf("reply %v, first %v", r, replies[0])
			}
		}
		if granted != 1 || c.count("active") != 1 {
			t.Fatalf("%d replies say granted, %d grants are logged; want 1", granted, c.count("active"))
		}
		if got := c.servers[replies[0].Primary].acting(handle); got != replies[0].Epoch {
			t.Fatalf("the primary acts under epoch %d, want %d", got, replies[0].Epoch)
		}
	})
}

// TestExtensionAndExpiry: a lease lives as long as it is extended, and a new one
// is granted exactly D(1+rho) after the last extension.
func TestExtensionAndExpiry(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		primary := c.servers[first.Primary]
		var last time.Time
		for range 10 {
			time.Sleep(leaseTerm / 3)
			last = time.Now()
			if !primary.claim(t.Context(), handle) {
				t.Fatal("an extension was refused")
			}
			if r := c.find(m, handle); r.Epoch != first.Epoch || r.Granted {
				t.Fatalf("reply %v; want the lease of epoch %d", r, first.Epoch)
			}
		}
		time.Sleep(scaled(leaseTerm, 1-leaseRho) - time.Millisecond)
		if r := c.find(m, handle); r.Epoch != first.Epoch {
			t.Fatalf("just before the primary stops: %v", r)
		}
		time.Sleep(2 * time.Millisecond)
		second := c.find(m, handle) // waits
		if got := time.Since(last); !near(got, scaled(leaseTerm, 1+leaseRho)) {
			t.Fatalf("granted %v after the last extension, want D(1+rho) = %v", got, scaled(leaseTerm, 1+leaseRho))
		}
		if !second.Granted || second.Version != 2 || second.Epoch <= first.Epoch {
			t.Fatalf("second grant %v", second)
		}
		if r, err := m.ClaimLease(t.Context(), &api.ClaimRequest{Chunkserver: first.Primary, Handle: handle, Version: 1, Epoch: first.Epoch}); err != nil || r.Granted {
			t.Fatalf("a claim of the old epoch: %v, %v", r, err)
		}
	})
}

// TestNoExtensionWhileEnding: once the wait for the end of a lease has begun, a
// late claim cannot revive it.
func TestNoExtensionWhileEnding(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		time.Sleep(scaled(leaseTerm, 1-leaseRho) + time.Millisecond)
		done := make(chan *api.ChunkReply, 1)
		go func() { done <- c.find(m, handle) }()
		synctest.Wait() // the flight waits for D(1+rho)
		if c.servers[first.Primary].claim(t.Context(), handle) {
			t.Fatal("a claim was granted while the lease was being ended")
		}
		if second := <-done; second.Version != 2 {
			t.Fatalf("second grant %v", second)
		}
	})
}

// TestRevoke: at once on the primary's word, else when the lease has run out.
func TestRevoke(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		revoke := func() (*api.ChunkReply, time.Duration) {
			begin := time.Now()
			r, err := m.RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle})
			if err != nil || r.Code != api.Code_OK || r.Epoch != 0 || r.Primary != "" {
				t.Fatalf("revoke: %v, %v", r, err)
			}
			return r, time.Since(begin)
		}
		if _, took := revoke(); took != 0 { // there is none
			t.Fatalf("revoking no lease took %v", took)
		}
		first := c.find(m, handle)
		if r, took := revoke(); took != 0 || r.Version != 1 || r.At.Index <= first.At.Index {
			t.Fatalf("revoked after %v: %v", took, r)
		}
		if epoch := c.servers[first.Primary].acting(handle); epoch != 0 {
			t.Fatalf("the primary still acts under epoch %d", epoch)
		}
		second := c.find(m, handle)
		if second.Version != 2 || !second.Granted {
			t.Fatalf("grant after a revocation: %v", second)
		}
		granted := time.Now()
		c.servers[second.Primary].set(true, "")
		_, _ = revoke()
		if got := time.Since(granted); !near(got, scaled(leaseTerm, 1+leaseRho)) {
			t.Fatalf("the lease of a silent primary was over after %v, want %v", got, scaled(leaseTerm, 1+leaseRho))
		}
	})
}

// TestFailover: a new leader keeps inherited leases alive, lets their primaries
// extend them, and ends them only D(1+rho) after its own first barrier.
func TestFailover(t *testing.T) {
	bubble(t, 3, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		time.Sleep(leaseTerm / 2)
		c.group.elect(2)
		if _, err := c.masters[0].FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}); hintOf(err) != 2 {
			t.Fatalf("the deposed leader: %v", err)
		}
		if r, err := c.masters[0].ClaimLease(t.Context(), &api.ClaimRequest{Chunkserver: first.Primary, Handle: handle, Version: 1, Epoch: first.Epoch}); err == nil {
			t.Fatalf("the deposed leader answers a claim: %v", r)
		}
		if r := c.find(c.masters[1], handle); r.Epoch != first.Epoch || r.Granted {
			t.Fatalf("the new leader: %v; want the inherited lease", r)
		}
		// A third leader, which hears nothing from the primary any more.
		c.servers[first.Primary].set(true, "")
		time.Sleep(leaseTerm / 2)
		c.group.elect(3)
		barrier := time.Now()
		if r := c.find(c.masters[2], handle); r.Epoch != first.Epoch {
			t.Fatalf("the third leader: %v; want the inherited lease", r)
		}
		time.Sleep(leaseTerm)
		second := c.find(c.masters[2], handle)
		if got := time.Since(barrier); got < scaled(leaseTerm, 1+leaseRho) {
			t.Fatalf("granted %v after the barrier, before D(1+rho) = %v", got, scaled(leaseTerm, 1+leaseRho))
		}
		if second.Version != 2 || len(second.Replicas) != 2 {
			t.Fatalf("the grant without the silent chunkserver: %v", second)
		}
	})
}

// TestReactivation: a leader that died between logging a grant and telling the
// primary leaves a lease that the next leader makes known.
func TestReactivation(t *testing.T) {
	bubble(t, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		primary := c.servers[first.Primary]
		primary.mu.Lock() // it never learnt of the grant
		delete(primary.grants, handle)
		delete(primary.until, handle)
		primary.mu.Unlock()
		c.group.elect(2)
		if r := c.find(c.masters[1], handle); r.Epoch != first.Epoch {
			t.Fatalf("the new leader: %v", r)
		}
		if primary.acting(handle) != first.Epoch {
			t.Fatal("the primary has not been told")
		}
	})
}

// TestPrimaryRefuses: a primary that does not take its grant is replaced at once,
// because it never claimed; it stays a member.
func TestPrimaryRefuses(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		for _, s := range c.servers {
			s.set(false, "activate")
		}
		begin := time.Now()
		r, err := m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle})
		if err != nil || r.Code != api.Code_NO_CHUNKSERVER || time.Since(begin) != 0 {
			t.Fatalf("nobody takes the grant: %v, %v after %v", r, err, time.Since(begin))
		}
		tried := 0
		for name, s := range c.servers {
			if s.count("activate") > 1 {
				t.Errorf("%s was asked %d times", name, s.count("activate"))
			}
			tried += s.count("activate")
			s.set(false, "")
		}
		if tried != 3 {
			t.Errorf("%d activations, want 3", tried)
		}
		if r := c.find(m, handle); len(r.Replicas) != 3 || r.Version != 4 {
			t.Fatalf("afterwards: %v; want version 4 on 3 replicas", r)
		}
	})
}

// TestMembership: who misses a grant is no member any more, even when it is back.
func TestMembership(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		c.servers["cs2"].set(false, "prepare")
		first := c.find(m, handle)
		if len(first.Replicas) != 2 {
			t.Fatalf("grant %v; want two members", first)
		}
		c.servers["cs2"].set(false, "")
		if _, err := m.RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}); err != nil {
			t.Fatal(err)
		}
		if second := c.find(m, handle); len(second.Replicas) != 2 || c.servers["cs2"].count("prepare") != 1 {
			t.Fatalf("second grant %v; cs2 was asked %d times", second, c.servers["cs2"].count("prepare"))
		}
	})
}

// TestPlacementWarmUp: a new chunk waits for enough chunkservers to report, but
// only as long as the master is young.
func TestPlacementWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 1)
		defer c.stop()
		handle := c.newChunk("/f")
		done := make(chan *api.ChunkReply, 1)
		go func() { done <- c.find(c.masters[0], handle) }()
		for _, name := range three {
			select {
			case r := <-done:
				t.Fatalf("granted before %s was heard: %v", name, r)
			case <-time.After(20 * time.Millisecond):
			}
			c.serve(name)
			c.heartbeat(name)
		}
		if r := <-done; len(r.Replicas) != 3 {
			t.Fatalf("grant %v; want three replicas", r)
		}
		time.Sleep(c.o.DeadAfter + time.Millisecond)
		c.heartbeat("cs1")
		begin, second := time.Now(), c.newChunk("/g")
		if r := c.find(c.masters[0], second); len(r.Replicas) != 1 || time.Since(begin) != 0 {
			t.Fatalf("later: %v after %v; want the one that is alive, at once", r, time.Since(begin))
		}
	})
}

// TestNoChunkserver: no heartbeat, no grant.
func TestNoChunkserver(t *testing.T) {
	bubble(t, 1, nil, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		r, err := c.masters[0].FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle})
		if err != nil || r.Code != api.Code_NO_CHUNKSERVER {
			t.Fatalf("reply %v, error %v", r, err)
		}
	})
}

// TestWarmUp: a master that has just started waits for the members it has not
// heard of yet, instead of leaving them out.
func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, 1, three...)
		defer c.stop()
		handle := c.newChunk("/f")
		c.find(c.masters[0], handle)
		if _, err := c.masters[0].RevokeLease(t.Context(), &api.LeaseRequest{Handle: handle}); err != nil {
			t.Fatal(err)
		}
		var image bytes.Buffer
		snapshot, err := c.masters[0].machine.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := snapshot.WriteTo(&image); err != nil {
			t.Fatal(err)
		}
		m, err := New(c.o) // the restarted master
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.machine.Restore(&image); err != nil {
			t.Fatal(err)
		}
		c.masters = append(c.masters, m)
		c.group.elect(2)
		done := make(chan *api.ChunkReply, 1)
		go func() { done <- c.find(m, handle) }()
		for _, name := range three {
			select {
			case r := <-done:
				t.Fatalf("granted before %s was heard: %v", name, r)
			case <-time.After(20 * time.Millisecond):
			}
			c.heartbeat(name)
		}
		if r := <-done; len(r.Replicas) != 3 {
			t.Fatalf("grant %v; want three members", r)
		}
	})
}

// TestSweeper: the lease of a deleted file's chunk is ended in the background.
func TestSweeper(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		grant := c.find(m, handle)
		stat, err := m.Stat(t.Context(), &api.ReadRequest{Path: "/f"})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []uint64{0, stat.Id} { // first it is hidden, then it is gone
			if r, err := m.Delete(t.Context(), &api.DeleteRequest{Session: c.session(), Path: "/f", Id: id}); err != nil || r.Code != api.Code_OK {
				t.Fatal(r, err)
			}
		}
		if r, err := m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}); err != nil || r.Code != api.Code_NO_CHUNK {
			t.Fatalf("holder of a deleted chunk: %v, %v", r, err)
		}
		if c.servers[grant.Primary].claim(t.Context(), handle) {
			t.Fatal("the lease of a deleted chunk was extended")
		}
		time.Sleep(leaseTerm)
		if c.count("end") != 1 {
			t.Fatalf("%d leases were ended, want 1", c.count("end"))
		}
	})
}

// TestDeadlineWhileWaiting: the caller's deadline ends the call, not the flight.
func TestDeadlineWhileWaiting(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		time.Sleep(scaled(leaseTerm, 1-leaseRho) + time.Millisecond)
		c.servers[first.Primary].set(true, "")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := m.FindLeaseHolder(ctx, &api.LeaseRequest{Handle: handle}); status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("error %v, want DeadlineExceeded", err)
		}
		time.Sleep(leaseTerm)
		if r := c.find(m, handle); r.Version != 2 || r.Granted {
			t.Fatalf("the flight that nobody waited for: %v", r)
		}
	})
}

// TestCloseDuringFlight: Close ends a grant that waits, and its callers.
func TestCloseDuringFlight(t *testing.T) {
	bubble(t, 1, three, func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		c.find(m, handle)
		time.Sleep(scaled(leaseTerm, 1-leaseRho) + time.Millisecond)
		done := make(chan error, 1)
		go func() {
			_, err := m.FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle})
			done <- err
		}()
		synctest.Wait()
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			t.Fatal("a call outlived Close without an error")
		}
	})
}

// synctestCell is bubbleWith without heartbeats.
func synctestCell(t *testing.T, change func(*Options), masters int, chunkservers []string, test func(t *testing.T, c *fakeCell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCellWith(t, change, masters, chunkservers...)
		defer c.stop()
		test(t, c)
	})
}
