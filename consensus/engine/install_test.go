package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"

	"gfslab/consensus/etcdraft"
	"gfslab/consensus/multipaxos"
	faultdisk "gfslab/internal/fault/disk"
)

// installers are the backends whose laggards install snapshots.
var installers = map[string]opener{"multipaxos": multipaxos.Open, "etcdraft": etcdraft.Open}

func (c *cluster) trigger(i int, fs *faultdisk.FS, at int, after bool, keep int) *faultdisk.Trigger {
	tr := faultdisk.NewTrigger(fs, at, after, keep)
	tr.Before = func() { c.fabric.CloseNode(name(i)) }
	return tr
}

// installOnce lets a follower lag until it needs a snapshot, cuts its power at
// its at-th operation after it is back, and again early in the next life. It
// reports false when the installation was over before.
func installOnce(t *testing.T, open opener, at, again int, after bool, keep int) (crashed bool) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, open, func(c *cluster) {
			c.limits.SnapshotEvery, c.limits.TrailingEntries, c.limits.BatchEntries = 10, 2, 1
		})
		defer c.close()
		f := (c.leader(-1) + 1) % 3
		c.must(c.leader(-1), "first")
		c.converge()
		c.fabric.CloseNode(name(f))
		c.fs[f] = c.fs[f].Crash(100)
		if err := c.replicas[f].Close(); err != nil {
			t.Error(err)
		}
		big := strings.Repeat("x", 40<<10) // some 800 KiB in all: four pieces
		for i := range 20 {
			c.must(c.leader(f), fmt.Sprint(i, big))
		}
		time.Sleep(time.Second) // what waits to be sent to it is given up
		// life runs the follower on a disk that crashes, until it has or all is done.
		life := func(at int, after bool) bool {
			c.fabric.OpenNode(name(f))
			tr := c.trigger(f, c.fs[f], at, after, keep)
			err := c.tryOn(f, tr)
			for range 300 {
				if err != nil || tr.Next() != nil || len(c.machines[f].all()) == 21 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			crashed := tr.Next() != nil
			c.fs[f] = tr.Crash()
			if err == nil {
				_ = c.replicas[f].Close() // perhaps into the void
			} else if !crashed {
				t.Error(err)
			}
			return crashed
		}
		crashed = life(at, after)
		life(again, !after)
		c.fabric.OpenNode(name(f))
		c.start(f)
		c.must(c.leader(-1), "last")
		got := c.converge()
		if len(got) != 22 || got[0] != "first" || got[21] != "last" {
			t.Errorf("%d commands", len(got))
		}
		if c.machines[f].restored == 0 {
			t.Error("nothing was installed")
		}
	})
	return crashed
}

// TestInstallSurvivesACrashAtEveryStep cuts the power of a node that fetches and
// installs a snapshot before and after each of its disk's operations.
// GFSLAB_CRASH_STRIDE=1 takes every operation, with all that can survive.
func TestInstallSurvivesACrashAtEveryStep(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	stride, keeps := 4, []int{0}
	if s, err := strconv.Atoi(os.Getenv("GFSLAB_CRASH_STRIDE")); err == nil {
		stride, keeps = s, []int{0, 50, 100}
	}
	for backend, open := range installers {
		t.Run(backend, func(t *testing.T) {
			for _, keep := range keeps {
				for _, after := range []bool{false, true} {
					at := 1 + rng.IntN(stride)
					for ; installOnce(t, open, at, rng.IntN(12), after, keep); at += stride {
						if t.Failed() {
							t.Fatalf("crash at operation %d (after its effect: %v), keeping %d %%", at, after, keep)
						}
					}
					if at < 15 {
						t.Errorf("the installation took %d operations only", at)
					}
					t.Logf("%d operations", at)
				}
			}
		})
	}
}

// TestASnapshotThatCutsNothing: all entries stay for laggards. After a restart too,
// but with a Paxos core: it trusts no log of its own below its snapshot.
func TestASnapshotThatCutsNothing(t *testing.T) {
	eachOf(t, installers, func(c *cluster) { c.limits.TrailingEntries = 1000 }, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		f := (leader + 1) % 3
		c.must(leader, "a")
		c.converge()
		c.isolate(f)
		time.Sleep(time.Second)
		leader = c.leader(f)
		c.must(leader, "b")
		for range 2 {
			info, err := c.replicas[leader].(consensus.Snapshotter).SnapshotNow(t.Context())
			if err != nil || c.replicas[leader].Status().First != 1 {
				t.Fatalf("%+v, %v: the log begins at %d", info, err, c.replicas[leader].Status().First)
			}
			if !strings.HasSuffix(t.Name(), "/multipaxos") {
				c.crash(leader)
				leader = c.leader(f)
			}
			c.must(leader, "c")
		}
		c.fabric.HealAll()
		if got := c.converge(); len(got) != 4 || c.machines[f].restored != 0 {
			t.Errorf("%v, after %d installations", got, c.machines[f].restored)
		}
	})
}

// TestRestartBeginsWithTheSnapshot: the state is there, and counted is what it
// took.
func TestRestartBeginsWithTheSnapshot(t *testing.T) {
	for backend, open := range installers {
		t.Run(backend, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, open, func(c *cluster) { c.limits.TrailingEntries = 1 })
				defer c.close()
				leader := c.leader(-1)
				for i := range 10 {
					c.must(leader, fmt.Sprint(i))
				}
				c.converge()
				info, err := c.replicas[leader].(consensus.Snapshotter).SnapshotNow(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if s := c.replicas[leader].Status(); s.Snapshot != info.Index || s.First != info.Index || info.Bytes == 0 {
					t.Errorf("%+v, but the status says snapshot %d, first %d", info, s.Snapshot, s.First)
				}
				for i := range 5 {
					c.must(leader, fmt.Sprint(10+i))
				}
				c.crash(leader)
				if n := c.machines[leader].all(); len(n) < 10 {
					t.Errorf("opened with %v", n)
				}
				next := c.leader(-1)
				c.must(next, "last")
				if got := c.converge(); len(got) != 16 {
					t.Errorf("%d commands: %v", len(got), got)
				}
				// How much was known to be committed is written late: that is all it replays.
				counters := c.replicas[leader].Status().Counters
				if n := counters["restart_replayed_entries"]; n < 1 || n > 10 || counters["restart_snapshot_bytes"] == 0 {
					t.Errorf("counters %v", counters)
				}
				if i := slices.IndexFunc(c.events, func(e consensus.Event) bool { return e.Kind == consensus.EventRestored }); i < 0 || c.events[i].Index != info.Index {
					t.Errorf("events %+v", c.events)
				}
			})
		})
	}
}
