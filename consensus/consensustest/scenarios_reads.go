package consensustest

import (
	"context"
	"sync"
	"time"

	"gfslab/consensus"
)

func readScenarios() []scenario {
	modes := []Feature{ReadModes}
	return []scenario{
		{name: "read-batches", nodes: 3, minimum: 5, run: runReadBatches},
		{name: "read-log-single", nodes: 1, minimum: 50, needs: modes, limits: readMode(consensus.ReadLog), run: runSingleCrash},
		{name: "read-log", nodes: 3, minimum: 50, needs: modes, limits: readMode(consensus.ReadLog), run: runStaleRead},
		{name: "read-log-batches", nodes: 3, minimum: 5, needs: modes, limits: readMode(consensus.ReadLog), run: runReadBatches},
		{name: "read-lease", nodes: 3, minimum: 50, needs: modes, limits: readMode(consensus.ReadLease), attacksLease: true, run: runStaleRead},
		{name: "read-lease-calm", nodes: 3, minimum: 5, needs: modes, limits: readMode(consensus.ReadLease), run: runLeaseCalm},
		{name: "read-lease-restart", nodes: 3, minimum: 50, needs: modes, limits: readMode(consensus.ReadLease), attacksLease: true, run: runLeaseRestart},
		{name: "read-lease-transfer", nodes: 3, minimum: 50, needs: []Feature{ReadModes, Transfer}, limits: readMode(consensus.ReadLease), attacksLease: true, run: runLeaseTransfer},
		{name: "read-lease-members", nodes: 3, minimum: 30, needs: []Feature{ReadModes, Membership}, limits: readMode(consensus.ReadLease), attacksLease: true, run: runLeaseMembers},
		{name: "read-stale-single", nodes: 1, minimum: 50, needs: []Feature{StaleReads}, run: runStalePrefix},
		{name: "read-stale", nodes: 3, minimum: 100, needs: []Feature{StaleReads}, run: runStalePrefix},
		{name: "read-stale-laggard", nodes: 3, minimum: 100, needs: []Feature{StaleReads, Snapshots, Install}, limits: tightSnapshots, run: runStalePrefix},
		{name: "read-stale-mode", nodes: 3, minimum: 50, needs: []Feature{ReadModes, StaleReads}, limits: readMode(consensus.ReadStale), run: runStaleMode},
	}
}

func readMode(mode consensus.ReadMode) func(l *consensus.Limits) {
	return func(l *consensus.Limits) { l.ReadMode = mode }
}

// volleyOfReads lets n goroutines read once from the leader, while its links to
// the others stall for a moment, times times; it returns how many reads
// succeeded and how many rounds they cost.
func (c *cluster) volleyOfReads(n, times int, stall time.Duration) (reads, rounds uint64) {
	c.Helper()
	inc := c.leader()
	before, done := inc.replica.Status().Counters["read_rounds"], c.history.tally().Reads
	for range times {
		if stall > 0 {
			c.isolate(inc.node)
		}
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), c.grace())
				defer cancel()
				c.read(ctx, inc, uint8(1+i%4))
			})
		}
		pause(context.Background(), stall)
		c.fabric.HealAll()
		wg.Wait()
	}
	return uint64(c.history.tally().Reads - done), inc.replica.Status().Counters["read_rounds"] - before
}

// runReadBatches: readers who come while a round is under way share the next.
func runReadBatches(c *cluster) {
	c.acknowledge(5)
	var reads, rounds uint64
	for range c.tries() {
		reads, rounds = c.volleyOfReads(64, 10, 10*time.Millisecond)
		c.Logf("%d reads in %d rounds", reads, rounds)
		if reads >= 500 && rounds > 0 && rounds <= reads/8 {
			return
		}
	}
	c.Errorf("%d reads, 64 at a time, took %d rounds", reads, rounds)
}

// runLeaseCalm: a leader with a lease serves reads without asking anybody: even
// while nobody can answer.
func runLeaseCalm(c *cluster) {
	c.acknowledge(5)
	c.run(4 * c.limits.ElectionTimeout())
	inc := c.leader()
	c.isolate(inc.node)
	reads := 0
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if o := c.read(ctx, inc, 1); o.Err == nil {
			reads++
		}
		cancel()
	}
	c.fabric.HealAll()
	c.Logf("%d of 20 reads served within a lease, without an answer from anybody", reads)
	if reads < 15 && c.play.world == Virtual {
		c.Errorf("a leader cut off for a moment served %d of 20 lease reads", reads)
	}
	var served, rounds uint64
	for range c.tries() {
		if served, rounds = c.volleyOfReads(64, 10, 0); served >= 600 {
			return
		}
	}
	c.Errorf("only %d of 640 reads succeeded on a healthy leader, in %d rounds", served, rounds)
}

// hammer reads at one replica without pause until stop.
func (c *cluster) hammer(inc *incarnation, readers int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	c.loads = append(c.loads, l)
	for i := range readers {
		l.wg.Go(func() {
			for pause(ctx, time.Millisecond) {
				o, end := context.WithTimeout(context.Background(), 50*time.Millisecond)
				c.read(o, inc, uint8(1+i%4))
				end()
			}
		})
	}
	return l.stop
}

// runLeaseRestart: within a leader's lease both followers restart, and with their
// memory of the lease gone, perhaps, elect another one, while the old leader,
// now cut off, goes on serving what it can.
func runLeaseRestart(c *cluster) {
	for i := range c.rounds(6) {
		c.acknowledge(10)
		old := c.leader()
		stop := c.hammer(old, 4)
		c.run(50 * time.Millisecond)
		c.isolate(old.node)
		rest := c.others(old.node)
		if i%2 == 0 {
			rest = rest[:1] // one restarts, the other one's patience ends first
		}
		c.crash(100, rest...)
		c.open(rest...)
		for range 10 {
			c.mustSwap(uint8(1+c.rng.IntN(4)), old.node)
		}
		c.run(100 * time.Millisecond)
		stop()
		c.fabric.HealAll()
	}
}

// runLeaseTransfer: a lease ends with a transfer, whatever its clock says. From the
// moment when the successor has been told on, the old leader hears nobody, not even that
// it is refused: only that it has given the lead away keeps it from serving what the
// successor overwrites. The links are cut before the transfer is asked for, in every
// other pair of rounds, which is too early where the successor has to say first what it
// has; or right after, which is too late where a candidate does not wait for its disk.
func runLeaseTransfer(c *cluster) {
	election := c.limits.ElectionTimeout()
	told := 100 * time.Microsecond // in a bubble nothing but disks takes time
	if c.play.world == Real {
		told = election / 15
	}
	inTime := 0
	for i := range c.rounds(8) {
		c.acknowledge(10)
		c.run(50 * time.Millisecond)
		old := c.leader()
		next := c.others(old.node)[i%2]
		if i%4 < 2 {
			c.deafen(old.node)
		}
		next.fs.StallSyncs(election / 5)
		asked := time.Now()
		answered := c.beside(func() { // it hears of no success
			err := c.tryTransfer(old, next.id, 2*time.Second)
			c.Logf("transfer, told and not heard of: %v", err)
		})
		pause(context.Background(), told)
		c.deafen(old.node)
		stop := c.hammer(old, 4)
		pause(context.Background(), election/5)
		next.fs.StallSyncs(c.brisk())
		c.mustSwap(uint8(1+c.rng.IntN(4)), old.node)
		if time.Since(asked) < election/2 && old.replica.Status().Role == consensus.Leader {
			inTime++
		}
		for range 10 {
			c.mustSwap(uint8(1+c.rng.IntN(4)), old.node)
		}
		c.run(election)
		stop()
		c.fabric.HealAll()
		answered()
	}
	c.Logf("in %d of %d rounds another node wrote while the old leader took itself for one", inTime, c.rounds(8))
	if inTime == 0 && c.play.world == Virtual {
		c.Errorf("no successor wrote while the old leader took itself for one: nothing was tried")
	}
}

// deafen cuts what n would hear.
func (c *cluster) deafen(n *node) {
	for _, p := range c.others(n) {
		c.fabric.Cut(p.name, n.name)
	}
}

// brisk is how long a healthy disk takes for a sync.
func (c *cluster) brisk() time.Duration {
	if c.play.world == Virtual {
		return time.Millisecond
	}
	return 0
}

// runLeaseMembers: the quorum that a lease counts on changes under it.
func runLeaseMembers(c *cluster) {
	c.acknowledge(10)
	old := c.leader()
	stop := c.hammer(old, 4)
	for range 2 {
		c.add(c.join())
		c.run(50 * time.Millisecond)
	}
	if now := c.leader(); now != old {
		stop()
		old = now
		stop = c.hammer(old, 4)
	}
	c.isolate(old.node)
	for range 10 {
		c.mustSwap(uint8(1+c.rng.IntN(4)), old.node)
	}
	stop()
	c.fabric.HealAll()
	c.acknowledge(10)
}

// runStalePrefix: any replica, cut off or lagging too, serves a prefix of the
// log, never less than its client has seen, and never the future.
func runStalePrefix(c *cluster) {
	o := defaultLoad()
	o.stale = 40
	l := c.load(o)
	defer l.stop()
	c.work(100*time.Millisecond, 20)
	if len(c.nodes) == 1 {
		c.stop(c.nodes...)
		c.open(c.nodes...)
		c.work(100*time.Millisecond, 20)
		return
	}
	for i := range c.rounds(4) {
		n := c.nodes[i%3]
		c.isolate(n)
		c.work(200*time.Millisecond, 40)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if r := c.readStale(ctx, n.current.Load(), 1, Position{}); r.Err != nil {
			c.Errorf("%s, cut off, refuses a stale read that asks for nothing: %v", n.name, r.Err)
		}
		_, newest := c.mustSwap(2, n)
		if r := c.readStale(ctx, n.current.Load(), 1, newest.At); r.Err == nil {
			c.Errorf("%s, cut off, served a stale read pinned at %+v", n.name, newest.At)
		}
		cancel()
		c.fabric.HealAll()
		if i%2 == 1 {
			c.crash(50, n)
			c.mustSwap(1)
			c.open(n)
		}
	}
}

// runStaleMode: with the read mode stale, ReadBarrier serves on every replica.
func runStaleMode(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	c.work(100*time.Millisecond, 40)
	f := c.others(c.leader().node)[0]
	c.isolate(f)
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	if o := c.read(ctx, f.current.Load(), 1); o.Err != nil {
		c.Errorf("%s, cut off, refuses a read in mode %q: %v", f.name, consensus.ReadStale, o.Err)
	}
	c.fabric.HealAll()
	c.work(100*time.Millisecond, 20)
}
