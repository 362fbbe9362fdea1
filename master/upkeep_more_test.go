package master

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// corrupt spoils a replica.
func (u *upkeepCell) corrupt(name string, handle uint64) {
	u.servers[name].store.change(func(s *fakeStore) { s.replicas[handle].corrupt = true })
}

// TestCorrupt: a corrupt replica is given up at once, but only while another one
// is known to be good, and is replaced; no lease is granted to it meanwhile.
func TestCorrupt(t *testing.T) {
	upkeepBubble(t, nil, 1, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(6)
		time.Sleep(testWarmUp)
		c, _, _ := u.leader().machine.chunk(handles[0])
		bad := c.Members[0]
		u.corrupt(bad, handles[0])
		took := u.await(2*time.Second, "one corrupt replica", u.atGoal(handles, 3))
		if took >= testReplicateAfter || u.health().CorruptReplicas != 1 {
			t.Fatalf("mended after %v: %v", took, u.health())
		}
		if d := u.kinds("dropped"); len(d) != 1 || d[0].Server != bad || d[0].Reason != "corrupt" {
			t.Fatalf("dropped: %+v", d)
		}
		// Nobody else alive has it: nothing may be given up.
		c, _, _ = u.leader().machine.chunk(handles[1])
		u.servers[c.Members[0]].store.kill()
		u.servers[c.Members[1]].store.kill()
		time.Sleep(testReplicateAfter / 2)
		u.corrupt(c.Members[2], handles[1])
		time.Sleep(5 * time.Second)
		if now, _, _ := u.leader().machine.chunk(handles[1]); !slices.Equal(now.Members, c.Members) {
			t.Fatalf("the last bytes were given up: %+v, was %+v", now, c)
		}
		if h := u.health(); h.Without == 0 || h.Under == 0 {
			t.Fatalf("health: %v", h)
		}
	})
}

// TestCorruptWithoutSpare: with three chunkservers the clone goes to where the
// corrupt replica was, and reaches only a disk that it is gone from.
func TestCorruptWithoutSpare(t *testing.T) {
	upkeepBubble(t, nil, 1, three, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(3)
		time.Sleep(testWarmUp)
		u.corrupt("cs2", handles[0])
		u.await(10*time.Second, "the corrupt replica", u.atGoal(handles, 3))
		if x, _ := u.servers["cs2"].store.get(handles[0]); x.corrupt {
			t.Fatal("it is corrupt still")
		}
	})
}

// TestCorruptPrimary: the lease goes to others, and the corrupt one is no member
// of the grant.
func TestCorruptPrimary(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.ReplicateAfter = -1 }, 1, three, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(1)
		u.corrupt("cs1", handles[0])
		time.Sleep(100 * time.Millisecond)
		if r := u.find(u.leader(), handles[0]); slices.Contains(r.Replicas, "cs1") || len(r.Replicas) != 2 {
			t.Fatalf("granted to %v", r.Replicas)
		}
	})
}

// TestMissedGrant: a member that misses a grant is none any more. Its replica is
// never a source (the fake chunkserver insists), and goes only once the goal is
// reached by others or is cloned over.
func TestMissedGrant(t *testing.T) {
	for _, names := range [][]string{three, four} {
		upkeepBubble(t, nil, 1, names, func(t *testing.T, u *upkeepCell) {
			handles := u.fill(5)
			time.Sleep(testWarmUp)
			u.servers["cs1"].set(false, "prepare")
			for _, h := range handles {
				u.find(u.leader(), h)
				u.revoke(h)
			}
			u.servers["cs1"].set(false, "")
			if good := u.good(handles[0]); slices.Contains(good, "cs1") {
				t.Fatalf("members %v", good)
			}
			u.await(10*time.Second, fmt.Sprint("with ", names), u.atGoal(handles, 3))
		})
	}
}

// TestCloneUnderLease: a chunk with a live lease is cloned too: the lease is ended
// first, nobody gets one meanwhile, and clients go on afterwards.
func TestCloneUnderLease(t *testing.T) {
	upkeepBubble(t, nil, 1, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(4)
		for _, s := range u.servers {
			s.store.cloning = 200 * time.Millisecond
		}
		time.Sleep(testWarmUp)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				for _, h := range handles {
					r, err := u.leader().FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: h})
					if err == nil && r.Code == api.Code_OK {
						u.servers[r.Primary].claim(t.Context(), h)
					}
				}
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		u.servers["cs1"].store.kill()
		u.await(20*time.Second, "under leases", func() string {
			for _, h := range handles {
				if good := u.good(h); len(good) < 3 {
					return fmt.Sprintf("chunk %d has %v", h, good)
				}
			}
			return ""
		})
		close(stop)
		<-stopped
		if len(u.kinds("cloned")) == 0 {
			t.Fatal("nothing was cloned")
		}
	})
}

// TestPendingIntent: a grant that came to nothing does not keep a chunk from being
// cloned, be it that nobody heard of it or that all did.
func TestPendingIntent(t *testing.T) {
	for _, heard := range []bool{false, true} {
		upkeepBubble(t, nil, 1, four, func(t *testing.T, u *upkeepCell) {
			handles := u.fill(1)
			time.Sleep(testWarmUp)
			c, _, _ := u.leader().machine.chunk(handles[0])
			for _, name := range c.Members {
				u.servers[name].set(false, "prepare")
			}
			if r, err := u.leader().FindLeaseHolder(t.Context(), &api.LeaseRequest{Handle: handles[0]}); err != nil || r.Code != api.Code_NO_CHUNKSERVER {
				t.Fatal(r, err)
			}
			if c, _, _ = u.leader().machine.chunk(handles[0]); c.Intent == 0 {
				t.Fatal("no intent is pending: nothing is shown")
			}
			for _, name := range c.Members {
				u.servers[name].set(false, "")
				if heard {
					u.servers[name].store.put(c.Handle, c.Reserved, 1)
				}
			}
			u.servers[c.Members[0]].store.kill()
			u.await(20*time.Second, "with an intent pending", u.atGoal(handles, 3))
			if now, _, _ := u.leader().machine.chunk(handles[0]); now.Version != c.Version || now.Intent != 0 {
				t.Fatalf("%+v, was %+v", now, c)
			}
		})
	}
}

// TestGoal: a file's goal may be lowered and raised.
func TestGoal(t *testing.T) {
	upkeepBubble(t, nil, 1, five, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(3)
		time.Sleep(testWarmUp)
		for _, goal := range []uint32{2, 5, 1, 3} {
			for i := range handles {
				r, err := u.leader().SetAttributes(t.Context(), &api.SetAttributesRequest{
					Session: u.session(), Path: fmt.Sprintf("/f%03d", i), Set: &api.Attributes{Replicas: &goal},
				})
				if err != nil || r.Code != api.Code_OK {
					t.Fatal(r, err)
				}
			}
			u.await(20*time.Second, fmt.Sprint("goal ", goal), u.atGoal(handles, int(goal)))
		}
		for i, h := range handles { // placed by its goal
			if i == 0 {
				if r, err := u.leader().AllocateChunk(t.Context(), &api.AllocateRequest{Session: u.session(), Path: "/f000", ChunkIndex: 1}); err != nil || r.Handle == h {
					t.Fatal(r, err)
				}
			}
		}
	})
}

// TestThrottle: no chunkserver takes part in more clones at once than allowed.
func TestThrottle(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.CloneLimit = 1; o.CloneBytesPerSecond = 1 << 20 }, 1, five, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(30)
		var most, now atomic.Int64
		for _, s := range u.servers {
			s.store.cloning = 50 * time.Millisecond
			s.onClone = func(r *api.CloneRequest, done bool) {
				if done {
					now.Add(-1)
					return
				}
				most.Store(max(most.Load(), now.Add(1)))
				if r.BytesPerSecond != 1<<20 {
					t.Errorf("a clone may take %d bytes/s", r.BytesPerSecond)
				}
			}
		}
		time.Sleep(testWarmUp)
		u.servers["cs3"].store.kill()
		u.await(20*time.Second, "throttled", u.atGoal(handles, 3))
		if got := most.Load(); got != 2 { // four chunkservers are left: two pairs
			t.Fatalf("%d clones at once, want 2", got)
		}
	})
}

// TestFailedClones: a target that refuses is tried less and less, others instead.
func TestFailedClones(t *testing.T) {
	upkeepBubble(t, nil, 1, five, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(10)
		time.Sleep(testWarmUp)
		u.servers["cs4"].set(false, "clone")
		u.servers["cs1"].store.kill()
		u.await(60*time.Second, "with one that refuses", u.atGoal(handles, 3))
		stats := u.leader().ReplicationStats()
		if stats.FailedClones == 0 || stats.FailedClones != uint64(u.servers["cs4"].count("clone")) || len(u.kinds("failed")) != int(stats.FailedClones) {
			t.Fatalf("%+v; %d clones were refused", stats, u.servers["cs4"].count("clone"))
		}
	})
}

// TestBalance: replicas move slowly to an empty chunkserver, and no chunk has
// fewer than its goal meanwhile.
func TestBalance(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.BalanceEvery = 500 * time.Millisecond }, 1, four, func(t *testing.T, u *upkeepCell) {
		u.servers["cs4"].store.kill()
		time.Sleep(500 * time.Millisecond)
		handles := u.fill(40)
		for _, s := range u.servers {
			s.store.change(func(s *fakeStore) {
				for _, c := range s.replicas {
					c.length = 64 << 20
				}
			})
		}
		begin := time.Now()
		u.servers["cs4"].store.restart()
		time.Sleep(testWarmUp)
		u.await(2*time.Minute, "moving", func() string {
			for _, h := range handles {
				if good := u.good(h); len(good) < 3 {
					t.Fatalf("chunk %d has %v", h, good)
				}
			}
			if n := u.servers["cs4"].store.count(); n < 26 {
				return fmt.Sprintf("the new one has %d of 40 chunks, want some 30", n)
			}
			return ""
		})
		if took, moves := time.Since(begin), len(u.kinds("cloned")); took < time.Duration(moves-1)*500*time.Millisecond {
			t.Fatalf("%d moves in %v", moves, took)
		}
		time.Sleep(20 * time.Second)
		moves := len(u.kinds("cloned"))
		time.Sleep(20 * time.Second)
		if more := len(u.kinds("cloned")); more != moves || moves > 32 {
			t.Fatalf("%d moves, then %d: it does not come to rest", moves, more)
		}
		if missing := u.atGoal(handles, 3)(); missing != "" {
			t.Fatal(missing)
		}
	})
}

// TestLateRemoval: a chunkserver that was told to remove a replica gets no clone
// of that chunk while it may still do so.
func TestLateRemoval(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.ReplicateAfter = 50 * time.Millisecond }, 1, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(1)
		time.Sleep(testWarmUp)
		c, _, _ := u.leader().machine.chunk(handles[0])
		var spare string
		for _, name := range four {
			if !slices.Contains(c.Members, name) {
				spare = name
			}
		}
		u.servers[spare].store.change(func(s *fakeStore) { s.deaf = true })
		u.servers[spare].store.put(handles[0], c.Version, 1)
		u.await(5*time.Second, "naming it", func() string {
			if len(u.kinds("remove")) == 0 {
				return "nothing is named"
			}
			return ""
		})
		u.servers[c.Members[0]].store.kill()
		u.await(5*time.Second, "the clone to the only one left", func() string {
			if len(u.kinds("clone")) == 0 {
				return "it does not come"
			}
			return ""
		})
		removes := u.kinds("remove")
		last, first := removes[len(removes)-1].At, u.kinds("clone")[0].At
		if o := u.leader().o; first.Sub(last) < 2*o.DeadAfter+o.CallTimeout {
			t.Fatalf("cloned %v after the removal was named", first.Sub(last))
		}
	})
}

func (s *fakeStore) count() (n int) {
	s.change(func(s *fakeStore) { n = len(s.replicas) })
	return n
}

// TestHealth lists who was heard, on any master.
func TestHealth(t *testing.T) {
	upkeepBubble(t, nil, 2, three, func(t *testing.T, u *upkeepCell) {
		u.servers["cs2"].store.change(func(s *fakeStore) { s.rack, s.used, s.capacity = "r", 5, 10 })
		u.fill(2)
		u.servers["cs3"].store.kill()
		time.Sleep(time.Second)
		for i, m := range u.masters {
			r, err := m.Health(t.Context(), &api.StatusRequest{})
			if err != nil || r.Leader != (i == 0) || r.Chunks != 2 || len(r.Chunkservers) != 3 || r.At.Index == 0 {
				t.Fatalf("master %d: %v, %v", i+1, r, err)
			}
			two, three := r.Chunkservers[1], r.Chunkservers[2]
			if two.Name != "cs2" || !two.Alive || two.Rack != "r" || two.UsedBytes != 5 || two.CapacityBytes != 10 || two.Chunks != 2 {
				t.Fatalf("master %d: %v", i+1, two)
			}
			if three.Alive || time.Duration(three.SilentNs) < 900*time.Millisecond {
				t.Fatalf("master %d: %v", i+1, three)
			}
		}
	})
}

// TestLocations: readers are sent to whom the version is known to be; the members
// are those of the log all the same.
func TestLocations(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.ReplicateAfter = -1 }, 1, three, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(1)
		time.Sleep(testWarmUp)
		where := func() []string {
			t.Helper()
			r, err := u.leader().FindLocation(t.Context(), &api.LocationRequest{Path: "/f000"})
			if err != nil || r.Code != api.Code_OK || len(r.Replicas) != 3 {
				t.Fatal(r, err)
			}
			var names []string
			for _, name := range three {
				if r.Addresses[name] != "" {
					names = append(names, name)
				}
			}
			return names
		}
		if got := where(); len(got) != 3 {
			t.Fatalf("at first: %v", got)
		}
		u.servers["cs1"].store.kill()
		u.corrupt("cs2", handles[0])
		time.Sleep(time.Second)
		if got := where(); !slices.Equal(got, []string{"cs3"}) {
			t.Fatalf("one dead, one corrupt: %v", got)
		}
		u.servers["cs3"].store.change(func(s *fakeStore) { delete(s.replicas, handles[0]); clear(s.full) })
		time.Sleep(time.Second)
		if got := where(); len(got) != 0 {
			t.Fatalf("and one lost: %v", got)
		}
		if c, code, _ := u.leader().machine.chunk(handles[0]); code != meta.OK || len(c.Members) != 3 {
			t.Fatal(c)
		}
	})
}

// TestCloneAfterPrimaryDies: a chunk whose primary died is cloned at once if the
// lease is fenced, else when it has run out; the others do not wait for that.
func TestCloneAfterPrimaryDies(t *testing.T) {
	for _, wait := range []bool{false, true} {
		upkeepBubble(t, func(o *Options) { o.LeaseWait = wait; o.LeaseTerm = 30 * time.Second; o.CloneTotal = 2 }, 1, four, func(t *testing.T, u *upkeepCell) {
			handles := u.fill(20)
			time.Sleep(testWarmUp)
			leased := make(map[uint64]bool)
			for _, h := range handles[:12] {
				if r := u.find(u.leader(), h); r.Primary == "cs1" {
					leased[h] = true
				} else {
					u.revoke(h)
				}
			}
			if len(leased) < 3 { // more than may be worked at at once
				t.Fatalf("cs1 is the primary of %d chunks: nothing is shown", len(leased))
			}
			u.servers["cs1"].store.kill()
			u.servers["cs1"].set(true, "")
			var others []uint64
			for _, h := range handles {
				if !leased[h] {
					others = append(others, h)
				}
			}
			u.await(10*time.Second, "the others", u.atGoal(others, 3))
			took := u.await(time.Minute, "those under a lease", u.atGoal(handles, 3))
			if wait != (took > 15*time.Second) {
				t.Fatalf("they took %v, leases waited for: %v", took, wait)
			}
		})
	}
}
