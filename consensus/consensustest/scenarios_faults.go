package consensustest

import (
	"context"
	"errors"
	"sync"
	"time"

	"gfslab/consensus"
)

// crashAll: every node loses power at once, again right after it came back, and
// again after it has led; keep percent of what was not synced survives.
func crashAll(keep int) func(c *cluster) {
	return func(c *cluster) {
		for range c.rounds(3) {
			l := c.load(defaultLoad())
			c.work(200*time.Millisecond, 25)
			c.crash(keep, c.nodes...)
			c.open(c.nodes...)
			c.crash(keep, c.nodes...)
			c.open(c.nodes...)
			c.mustSwap(2)
			l.stop()
			c.crash(keep, c.nodes...)
			c.open(c.nodes...)
			c.mustSwap(3)
		}
	}
}

// runCrashLeaders: whoever leads loses power; it comes back after a successor
// has written.
func runCrashLeaders(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for i := range c.rounds(6) {
		c.work(100*time.Millisecond, 15)
		n := c.leader().node
		c.crash([]int{0, 50, 100}[i%3], n)
		c.mustSwap(2)
		c.open(n)
	}
}

// runMinorityLoss: one node is down, the others go on; it catches up alone.
func runMinorityLoss(c *cluster) {
	n := c.others(c.leader().node)[0]
	c.crash(0, n)
	c.acknowledge(150)
	c.stop(c.others(n)...)
	c.open(c.others(n)...)
	c.acknowledge(50)
	c.open(n)
	_, o := c.mustSwap(1)
	c.within(c.grace(), n.name+" to catch up", func() bool {
		return !n.current.Load().machine.position().less(o.At)
	})
}

// runMajorityLoss: without a majority nothing is acknowledged and nothing read.
func runMajorityLoss(c *cluster) {
	c.acknowledge(20)
	inc := c.leader()
	lost := c.others(inc.node)
	c.crash(100, lost...)
	lonely := c.history.stamp()
	l := c.load(defaultLoad())
	c.run(time.Second)
	l.stop()
	for _, o := range c.history.operations() {
		if o.Invoke > lonely && o.Outcome == consensus.OK {
			c.Errorf("node %d, without a majority, said ok to %s", o.Node, o.describe())
		}
	}
	c.open(lost...)
}

// runIsolatedLeader: a leader is cut off from its peers, not from its clients.
// It acknowledges nothing, what it failed never appears, and others go on.
func runIsolatedLeader(c *cluster) {
	for range c.rounds(3) {
		c.acknowledge(30)
		inc := c.leader()
		l := c.load(defaultLoad())
		c.isolate(inc.node)
		// What it had sent may still be answered; what begins now may not.
		cut := c.history.stamp()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 600*time.Millisecond)
				defer cancel()
				c.swap(ctx, inc, uint8(1+i%4), 0)
				c.read(ctx, inc, uint8(1+i%4))
			})
		}
		c.mustSwap(2, inc.node)
		c.run(300 * time.Millisecond)
		wg.Wait()
		l.stop()
		for _, o := range c.history.operations() {
			if o.Invoke > cut && o.Node == inc.node.id && o.Outcome == consensus.OK {
				c.Errorf("node %d, isolated, said ok to %s", o.Node, o.describe())
			}
		}
		c.fabric.HealAll()
		c.mustSwap(3)
	}
}

// runOneWayCuts: links that carry bytes in one direction only, on every side of
// a leader. A write must get through after each heal; during the cut it may.
func runOneWayCuts(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for i := range c.rounds(4) {
		n := c.leader().node
		for j, p := range c.others(n) {
			switch i {
			case 0: // hears nobody
				c.fabric.Cut(p.name, n.name)
			case 1: // is heard by nobody
				c.fabric.Cut(n.name, p.name)
			default: // half of each
				if j == i%2 {
					c.fabric.Cut(p.name, n.name)
				} else {
					c.fabric.Cut(n.name, p.name)
				}
			}
		}
		c.run(800 * time.Millisecond)
		c.fabric.HealAll()
		c.mustSwap(2)
		c.work(0, 10) // little may have come through before
	}
}

// runStaleRead: while a leader is replaced, every node is asked for reads
// without pause: each must see all that was acknowledged before it.
func runStaleRead(c *cluster) {
	for i := range c.rounds(3) {
		old := c.leader()
		o := defaultLoad()
		o.reads, o.stray, o.clients, o.keys, o.pace = 60, 67, 9, 1, 3*time.Millisecond
		// Short, lest all clients hang on the old leader while it is deposed.
		o.timeout = 60 * time.Millisecond
		if c.play.scenario.applyDelay > 0 {
			// Leave the machines room: what times out is applied all the same.
			o.reads, o.clients, o.pace = 75, 6, 12*time.Millisecond
		}
		l := c.load(o)
		c.work(200*time.Millisecond, 5)
		if i == 1 {
			c.crash(0, old.node)
		} else {
			c.isolate(old.node)
		}
		c.mustSwap(1, old.node)
		c.run(200 * time.Millisecond)
		c.fabric.HealAll()
		if i == 1 {
			c.open(old.node)
		}
		c.run(200 * time.Millisecond)
		l.stop()
	}
}

// runAmbiguous: proposals are under way when the leader is cut off, loses
// power or is closed; what it cannot know it must not call a failure.
func runAmbiguous(c *cluster) {
	for i := range c.rounds(6) {
		inc := c.leader()
		var wg sync.WaitGroup
		for j := range 32 {
			wg.Go(func() {
				for c.proposeUntilError(inc, uint8(1+j%4)) == nil {
				}
			})
		}
		pause(context.Background(), time.Duration(2+c.rng.IntN(8))*time.Millisecond)
		switch i % 3 {
		case 0:
			c.isolate(inc.node)
		case 1:
			c.stop(inc.node)
		case 2:
			c.crash(50, inc.node)
		}
		wg.Wait()
		c.mustSwap(2, inc.node)
		c.fabric.HealAll()
		if i%3 != 0 {
			c.open(inc.node)
		}
		c.mustSwap(3)
	}
	if n := c.history.tally().Unknown; n == 0 {
		c.Errorf("leaders were cut off and closed with proposals under way, and every outcome was certain")
	}
}

// proposeUntilError makes one proposal of bounded patience and returns its error.
func (c *cluster) proposeUntilError(inc *incarnation, key uint8) error {
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	o := c.swap(ctx, inc, key, 50)
	if errors.Is(o.Err, context.DeadlineExceeded) && o.Outcome == consensus.OK {
		c.Errorf("node %d: an error with the outcome ok: %v", o.Node, o.Err)
	}
	return o.Err
}

// runBackPressure: a leader that cannot commit fills up. Who is patient is
// served in the end; who is not is dropped, surely not done.
func runBackPressure(c *cluster) {
	inc := c.leader()
	c.isolate(inc.node)
	var wg sync.WaitGroup
	var mu sync.Mutex
	dropped, served := 0, 0
	volley := func(n int, patience time.Duration) {
		for i := range n {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				o := c.swap(ctx, inc, uint8(1+i%4), 20)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(o.Err, consensus.ErrDropped) {
					dropped++
					if !errors.Is(o.Err, context.DeadlineExceeded) {
						c.Errorf("dropped for want of room: %v; want it to wrap context.DeadlineExceeded", o.Err)
					}
				}
				if o.Err == nil {
					served++
				}
			})
		}
	}
	volley(40, 2*c.grace())
	pause(context.Background(), 20*time.Millisecond)
	volley(40, 200*time.Millisecond)
	pause(context.Background(), 400*time.Millisecond)
	c.fabric.HealAll()
	wg.Wait()
	if dropped == 0 {
		c.Errorf("80 commands on a leader that has room for a dozen and cannot commit: none was dropped")
	}
	if served == 0 {
		c.Errorf("no patient command was served after the heal")
	}
	c.Logf("%d dropped, %d served", dropped, served)
}

// runCloseUnderLoad: every call returns soon after Close, with a true outcome.
func runCloseUnderLoad(c *cluster) {
	for range c.rounds(4) {
		l := c.load(loadOptions{clients: 24, keys: 6, reads: 40, stray: 30, pad: 100, timeout: c.grace(), pace: time.Millisecond})
		c.work(100*time.Millisecond, 15)
		n := c.leader().node
		if c.rng.IntN(2) == 0 {
			c.stop(n)
		} else {
			c.stop(c.nodes...)
		}
		c.bounded("the calls under way at Close", l.stop)
		for _, n := range c.nodes {
			if n.current.Load() == nil {
				c.open(n)
			}
		}
		c.mustSwap(2)
	}
}

// runFiveElections: five leaders in a row are cut off.
func runFiveElections(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for range 5 {
		old := c.leader()
		term := old.replica.Status().Term
		c.isolate(old.node)
		inc, _ := c.mustSwap(2, old.node)
		if got := inc.replica.Status().Term; got <= term {
			c.Errorf("node %d leads term %d after node %d led term %d", inc.node.id, got, old.node.id, term)
		}
		c.fabric.HealAll()
		c.run(300 * time.Millisecond)
	}
}

// flap changes one random directed link.
func (c *cluster) flap() {
	a := c.nodes[c.rng.IntN(len(c.nodes))]
	b := c.others(a)[c.rng.IntN(len(c.nodes)-1)]
	switch c.rng.IntN(5) {
	case 0:
		c.fabric.Cut(a.name, b.name)
	case 1:
		c.fabric.Cut(a.name, b.name)
		c.fabric.Cut(b.name, a.name)
	case 2:
		c.isolate(a)
	default:
		c.fabric.HealAll()
	}
}

// runFlapping: links come and go faster than elections, so candidates duel.
// Progress is asked for in the calm between two bouts only.
func runFlapping(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for range c.rounds(4) {
		for range 25 {
			c.flap()
			pause(context.Background(), c.span(time.Duration(10+c.rng.IntN(120))*time.Millisecond))
		}
		c.fabric.HealAll()
		c.mustSwap(2)
	}
}

// runStorm: cuts and power cuts together, at most one node down at a time.
func runStorm(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for range c.rounds(4) {
		for range 12 {
			c.flap()
			pause(context.Background(), c.span(time.Duration(20+c.rng.IntN(200))*time.Millisecond))
			if c.rng.IntN(3) == 0 {
				n := c.nodes[c.rng.IntN(len(c.nodes))]
				c.crash(c.rng.IntN(101), n)
				pause(context.Background(), c.span(time.Duration(c.rng.IntN(150))*time.Millisecond))
				c.open(n)
			}
		}
		c.fabric.HealAll()
		c.mustSwap(2)
	}
}
