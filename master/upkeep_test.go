package master

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/master/meta"
)

// upkeep is a cell whose work on replicas is watched. What must hold of every
// step is checked when it is taken.
type upkeepCell struct {
	*fakeCell
	// lagging: replicas get lost faster than they are reported.
	lagging bool
	mu      sync.Mutex
	events  []ReplicationEvent
}

const (
	testReplicateAfter = time.Second
	testWarmUp         = 2 * time.Second
	testOrphanAge      = 3 * time.Second
)

// upkeepBubble runs a test of a cell in virtual time; change may be nil.
func upkeepBubble(t *testing.T, change func(*Options), masters int, chunkservers []string, test func(t *testing.T, c *upkeepCell)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := new(upkeepCell)
		u.fakeCell = newCellWith(t, func(o *Options) {
			o.WarmUp, o.ReplicateAfter, o.OrphanAge = testWarmUp, testReplicateAfter, testOrphanAge
			o.CloneTimeout, o.BalanceEvery, o.OnReplication = 10*time.Second, -1, u.observe
			if change != nil {
				change(o)
			}
		}, masters, chunkservers...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); u.keepAlive(ctx) }()
		defer func() {
			cancel()
			<-done
			u.stop()
		}()
		test(t, u)
	})
}

// observe holds each step to the rules. It runs inside the master's calls, so it
// looks at the stores, which know better than the master.
func (u *upkeepCell) observe(e ReplicationEvent) {
	u.mu.Lock()
	u.events = append(u.events, e)
	u.mu.Unlock()
	if e.Kind != "remove" && e.Kind != "dropped" {
		return
	}
	c, code, _ := u.masters[0].machine.chunk(e.Handle)
	if code != meta.OK {
		if e.Reason != "orphan" {
			u.t.Errorf("chunk %d is gone, and %s is to remove its replica as %q", e.Handle, e.Server, e.Reason)
		}
		return
	}
	good := 0
	for _, name := range c.Members {
		if x, found := u.servers[name].store.get(e.Handle); found && x.version >= c.Version && !x.corrupt && name != e.Server {
			good++
		}
	}
	least := 1
	if e.Reason == "no member" && !u.lagging {
		least = u.masters[0].goal(&c)
	}
	if good < least || e.Kind == "remove" && slices.Contains(c.Members, e.Server) {
		u.t.Errorf("%v of chunk %d at %s (%s), with %d good members of %v", e.Kind, e.Handle, e.Server, e.Reason, good, c.Members)
	}
}

func (u *upkeepCell) kinds(kind string) (events []ReplicationEvent) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range u.events {
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}

// fill makes files of one chunk each, grants and revokes each lease once, so that
// there are replicas, and gives them a length.
func (u *upkeepCell) fill(n int) (handles []uint64) {
	u.t.Helper()
	for i := range n {
		handle := u.newChunk(fmt.Sprintf("/f%03d", i))
		u.find(u.leader(), handle)
		u.revoke(handle)
		for _, s := range u.servers {
			s.store.change(func(s *fakeStore) {
				if c := s.replicas[handle]; c != nil {
					c.length = 1 << 20
				}
			})
		}
		handles = append(handles, handle)
	}
	time.Sleep(100 * time.Millisecond) // a heartbeat
	return handles
}

func (u *upkeepCell) leader() *Master {
	return u.masters[u.group.replicas[0].Status().Leader-1]
}

func (u *upkeepCell) revoke(handle uint64) {
	u.t.Helper()
	if r, err := u.leader().RevokeLease(u.t.Context(), &api.LeaseRequest{Handle: handle}); err != nil || r.Code != api.Code_OK {
		u.t.Fatalf("revoke: %v, %v", r, err)
	}
}

// good lists the members whose chunkserver is up and has a good current replica.
func (u *upkeepCell) good(handle uint64) (names []string) {
	c, _, _ := u.masters[0].machine.chunk(handle)
	for _, name := range c.Members {
		s := &u.servers[name].store
		x, found := s.get(handle)
		s.change(func(s *fakeStore) {
			if found && !s.down && !x.corrupt && x.version >= c.Version {
				names = append(names, name)
			}
		})
	}
	return names
}

// await waits until check returns "", for at most the limit.
func (u *upkeepCell) await(limit time.Duration, what string, check func() string) (took time.Duration) {
	u.t.Helper()
	begin := time.Now()
	for {
		missing := check()
		if missing == "" {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			u.t.Fatalf("%s: %s after %v", what, missing, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// atGoal reports what is missing until exactly n members of each chunk are good
// and nobody else has a replica.
func (u *upkeepCell) atGoal(handles []uint64, n int) func() string {
	return func() string {
		for _, h := range handles {
			c, _, _ := u.masters[0].machine.chunk(h)
			if good := u.good(h); len(good) != n || len(c.Members) != n {
				return fmt.Sprintf("chunk %d has members %v, good ones %v", h, c.Members, good)
			}
			for name, s := range u.servers {
				if _, found := s.store.get(h); found && !slices.Contains(c.Members, name) && !s.store.isDown() {
					return fmt.Sprintf("chunk %d has a replica at %s beside its members %v", h, name, c.Members)
				}
			}
		}
		return ""
	}
}

func (s *fakeStore) isDown() (down bool) {
	s.change(func(s *fakeStore) { down = s.down })
	return down
}

func (u *upkeepCell) health() *api.HealthReply {
	u.t.Helper()
	r, err := u.leader().Health(u.t.Context(), &api.StatusRequest{})
	if err != nil {
		u.t.Fatal(err)
	}
	return r
}

var four, five = []string{"cs1", "cs2", "cs3", "cs4"}, []string{"cs1", "cs2", "cs3", "cs4", "cs5"}

// TestDeath: all chunks of a chunkserver that died come back to their goal, not
// before ReplicateAfter; when it returns, what it has too many is removed.
func TestDeath(t *testing.T) {
	upkeepBubble(t, nil, 3, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(40)
		time.Sleep(testWarmUp)
		if n := len(u.kinds("clone")); n != 0 {
			t.Fatalf("%d clones while all are alive", n)
		}
		u.servers["cs1"].store.kill()
		killed := time.Now()
		u.await(testReplicateAfter, "the loss is seen", func() string {
			if h := u.health(); h.Under == 0 || h.Queued == 0 || h.Without != 0 || h.WarmingUp || !h.Leader {
				return fmt.Sprint(h)
			}
			return ""
		})
		u.await(10*time.Second, "after the death", u.atGoal(handles, 3))
		clones := u.kinds("clone")
		if first := clones[0].At.Sub(killed); first < testReplicateAfter {
			t.Fatalf("cloned %v after the death, before %v", first, testReplicateAfter)
		}
		stats := u.leader().ReplicationStats()
		if n := len(u.kinds("cloned")); n == 0 || uint64(n) != stats.ClonedChunks || stats.ClonedBytes != uint64(n)<<20 || n != len(clones) {
			t.Fatalf("%d clones of %d begun; %+v", n, len(clones), stats)
		}
		u.servers["cs1"].store.restart()
		u.await(10*time.Second, "after the return", u.atGoal(handles, 3))
		time.Sleep(200 * time.Millisecond) // reports of what is gone
		h := u.health()
		if h.Under != 0 || h.Queued != 0 || h.Running != 0 || h.RemovedReplicas == 0 || h.ClonedChunks != stats.ClonedChunks {
			t.Fatalf("health afterwards: %v", h)
		}
		if n := len(u.servers["cs1"].store.removed); uint64(n) != h.RemovedReplicas {
			t.Fatalf("%d replicas were removed, the master counts %d", n, h.RemovedReplicas)
		}
	})
}

// TestForgottenChunks: chunks that are deleted while they are below their goal, or
// without any replica, are not counted any more.
func TestForgottenChunks(t *testing.T) {
	upkeepBubble(t, nil, 1, three, func(t *testing.T, u *upkeepCell) {
		u.fill(6)
		time.Sleep(testWarmUp)
		for _, name := range three {
			u.await(5*time.Second, "the losses are seen", func() string {
				if h := u.health(); name != "cs1" && (h.Under != 6 || h.Chunks != 6) {
					return fmt.Sprint(h)
				}
				return ""
			})
			u.servers[name].store.kill()
		}
		u.await(5*time.Second, "all are lost", func() string {
			if h := u.health(); h.Without != 6 {
				return fmt.Sprint(h)
			}
			return ""
		})
		for i := range 6 {
			path := fmt.Sprintf("/f%03d", i)
			r, err := u.leader().Delete(t.Context(), &api.DeleteRequest{Session: u.session(), Path: path})
			if err != nil || r.Code != api.Code_OK {
				t.Fatal(r, err)
			}
			if r, err = u.leader().Delete(t.Context(), &api.DeleteRequest{Session: u.session(), Path: path, Id: r.Id}); err != nil || r.Code != api.Code_OK {
				t.Fatal(r, err)
			}
		}
		u.await(5*time.Second, "all are deleted", func() string {
			if h := u.health(); h.Under+h.Without+h.Queued+h.Chunks != 0 {
				return fmt.Sprint(h)
			}
			return ""
		})
	})
}

// TestUrgency: with one clone at a time, chunks with one copy left go first, then
// the one that a client waits for.
func TestUrgency(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.CloneTotal = 1; o.CallTimeout = time.Second }, 1, five, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(60)
		for _, s := range u.servers {
			s.store.cloning = 100 * time.Millisecond
		}
		time.Sleep(testWarmUp)
		u.servers["cs1"].store.kill()
		u.servers["cs2"].store.kill()
		lives := make(map[uint64]int)
		var wanted uint64
		for _, h := range handles {
			lives[h] = len(u.good(h))
			if lives[h] == 2 {
				wanted = h // the last of them
			}
		}
		u.await(3*time.Second, "the loss is seen", func() string {
			if u.health().Queued == 0 {
				return "nothing is queued"
			}
			return ""
		})
		time.Sleep(7 * time.Millisecond) // between reports
		go u.find(u.leader(), wanted)
		u.await(30*time.Second, "all cloned", u.atGoal(handles, 3))
		ones, seen := 0, make(map[uint64]bool)
		for _, h := range handles {
			if lives[h] == 1 {
				ones++
			}
		}
		clones := u.kinds("clone")
		if ones < 3 || wanted == 0 {
			t.Fatalf("%d chunks have one copy left: nothing is shown", ones)
		}
		for i, e := range clones[:ones] {
			if lives[e.Handle] != 1 || e.Live != 1 || seen[e.Handle] {
				t.Fatalf("clone %d is of chunk %d, which has %d copies (%+v); %d have one", i, e.Handle, lives[e.Handle], e, ones)
			}
			seen[e.Handle] = true
		}
		if e := clones[ones]; e.Handle != wanted || !e.Wanted || e.Live != 2 {
			t.Fatalf("then comes %+v, not chunk %d, for which a client waits", e, wanted)
		}
	})
}

// TestHiddenLater: chunks that only hidden files have are cloned after the others.
func TestHiddenLater(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.CloneTotal = 1 }, 1, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(20)
		for i := range 10 {
			if r, err := u.leader().Delete(t.Context(), &api.DeleteRequest{Session: u.session(), Path: fmt.Sprintf("/f%03d", i)}); err != nil || r.Code != api.Code_OK {
				t.Fatal(r, err)
			}
		}
		for _, s := range u.servers {
			s.store.cloning = 50 * time.Millisecond
		}
		time.Sleep(testWarmUp)
		u.servers["cs1"].store.kill()
		u.await(30*time.Second, "all cloned", u.atGoal(handles, 3))
		clones, hidden := u.kinds("clone"), 0
		for _, e := range clones {
			if old := slices.Index(handles, e.Handle) < 10; old != e.Hidden || hidden > 0 && !old {
				t.Fatalf("%+v after %d clones for hidden files", e, hidden)
			}
			if e.Hidden {
				hidden++
			}
		}
		if hidden == 0 || hidden == len(clones) {
			t.Fatalf("%d of %d clones are for hidden files: nothing is shown", hidden, len(clones))
		}
	})
}

// TestLeaderWarmUp: a leader that has not heard the chunkservers calls nothing lost,
// clones nothing and removes nothing; once it has, it judges.
func TestLeaderWarmUp(t *testing.T) {
	upkeepBubble(t, func(o *Options) { o.WarmUp = 20 * time.Second }, 2, four, func(t *testing.T, u *upkeepCell) {
		u.unheard.Store(2)
		handles := u.fill(10)
		u.servers["cs1"].store.put(4711, 1, 5) // an orphan
		before := len(u.kinds("warm"))
		u.group.elect(2)
		m := u.masters[1]
		time.Sleep(testOrphanAge + testReplicateAfter + time.Second)
		if r, err := m.FindLocation(t.Context(), &api.LocationRequest{Path: "/f000"}); err != nil || r.Code != api.Code_WARMING_UP {
			t.Fatalf("FindLocation: %v, %v", r, err)
		}
		h := u.health()
		if !h.WarmingUp || h.Under+h.Without+h.Queued != 0 || len(u.kinds("warm")) != before {
			t.Fatalf("while nothing was heard: %v", h)
		}
		u.unheard.Store(0)
		u.await(time.Second, "reports of all", func() string {
			if u.health().WarmingUp {
				return "it is still warming up"
			}
			return ""
		})
		u.await(2*testOrphanAge, "the orphan", func() string {
			if _, found := u.servers["cs1"].store.get(4711); found {
				return "it is still there"
			}
			return ""
		})
		if missing := u.atGoal(handles, 3)(); missing != "" || len(u.kinds("clone")) != 0 {
			t.Fatalf("%s; clones %v", missing, u.kinds("clone"))
		}
	})
}

// TestWarmUpEnds: a member that never comes back does not hold it up for ever.
func TestWarmUpEnds(t *testing.T) {
	upkeepBubble(t, nil, 2, four, func(t *testing.T, u *upkeepCell) {
		u.unheard.Store(2)
		handles := u.fill(5)
		u.servers["cs2"].store.kill()
		u.group.elect(2)
		u.unheard.Store(0)
		begin := time.Now()
		u.await(10*time.Second, "after the failover", u.atGoal(handles, 3))
		if first := u.kinds("clone")[0].At.Sub(begin); first < testWarmUp {
			t.Fatalf("cloned %v after the election", first)
		}
	})
}

// TestNoRemovalWithoutBarrier: a leader that cannot prove its authority names
// nothing, and says nothing about claims.
func TestNoRemovalWithoutBarrier(t *testing.T) {
	upkeepBubble(t, nil, 2, three, func(t *testing.T, u *upkeepCell) {
		u.fill(3)
		u.servers["cs1"].store.put(4711, 1, 5)
		u.group.replicas[1].fail(nil, consensus.ErrDropped, false)
		u.group.elect(2)
		time.Sleep(3 * (testOrphanAge + testWarmUp))
		if n := len(u.kinds("remove")); n != 0 {
			t.Fatalf("%d replicas were named", n)
		}
		u.group.replicas[1].fail(nil, nil, false)
		u.await(2*(testOrphanAge+testWarmUp), "with its authority proven", func() string {
			if _, found := u.servers["cs1"].store.get(4711); found {
				return "the orphan is still there"
			}
			return ""
		})
	})
}

// TestOrphans: replicas of chunks that were never given out or are no more are
// removed when they are old enough, unless this leader works with the handle.
func TestOrphans(t *testing.T) {
	upkeepBubble(t, nil, 1, three, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(4)
		time.Sleep(testWarmUp)
		s := &u.servers["cs2"].store
		s.put(4711, 1, 5)
		s.put(4712, 1, 5)
		u.leader().leases.copyBegins(4712)
		begin := time.Now()
		there := func(handle uint64) func() string {
			return func() string {
				if _, found := s.get(handle); found {
					return "it is still there"
				}
				return ""
			}
		}
		u.await(2*testOrphanAge, "the orphan", there(4711))
		if took := time.Since(begin); took < testOrphanAge {
			t.Fatalf("removed after %v, want at least %v", took, testOrphanAge)
		}
		time.Sleep(testOrphanAge)
		if there(4712)() == "" {
			t.Fatal("a copy in hand was removed")
		}
		u.leader().leases.copyEnds(4712)
		u.await(2*testOrphanAge, "the copy that was given up", there(4712))
		for _, name := range three {
			if n := len(u.servers[name].store.removed); n != 0 && name != "cs2" {
				t.Fatalf("%s removed %d replicas", name, n)
			}
		}
		if missing := u.atGoal(handles, 3)(); missing != "" {
			t.Fatal(missing)
		}
	})
}
