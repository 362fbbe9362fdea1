package consensustest

import (
	"context"
	"strings"
	"time"

	"gfslab/consensus"
	faultdisk "gfslab/internal/fault/disk"
)

func snapshotScenarios() []scenario {
	own, install := []Feature{Snapshots}, []Feature{Snapshots, Install}
	return []scenario{
		{name: "snapshot-now", nodes: 1, minimum: 50, needs: own, run: runSnapshotNow},
		{name: "snapshot-damaged", nodes: 1, minimum: 20, needs: own, run: runSnapshotDamaged},
		{name: "snapshot-single-crash", nodes: 1, minimum: 50, needs: own, limits: tightSnapshots, run: runSnapshotCrash},
		{name: "snapshot-every", nodes: 3, minimum: 200, needs: own, limits: tightSnapshots, run: runSnapshotEvery},
		{name: "snapshot-now-all", nodes: 3, minimum: 50, needs: own, run: runSnapshotNow},
		{name: "laggard", nodes: 3, minimum: 100, needs: install, limits: tightSnapshots, ballast: 1 << 20, run: runLaggard},
		{name: "laggard-crash", nodes: 3, minimum: 100, needs: install, limits: tightSnapshots, ballast: 2 << 20, run: runLaggardCrash},
		{name: "sender-crash", nodes: 3, minimum: 100, needs: install, limits: tightSnapshots, ballast: 2 << 20, run: runSenderCrash},
		{name: "install-crash-all-0", nodes: 3, minimum: 60, needs: install, limits: tightSnapshots, ballast: 1 << 20, run: installCrashAll(0)},
		{name: "install-crash-all-50", nodes: 3, minimum: 60, needs: install, limits: tightSnapshots, ballast: 1 << 20, run: installCrashAll(50)},
		{name: "install-crash-all-100", nodes: 3, minimum: 60, needs: install, limits: tightSnapshots, ballast: 1 << 20, run: installCrashAll(100)},
		{name: "large-snapshot", nodes: 3, minimum: 50, needs: install, ballast: 40 << 20, run: runLargeSnapshot},
	}
}

// tightSnapshots cut the log at every turn.
func tightSnapshots(l *consensus.Limits) {
	l.SnapshotEvery, l.TrailingEntries = 30, 5
	l.BatchEntries = 4
}

// snapshotNow asks one replica for a snapshot and checks what it says of it.
func (c *cluster) snapshotNow(inc *incarnation) consensus.SnapshotInfo {
	c.Helper()
	s, ok := inc.replica.(consensus.Snapshotter)
	if !ok {
		fatalf(c, "node %d is no consensus.Snapshotter", inc.node.id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	before := inc.machine.position()
	info, err := s.SnapshotNow(ctx)
	if err != nil {
		fatalf(c, "a snapshot of node %d: %v", inc.node.id, err)
	}
	st := inc.replica.Status()
	if info.Index < before.Index || info.Index > st.Applied || info.Bytes < int64(inc.machine.ballast) {
		c.Errorf("node %d, at %+v before and at index %d after, made the snapshot %+v", inc.node.id, before, st.Applied, info)
	}
	if st.Snapshot < info.Index || st.First == 0 || st.First > st.Snapshot+1 {
		c.Errorf("node %d made the snapshot %+v and says: snapshot at %d, the log from %d", inc.node.id, info, st.Snapshot, st.First)
	}
	return info
}

// runSnapshotNow: a snapshot is made on request, under load; the log is cut; all
// is there again after a restart, which begins with it.
func runSnapshotNow(c *cluster) {
	c.acknowledge(30)
	l := c.load(defaultLoad())
	for _, inc := range c.up() {
		info := c.snapshotNow(inc)
		if st := inc.replica.Status(); c.limits.TrailingEntries == 0 && st.First <= info.Index {
			c.Errorf("node %d keeps the log from %d below its snapshot %+v", inc.node.id, st.First, info)
		}
	}
	c.work(50*time.Millisecond, 10)
	l.stop()
	for i := range c.rounds(2) {
		if i == 0 {
			c.stop(c.nodes...)
		} else {
			c.crash(50, c.nodes...)
		}
		c.open(c.nodes...)
		for _, inc := range c.up() {
			if inc.machine.restores.Load() == 0 {
				c.Errorf("node %d came back without restoring its snapshot", inc.node.id)
			}
		}
		c.mustSwap(2)
	}
}

// runSnapshotDamaged: with its only snapshot damaged a replica must not open: it
// would serve an older state, or none.
func runSnapshotDamaged(c *cluster) {
	n := c.nodes[0]
	c.acknowledge(20)
	c.snapshotNow(c.leader())
	c.mustSwap(1)
	c.stop(n)
	for _, at := range []float64{0, 0.3, 0.6, 0.99} {
		mend := c.damage(n, at)
		n.listener = c.listenAgain(n)
		if err := c.openOne(n); err == nil {
			c.Errorf("with its snapshot damaged at %.0f %% of its bytes, the replica opened", at*100)
			c.stop(n)
		}
		mend()
	}
	c.open(n)
	c.mustSwap(1)
}

// damage flips one bit of a node's newest snapshot, and returns what mends it.
func (c *cluster) damage(n *node, at float64) (mend func()) {
	c.Helper()
	name := findSnapshot(n.fs, "data")
	if name == "" {
		fatalf(c, "%s has no snapshot file", n.name)
	}
	flip := func() {
		f, err := n.fs.OpenReadWrite(name, "suite")
		if err != nil {
			fatalf(c, "damaging %s: %v", name, err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			fatalf(c, "damaging %s: %v", name, err)
		}
		b, off := make([]byte, 1), int64(at*float64(info.Size()))
		if _, err := f.ReadAt(b, off); err != nil {
			fatalf(c, "damaging %s: %v", name, err)
		}
		b[0] ^= 0x10
		if _, err := f.WriteAt(b, off); err != nil {
			fatalf(c, "damaging %s: %v", name, err)
		}
		if err := f.Sync(); err != nil {
			fatalf(c, "damaging %s: %v", name, err)
		}
	}
	flip()
	return flip
}

// findSnapshot is the last snapshot file at or below a directory, "" if none.
func findSnapshot(fs *faultdisk.FS, dir string) (found string) {
	names, err := fs.List(dir)
	if err != nil {
		return "" // a file
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		if strings.HasSuffix(name, ".snap") {
			found = max(found, path)
		} else if below := findSnapshot(fs, path); below != "" {
			found = max(found, below)
		}
	}
	return found
}

// runSnapshotCrash: power cuts while snapshots are written and the log is cut.
func runSnapshotCrash(c *cluster) {
	for _, keep := range []int{0, 50, 100, 0, 50, 100} {
		l := c.load(defaultLoad())
		c.work(60*time.Millisecond, 12)
		pause(context.Background(), c.jitter(10*time.Millisecond))
		c.crash(keep, c.nodes...)
		c.open(c.nodes...)
		pause(context.Background(), c.jitter(10*time.Millisecond))
		c.crash(keep, c.nodes...)
		c.open(c.nodes...)
		c.mustSwap(3)
		l.stop()
	}
}

// slowLoad leaves time for snapshots of some size.
func slowLoad() loadOptions {
	o := defaultLoad()
	o.pace = 12 * time.Millisecond
	return o
}

// jitter is a random part of d.
func (c *cluster) jitter(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }

// runSnapshotEvery: snapshots come by themselves, on every replica, and bound
// the log; restarts and crashes go on from them.
func runSnapshotEvery(c *cluster) {
	c.acknowledge(150)
	c.within(c.grace(), "every node to cut its log", func() bool {
		for _, inc := range c.up() {
			if s := inc.replica.Status(); s.Snapshot == 0 || s.First <= 1 || inc.saved.Load() == 0 {
				return false
			}
		}
		return true
	})
	l := c.load(defaultLoad())
	c.crash(50, c.leader().node)
	c.mustSwap(2)
	c.run(100 * time.Millisecond)
	l.stop()
	c.settleUp()
	c.stop(c.nodes...)
	c.open(c.nodes...)
	for _, inc := range c.up() {
		if inc.machine.restores.Load() == 0 {
			c.Errorf("node %d came back without restoring its snapshot", inc.node.id)
		}
	}
	c.acknowledge(20)
}

// settleUp opens the nodes that are down.
func (c *cluster) settleUp() {
	c.Helper()
	for _, n := range c.nodes {
		if n.current.Load() == nil && !n.removed.Load() {
			c.open(n)
		}
	}
}

// sever isolates a node and takes from it what was on its way: a cut alone holds
// the bytes back, and a laggard could live on them for long. What its peers queue
// for it they drop while they cannot dial.
func (c *cluster) sever(n *node) {
	c.isolate(n)
	c.fabric.CloseNode(n.name)
	c.fabric.OpenNode(n.name)
	pause(context.Background(), 700*time.Millisecond)
}

// leaveBehind makes n, which does not hear of it, lag so far that every other
// node's log begins after what it has.
func (c *cluster) leaveBehind(n *node, has uint64) {
	c.Helper()
	c.within(4*c.grace(), "the log to be cut beyond "+n.name, func() bool {
		c.mustSwap(uint8(1+c.rng.IntN(4)), n)
		if inc := n.current.Load(); inc != nil {
			has = max(has, inc.replica.Status().Last) // more than it knew to be committed
		}
		for _, inc := range c.up() {
			if inc.node != n && inc.replica.Status().First <= has+1 {
				return false
			}
		}
		return true
	})
}

// runLaggard: a follower is cut off until the others have cut their logs beyond
// it. It catches up by a snapshot, under load.
func runLaggard(c *cluster) {
	l := c.load(slowLoad())
	defer l.stop()
	for i := range c.rounds(3) {
		f := c.others(c.leader().node)[i%2]
		inc := f.current.Load()
		c.sever(f)
		c.leaveBehind(f, inc.replica.Status().Committed)
		before := inc.restored.Load()
		c.fabric.HealAll()
		healed := time.Now()
		_, o := c.mustSwap(2)
		c.caughtUp(f, o.At)
		c.Logf("%s caught up under load in %v", f.name, time.Since(healed))
		if inc.restored.Load() == before {
			c.Errorf("%s caught up from index %d without a snapshot, although no log goes back so far", f.name, inc.replica.Status().Committed)
		}
	}
}

func (c *cluster) caughtUp(n *node, at Position) {
	c.Helper()
	c.within(2*c.grace(), n.name+" to catch up by a snapshot", func() bool {
		inc := n.current.Load()
		return inc != nil && !inc.machine.position().less(at)
	})
}

// runLaggardCrash: the receiver loses power again and again on the way.
func runLaggardCrash(c *cluster) {
	l := c.load(slowLoad())
	defer l.stop()
	f := c.others(c.leader().node)[0]
	has := f.current.Load().replica.Status().Committed
	c.crash(50, f)
	c.leaveBehind(f, has)
	for i := range c.rounds(9) {
		c.open(f)
		pause(context.Background(), c.jitter(60*time.Millisecond))
		c.crash([]int{0, 50, 100}[i%3], f)
	}
	c.open(f)
	_, o := c.mustSwap(2)
	c.caughtUp(f, o.At)
	c.run(50 * time.Millisecond)
}

// runSenderCrash: whoever may send the snapshot loses power on the way.
func runSenderCrash(c *cluster) {
	l := c.load(slowLoad())
	defer l.stop()
	for i := range c.rounds(4) {
		f := c.others(c.leader().node)[0]
		c.sever(f)
		c.leaveBehind(f, f.current.Load().replica.Status().Committed)
		c.fabric.HealAll()
		pause(context.Background(), c.jitter(40*time.Millisecond))
		n := c.leaderNow().node
		if n == f {
			n = c.others(f)[0]
		}
		c.crash([]int{0, 50, 100}[i%3], n)
		c.mustSwap(2)
		c.open(n)
		_, o := c.mustSwap(3)
		c.caughtUp(f, o.At)
	}
}

// installCrashAll: everybody loses power, twice in a row, while one installs a
// snapshot and the others write theirs and cut their logs.
func installCrashAll(keep int) func(c *cluster) {
	return func(c *cluster) {
		for range c.rounds(4) {
			l := c.load(slowLoad())
			f := c.others(c.leader().node)[0]
			c.sever(f)
			c.leaveBehind(f, f.current.Load().replica.Status().Committed)
			c.fabric.HealAll()
			pause(context.Background(), c.jitter(50*time.Millisecond))
			c.crash(keep, c.nodes...)
			c.open(c.nodes...)
			pause(context.Background(), c.jitter(300*time.Millisecond))
			c.crash(keep, c.nodes...)
			c.open(c.nodes...)
			_, o := c.mustSwap(2)
			l.stop()
			c.caughtUp(f, o.At)
		}
	}
}

// runLargeSnapshot: a snapshot larger than any frame of the wire.
func runLargeSnapshot(c *cluster) {
	c.acknowledge(20)
	f := c.others(c.leader().node)[0]
	inc := f.current.Load()
	l := c.load(slowLoad())
	defer l.stop()
	c.sever(f)
	c.work(50*time.Millisecond, 10)
	has := inc.replica.Status().Committed
	for _, p := range c.others(f) {
		c.snapshotNow(p.current.Load())
		if first := p.current.Load().replica.Status().First; first <= has+1 {
			c.Errorf("%s keeps its log from %d, so that %s, at %d, needs no snapshot", p.name, first, f.name, has)
		}
	}
	c.fabric.HealAll()
	_, o := c.mustSwap(2)
	c.caughtUp(f, o.At)
	if inc.restored.Load() == 0 {
		c.Errorf("%s caught up without a snapshot", f.name)
	}
	c.work(50*time.Millisecond, 20)
}
