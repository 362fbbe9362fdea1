package file

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"gfslab/api"
)

// health asks the leader.
func (c *cell) health() *api.HealthReply {
	c.t.Helper()
	r, err := c.Masters[c.Leader()].Health(context.Background(), &api.StatusRequest{})
	c.must(err)
	return r
}

// await waits in virtual time until check returns "".
func (c *cell) await(limit time.Duration, what string, check func() string) time.Duration {
	c.t.Helper()
	begin := time.Now()
	for {
		missing := check()
		if missing == "" {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			c.t.Fatalf("%s: %s after %v; %v", what, missing, limit, c.health())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// whole reports what is missing until the chunkservers that are alive hold
// exactly this many replicas and no chunk is below its goal.
func (c *cell) whole(replicas uint64) func() string {
	return func() string {
		h := c.health()
		n := uint64(0)
		for _, s := range h.Chunkservers {
			if s.Alive {
				n += s.Chunks
			}
		}
		if h.WarmingUp || h.Under+h.Without+h.Queued+h.Running != 0 || n != replicas {
			return fmt.Sprintf("%d replicas, want %d", n, replicas)
		}
		return ""
	}
}

// TestReplicasComeBack: a chunkserver is lost, and when all is at its goal again two
// others at once: every byte is there still. Bits that rot are noticed by a read
// and made good; what is deleted leaves the disks.
func TestReplicasComeBack(t *testing.T) {
	inCell(t, 5, func(t *testing.T, c *cell) {
		ctx := context.Background()
		const files, chunks = 4, 6
		want := make(map[string][]byte)
		for i := range files {
			name := fmt.Sprintf("/f%d", i)
			want[name] = noise(chunks*chunk-chunk/3, uint64(i))
			c.put(name, want[name])
		}
		const replicas = 3 * files * chunks
		c.await(30*time.Second, "at first", c.whole(replicas))
		c.StopServer("cs1")
		c.await(5*time.Second, "the loss is seen", func() string {
			if h := c.health(); h.Under == 0 {
				return "no chunk is below its goal"
			}
			return ""
		})
		took := c.await(time.Minute, "after one is lost", c.whole(replicas))
		h := c.health()
		t.Logf("%d chunks, %d bytes cloned; whole %v after the loss was seen", h.ClonedChunks, h.ClonedBytes, took)
		if h.ClonedChunks == 0 || h.ClonedBytes < h.ClonedChunks*chunk/2 {
			t.Fatalf("cloned %d chunks of %d bytes", h.ClonedChunks, h.ClonedBytes)
		}
		c.StopServer("cs2")
		c.StopServer("cs3")
		for name, data := range want {
			c.same(name, data)
		}
		for _, name := range []string{"cs1", "cs2", "cs3"} {
			c.StartServer(name)
		}
		c.await(2*time.Minute, "after all are back", c.whole(replicas))

		c.rot("cs4")
		c.await(3*time.Minute, "after bits rotted", func() string {
			for name, data := range want {
				c.same(name, data)
			}
			if c.health().CorruptReplicas == 0 {
				return "nobody has noticed"
			}
			return c.whole(replicas)()
		})
		for name := range want {
			id, err := c.Remove(ctx, name, false)
			c.must(err)
			c.must(c.RemoveNow(ctx, name, id))
		}
		c.await(5*time.Minute, "after all is deleted", c.whole(0))
	})
}

// rot flips a bit in the middle of each chunk file on the disk.
func (c *cell) rot(server string) {
	c.t.Helper()
	fs := c.Disks[server]
	names, err := fs.List("/cs/chunks")
	c.must(err)
	n := 0
	for _, name := range names {
		path := "/cs/chunks/" + name
		info, err := fs.Stat(path)
		c.must(err)
		if info.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		c.must(fs.Rot(path, info.Size()-chunk/4, 0x10))
		n++
	}
	if n == 0 {
		c.t.Fatalf("%s has no chunks: %v", server, names)
	}
}
