package client

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/client/clienttest"
)

func TestAppendsOfManyClientsToOneFile(t *testing.T) {
	inCell(t, 4, func(t *testing.T, c *cell) {
		c.Leader()
		c.create(c.client("maker", 1), "/f")
		const clients, each = 6, 20
		var mu sync.Mutex
		var records []acked
		var wg sync.WaitGroup
		for i := range clients {
			cl := c.client(fmt.Sprintf("c%d", i), uint64(i))
			wg.Go(func() {
				for k := range each {
					a := c.append(cl, "/f", []byte(fmt.Sprintf("client %d record %d %0400d", i, k, k)))
					mu.Lock()
					records = append(records, a)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		chunks := map[uint64]bool{}
		for _, a := range records {
			chunks[a.Handle] = true
		}
		if len(chunks) < 4 {
			t.Errorf("%d records of 500 bytes went to %d chunks of %d bytes: no overflow", len(records), len(chunks), cellChunk)
		}
		c.verify("/f", records)
	})
}

func TestAppendToWhatIsNotAFile(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		if r := cl.RecordAppend(context.Background(), "/none", []byte("x")); r.Outcome != OK || r.Code != api.Code_NOT_FOUND {
			t.Errorf("append to nothing: %v %v", r.Outcome, r.Code)
		}
		if r := cl.RecordAppend(context.Background(), "/", []byte("x")); r.Outcome != OK || r.Code != api.Code_IS_DIRECTORY {
			t.Errorf("append to a directory: %v %v", r.Outcome, r.Code)
		}
		c.create(cl, "/f")
		if r := cl.RecordAppend(context.Background(), "/f", make([]byte, cellChunk/2)); r.Outcome != Fail {
			t.Errorf("append of half a chunk: %v %v", r.Outcome, r.Err)
		}
		if r := cl.ReadRecord(context.Background(), 4711, 0); r.Outcome != OK || r.Code == api.Code_OK {
			t.Errorf("read of no chunk: %v %v", r.Outcome, r.Code)
		}
	})
}

// The master's failover does not stop appends: the chunk's lease stays alive.
func TestAppendsUnderALiveLeaseSurviveTheMastersFailover(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		old := c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		records := []acked{c.append(cl, "/f", []byte("before"))}
		name := fmt.Sprintf("m%d", old)
		for id := range c.Masters {
			if id != old {
				other := fmt.Sprintf("m%d", id)
				c.Fabric.Cut(name, other)
				c.Fabric.Cut(other, name)
			}
		}
		cut := time.Now()
		longest := time.Duration(0)
		for time.Since(cut) < 4*cellTerm {
			begin := time.Now()
			records = append(records, c.append(cl, "/f", []byte("during")))
			longest = max(longest, time.Since(begin))
			time.Sleep(10 * time.Millisecond)
		}
		if longest > cellTerm+time.Second {
			t.Errorf("an append took %v", longest)
		}
		t.Logf("%d appends, the longest took %v", len(records), longest)
		c.Fabric.HealAll()
		c.verify("/f", records)
	})
}

// A chunkserver loses its power again and again; what was acknowledged stays.
func TestAppendsSurviveChunkserverCrashes(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		var records []acked
		for round := range 6 {
			name := fmt.Sprintf("cs%d", round%3+1)
			records = append(records, c.append(cl, "/f", []byte(fmt.Sprintf("round %d, first", round))))
			c.Crash(name, []int{0, 50, 100}[round%3])
			records = append(records, c.append(cl, "/f", []byte(fmt.Sprintf("round %d, second", round))))
		}
		c.verify("/f", records)
	})
}

// A dead secondary stops appends only until the lease runs out.
func TestDeadReplicaIsLeftOutOfTheNextGrant(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		c.create(cl, "/f")
		first := c.append(cl, "/f", []byte("with three"))
		if len(first.Replicas) != 3 {
			t.Fatalf("replicas %v", first.Replicas)
		}
		victim := ""
		for _, name := range first.Replicas {
			if name != first.Primary {
				victim = name
			}
		}
		c.Fabric.CloseNode(victim)
		begin := time.Now()
		second := c.append(cl, "/f", []byte("with two"))
		if d := time.Since(begin); d > 4*cellTerm {
			t.Errorf("the append took %v", d)
		}
		if len(second.Replicas) != 2 || second.Handle == first.Handle && second.Offset <= first.Offset {
			t.Errorf("second: replicas %v, chunk %d offset %d; first at %d %d", second.Replicas, second.Handle, second.Offset, first.Handle, first.Offset)
		}
		c.verify("/f", []acked{first, second})
	})
}

// With leases of a minute, as in production, no dead chunkserver stalls an append
// for longer than it takes to notice: whoever cannot reach it has the lease ended.
func TestDeadReplicaUnderALongLease(t *testing.T) {
	for _, role := range []string{"primary", "secondary"} {
		t.Run(role, func(t *testing.T) {
			inCellOf(t, clienttest.Config{LeaseTerm: time.Minute}, func(t *testing.T, c *cell) {
				c.Leader()
				cl := c.client("c", 1)
				c.create(cl, "/f")
				first := c.append(cl, "/f", []byte("with three"))
				victim := first.Primary
				for _, name := range first.Replicas {
					if role == "secondary" && name != first.Primary {
						victim = name
					}
				}
				c.Fabric.CloseNode(victim)
				begin := time.Now()
				second := c.append(cl, "/f", []byte("with two"))
				if d := time.Since(begin); d > 2*time.Second {
					t.Errorf("the append took %v", d)
				} else {
					t.Logf("the append took %v", d)
				}
				if len(second.Replicas) != 2 {
					t.Errorf("replicas %v", second.Replicas)
				}
				c.verify("/f", []acked{first, second})
			})
		})
	}
}

func TestLeaseCallsAndNamespace(t *testing.T) {
	inCell(t, 3, func(t *testing.T, c *cell) {
		c.Leader()
		cl := c.client("c", 1)
		ctx := context.Background()
		if r := cl.Mkdir(ctx, "/d"); r.Outcome != OK || r.Reply.Code != api.Code_OK {
			t.Fatalf("mkdir: %v %v", r.Reply, r.Err)
		}
		c.create(cl, "/d/f")
		alloc := cl.AllocateChunk(ctx, "/d/f", 0)
		if alloc.Outcome != OK || alloc.Reply.Handle == 0 {
			t.Fatalf("allocate: %v %v", alloc.Reply, alloc.Err)
		}
		handle := alloc.Reply.Handle
		lease := cl.FindLeaseHolder(ctx, handle)
		if lease.Outcome != OK || lease.Reply.Primary == "" || !lease.Reply.Granted {
			t.Fatalf("find lease: %v %v", lease.Reply, lease.Err)
		}
		if r := cl.FindLocation(ctx, "/d/f", 0); r.Outcome != OK || r.Reply.Handle != handle || r.Reply.Primary != lease.Reply.Primary {
			t.Errorf("find location: %v %v", r.Reply, r.Err)
		}
		if r := cl.RevokeLease(ctx, handle); r.Outcome != OK || r.Reply.Code != api.Code_OK {
			t.Errorf("revoke: %v %v", r.Reply, r.Err)
		}
		if r := cl.ChunkInfo(ctx, handle); r.Outcome != OK || r.Reply.Epoch != 0 {
			t.Errorf("chunk info after the revocation: %v %v", r.Reply, r.Err)
		}
		if r := cl.Rename(ctx, "/d/f", "/d/g"); r.Outcome != OK || r.Reply.Code != api.Code_OK {
			t.Errorf("rename: %v %v", r.Reply, r.Err)
		}
		if r := cl.List(ctx, "/d"); r.Outcome != OK || len(r.Reply.Names) != 1 || r.Reply.Names[0] != "g" {
			t.Errorf("list: %v %v", r.Reply, r.Err)
		}
		if r := cl.Delete(ctx, "/d/g"); r.Outcome != OK || r.Reply.Code != api.Code_OK {
			t.Errorf("delete: %v %v", r.Reply, r.Err)
		}
		if s, err := cl.Status(ctx, c.Leader()); err != nil || s.Leader != s.Node {
			t.Errorf("status: %v %v", s, err)
		}
	})
}
