package consensustest

import (
	"context"
	"errors"
	"sync"
	"time"

	"gfslab/consensus"
)

// acknowledge runs traffic until n more writes have been acknowledged.
func (c *cluster) acknowledge(n int) {
	c.Helper()
	target := c.history.acknowledged.Load() + int64(n)
	l := c.load(defaultLoad())
	defer l.stop()
	c.within(4*c.grace(), "writes to be acknowledged", func() bool { return c.history.acknowledged.Load() >= target })
}

// runSingle: one replica orders, answers, and knows it all again after a
// restart.
func runSingle(c *cluster) {
	c.acknowledge(60)
	for range c.rounds(2) {
		c.stop(c.nodes...)
		c.open(c.nodes...)
		c.mustSwap(2)
	}
}

// runSingleCrash: what one replica acknowledged survives power cuts.
func runSingleCrash(c *cluster) {
	for _, keep := range []int{0, 50, 100, 0} {
		l := c.load(defaultLoad())
		c.work(150*time.Millisecond, 20)
		c.crash(keep, c.nodes...)
		c.open(c.nodes...)
		c.crash(keep, c.nodes...)
		c.open(c.nodes...)
		c.mustSwap(3)
		l.stop()
	}
}

// work lets traffic go on for a while, and until n more writes have been
// acknowledged: on a busy machine time alone promises nothing.
func (c *cluster) work(d time.Duration, n int) {
	c.Helper()
	target := c.history.acknowledged.Load() + int64(n)
	c.run(d)
	c.within(2*c.grace(), "writes to be acknowledged", func() bool { return c.history.acknowledged.Load() >= target })
}

// run lets traffic go on for a while.
func (c *cluster) run(d time.Duration) { pause(context.Background(), c.span(d)) }

// runSizeLimit: the largest command passes, a larger one is surely not done,
// and an empty one is a command like others.
func runSizeLimit(c *cluster) {
	inc := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	limit := c.limits.MaxCommandBytes
	for _, size := range []int{limit, limit + 1, 10 * limit, limit - 1} {
		o := c.swap(ctx, inc, 1, size-commandHeader-commandTrailer)
		switch {
		case size > limit && !errors.Is(o.Err, consensus.ErrDropped):
			c.Errorf("a command of %d bytes, limit %d: %v; want ErrDropped", size, limit, o.Err)
		case size <= limit && o.Err != nil:
			c.Errorf("a command of %d bytes, limit %d: %v", size, limit, o.Err)
		}
	}
	before := inc.machine.position()
	res, err := inc.replica.Propose(ctx, nil)
	if err != nil || !before.less(Position{res.Index, res.Offset}) {
		c.Errorf("an empty command: %+v, %v; want a position after %+v", res, err, before)
	}
	if len(res.Value) != 0 {
		c.Errorf("an empty command was answered with %d bytes; the state machine returned none", len(res.Value))
	}
}

// runContexts: a context that has ended already is obeyed at once, and the
// error says both what the outcome is and that the context was the cause.
func runContexts(c *cluster) {
	inc := c.leader()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 50 {
		// The write may be done all the same; the judge holds it to its answer.
		if o := c.swap(ctx, inc, 1, 0); o.Err != nil && !errors.Is(o.Err, context.Canceled) {
			c.Errorf("with a cancelled context: %v; want it to wrap context.Canceled", o.Err)
		}
		if o := c.read(ctx, inc, 1); o.Err != nil && !errors.Is(o.Err, context.Canceled) {
			c.Errorf("a read with a cancelled context: %v; want it to wrap context.Canceled", o.Err)
		}
	}
	c.mustSwap(1)
}

// runClosed: Close is idempotent, concurrent calls of it are fine, and a closed
// replica answers ErrClosed to what begins afterwards.
func runClosed(c *cluster) {
	c.acknowledge(20)
	inc := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c.bounded("Close", func() {
				if err := inc.replica.Close(); err != nil {
					c.Errorf("close: %v", err)
				}
			})
		})
	}
	wg.Wait()
	if o := c.swap(ctx, inc, 1, 0); !errors.Is(o.Err, consensus.ErrClosed) || errors.Is(o.Err, consensus.ErrUnknown) {
		c.Errorf("Propose after Close: %v; want ErrClosed alone", o.Err)
	}
	if o := c.read(ctx, inc, 1); !errors.Is(o.Err, consensus.ErrClosed) {
		c.Errorf("ReadBarrier after Close: %v; want ErrClosed", o.Err)
	}
	if s := inc.replica.Status(); s.ID != inc.node.id {
		c.Errorf("a closed replica says of itself: %+v", s)
	}
	c.stop(c.nodes...)
	c.open(c.nodes...)
}

// runOrder: mixed traffic on a healthy cluster.
func runOrder(c *cluster) {
	c.acknowledge(250)
	inc := c.leader()
	if s := inc.replica.Status(); s.Leader != inc.node.id || s.Term == 0 || s.Applied > s.Committed {
		c.Errorf("the leader says of itself: %+v", s)
	}
}

// runProposers: many concurrent proposers, each answered for its own command.
func runProposers(c *cluster) { c.volley(128, 10) }

func runProposersFew(c *cluster) { c.volley(24, 12) }

// volley lets n goroutines propose each times commands to the leader, once more if
// there was none.
func (c *cluster) volley(n, times int) {
	c.Helper()
	for range c.tries() {
		c.volleyOnce(n, times)
		if c.history.tally().OK >= c.play.minimum() {
			return
		}
		c.leader()
	}
}

func (c *cluster) volleyOnce(n, times int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for j := range times {
				ctx, cancel := context.WithTimeout(context.Background(), c.grace())
				c.swap(ctx, c.leaderNow(), uint8(1+(i+j)%7), (i*37+j*11)%300)
				cancel()
			}
		})
	}
	wg.Wait()
}

// leaderNow is the node that says it leads, or any that is up; it never waits.
func (c *cluster) leaderNow() *incarnation {
	list := c.up()
	for _, inc := range list {
		if inc.replica.Status().Role == consensus.Leader {
			return inc
		}
	}
	return list[0]
}

// runFollowers: a follower refuses at once, as surely not done, and its hint
// leads to the leader.
func runFollowers(c *cluster) {
	inc := c.leader()
	c.within(c.grace(), "the followers to know their leader", func() bool {
		for _, f := range c.up() {
			if f.replica.Status().Leader != inc.node.id {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	for _, n := range c.others(inc.node) {
		f := n.current.Load()
		for _, o := range []operation{c.swap(ctx, f, 1, 0), c.read(ctx, f, 1)} {
			var notLeader *consensus.NotLeaderError
			if !errors.As(o.Err, &notLeader) {
				c.Errorf("follower %d answered %v; want a NotLeaderError", n.id, o.Err)
			} else if notLeader.Hint != inc.node.id && inc.replica.Status().Role == consensus.Leader {
				c.Errorf("follower %d hints at node %d; node %d leads", n.id, notLeader.Hint, inc.node.id)
			}
		}
	}
	c.volley(4, 4)
}

// runRestart: the whole cluster is stopped and started, more than once.
func runRestart(c *cluster) {
	for range c.rounds(3) {
		c.acknowledge(40)
		c.stop(c.nodes...)
		c.open(c.nodes...)
	}
}

// runRollingRestart: one node after the other, under load.
func runRollingRestart(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for range 2 {
		for _, n := range c.nodes {
			c.work(100*time.Millisecond, 10)
			c.stop(n)
			c.mustSwap(2)
			c.open(n)
			c.mustSwap(3)
		}
	}
}

// runSlowMachine: commits run ahead of a state machine that takes its time.
func runSlowMachine(c *cluster) {
	c.acknowledge(60)
	c.crash(50, c.leader().node)
	c.mustSwap(1)
	c.acknowledge(20)
}
