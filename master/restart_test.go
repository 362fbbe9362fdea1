package master

import (
	"testing"
	"time"
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

// restartProcess forgets what a chunkserver keeps in memory.
func (c *fakeChunkserver) restartProcess() {
	c.mu.Lock()
	clear(c.grants)
	clear(c.until)
	c.mu.Unlock()
	c.store.restart()
}
