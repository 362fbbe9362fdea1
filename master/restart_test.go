package master

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// A primary that restarted holds no lease any more: the next caller gets a new
// grant at once, not when the lease would have run out.
func TestRestartedPrimaryIsReplaced(t *testing.T) {
	for _, wait := range []bool{false, true} {
		bubbleWith(t, func(o *Options) { o.LeaseWait = wait }, 1, three, func(t *testing.T, c *fakeCell) {
			m, handle := c.masters[0], c.newChunk("/f")
			first := c.find(m, handle)
			if r := c.find(m, handle); r.Granted {
				t.Fatalf("the primary runs, and a new lease was granted: %v", r)
			}
			c.servers[first.Primary].restartProcess()
			time.Sleep(60 * time.Millisecond) // its first report of the new boot
			begin := time.Now()
			second := c.find(m, handle)
			if !second.Granted || second.Version != first.Version+1 || time.Since(begin) != 0 {
				t.Fatalf("wait %v: %v after %v; want a new grant at once", wait, second, time.Since(begin))
			}
			if r := c.find(m, handle); r.Granted || r.Epoch != second.Epoch {
				t.Fatalf("the new lease does not hold: %v", r)
			}
		})
	}
}

// A leader that inherits a lease whose primary has restarted learns so when it tells
// the primary of its grant.
func TestInheritedLeaseOfARestartedPrimary(t *testing.T) {
	bubble(t, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		primary := c.servers[first.Primary]
		primary.restartProcess()
		primary.set(false, "activate") // it stores the version already, and takes it as primary no more
		c.group.elect(2)
		begin := time.Now()
		second := c.find(c.masters[1], handle)
		if !second.Granted || second.Version <= first.Version || time.Since(begin) != 0 {
			t.Fatalf("%v after %v; want a new grant at once", second, time.Since(begin))
		}
	})
}

// A leader that could not reach the primary of an inherited lease asks it again when
// it is heard, and learns then that it has restarted.
func TestUnreachedPrimaryIsAskedAgain(t *testing.T) {
	bubbleWith(t, func(o *Options) { o.LeaseTerm = time.Hour }, 2, three, func(t *testing.T, c *fakeCell) {
		handle := c.newChunk("/f")
		first := c.find(c.masters[0], handle)
		primary := c.servers[first.Primary]
		primary.forget() // and this leader has heard no other boot before
		primary.set(true, "")
		c.group.elect(2)
		if r := c.find(c.masters[1], handle); r.Epoch != first.Epoch {
			t.Fatalf("while the primary is silent: %v; want the inherited lease", r)
		}
		primary.set(false, "activate")
		c.masters[1].FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handle}) // the old answer still; it makes the leader ask
		synctest.Wait()
		if second := c.find(c.masters[1], handle); !second.Granted || second.Version <= first.Version {
			t.Fatalf("%v; want a new grant", second)
		}
	})
}

// A report of the boot before that arrives late is no restart: the lease of the boot
// that runs would count as over, and a snapshot would not wait for it.
func TestLateReportOfAnEarlierBoot(t *testing.T) {
	bubble(t, 1, three[:1], func(t *testing.T, c *fakeCell) {
		m, handle := c.masters[0], c.newChunk("/f")
		first := c.find(m, handle)
		late := &api.HeartbeatRequest{Chunkserver: first.Primary, Address: "addr-" + first.Primary, Boot: m.servers.byName[first.Primary].boot.id, Sequence: 1 << 20}
		c.servers[first.Primary].restartProcess()
		time.Sleep(60 * time.Millisecond) // its first report of the new boot
		second := c.find(m, handle)
		time.Sleep(60 * time.Millisecond)
		if _, err := m.Heartbeat(t.Context(), late); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("%v, want FAILED_PRECONDITION", err)
		}
		time.Sleep(60 * time.Millisecond) // a report of the boot that runs
		if m.servers.restartedSince(second.Primary, time.Now().Add(-100*time.Millisecond)) {
			t.Errorf("%s counts as restarted", second.Primary)
		}
		if third := c.find(m, handle); third.Granted || third.Epoch != second.Epoch {
			t.Fatalf("the lease of %s does not hold: %v", second.Primary, third)
		}
	})
}

// restartProcess begins another boot without what a chunkserver keeps in memory.
func (c *fakeChunkserver) restartProcess() {
	c.forget()
	c.store.restart()
}

func (c *fakeChunkserver) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.grants)
	clear(c.until)
}
