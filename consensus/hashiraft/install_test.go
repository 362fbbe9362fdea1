package hashiraft

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
	faultdisk "gfslab/internal/fault/disk"
)

// installOnce lets a follower lag until it needs a snapshot, cuts its power at
// its at-th operation after it is back, and again early in the next life. It
// reports false when the installation was over before.
func installOnce(t *testing.T, at, again int, after bool, keep int) (crashed bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(_ consensus.NodeID, l *consensus.Limits) { l.SnapshotEvery, l.TrailingEntries = 10, 2 })
		leader := w.leader()
		w.propose(leader, "first")
		f := w.replicas[leader.cfg.Self%3]
		id, name, limits := f.cfg.Self, fmt.Sprintf("n%d", f.cfg.Self), f.cfg.Limits
		w.fabric.CloseNode(name)
		w.disks[id-1] = w.disks[id-1].Crash(100)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		big := strings.Repeat("x", 150<<10) // some 3 MiB in all, synced in pieces
		for i := range 20 {
			w.propose(w.leader(f), fmt.Sprint(i, big))
		}
		time.Sleep(15 * time.Second) // what waits to be sent to it is given up
		// life runs the follower on a disk that crashes, until it has or all is done.
		life := func(at int, after bool) bool {
			w.fabric.OpenNode(name)
			tr := faultdisk.NewTrigger(w.disks[id-1], at, after, keep)
			tr.Before = func() { w.fabric.CloseNode(name) }
			w.journals[id-1] = &journal{}
			err := w.openOn(id, limits, tr)
			for range 1500 {
				if err != nil || tr.Next() != nil || strings.Count(w.journals[id-1].text(), ",") == 20 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			crashed := tr.Next() != nil
			w.disks[id-1] = tr.Crash()
			if err == nil {
				_ = w.replicas[id-1].Close() // perhaps into the void
			} else if !crashed {
				t.Error(err)
			}
			return crashed
		}
		crashed = life(at, after)
		life(again, !after)
		w.fabric.OpenNode(name)
		w.journals[id-1] = &journal{}
		w.open(id, limits)
		leader = w.leader(w.replicas[id-1])
		w.propose(leader, "last")
		want := w.journals[leader.cfg.Self-1].text()
		for end := time.Now().Add(30 * time.Second); w.journals[id-1].text() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("it has %d commands of %d", strings.Count(w.journals[id-1].text(), ","), strings.Count(want, ","))
				break
			}
		}
		if n := strings.Count(want, ","); n != 21 || w.replicas[id-1].Status().Snapshot == 0 {
			t.Errorf("%d commands, snapshot %d", n+1, w.replicas[id-1].Status().Snapshot)
		}
	})
	return crashed
}

// TestInstallSurvivesACrashAtEveryStep cuts the power of a node that receives
// and installs a snapshot before and after each of its disk's operations.
// GFSLAB_CRASH_STRIDE=1 takes every operation, with all that can survive.
func TestInstallSurvivesACrashAtEveryStep(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	stride, keeps := 17, []int{0}
	if s, err := strconv.Atoi(os.Getenv("GFSLAB_CRASH_STRIDE")); err == nil {
		stride, keeps = s, []int{0, 50, 100}
	}
	for _, keep := range keeps {
		for _, after := range []bool{false, true} {
			at := 1 + rng.IntN(stride)
			for ; installOnce(t, at, rng.IntN(12), after, keep); at += stride {
				if t.Failed() {
					t.Fatalf("crash at operation %d (after its effect: %v), keeping %d %%", at, after, keep)
				}
			}
			if at < 15 {
				t.Errorf("the installation took %d operations only", at)
			}
			t.Logf("keeping %d %%, after %v: %d operations", keep, after, at)
		}
	}
}
