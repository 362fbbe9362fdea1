package consensustest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gfslab/consensus"
)

func leadScenarios() []scenario {
	tr := []Feature{Transfer}
	return []scenario{
		{name: "transfer", nodes: 3, minimum: 50, needs: tr, run: runTransfer},
		{name: "transfer-load", nodes: 3, minimum: 100, needs: tr, run: runTransferLoad},
		{name: "transfer-lagging", nodes: 3, minimum: 100, needs: tr, run: runTransferLagging},
		{name: "transfer-cut", nodes: 3, minimum: 20, needs: tr, run: runTransferCut},
		{name: "transfer-refused", nodes: 3, minimum: 1, needs: tr, run: runTransferRefused},
		{name: "pre-vote", nodes: 3, minimum: 20, virtualOnly: true, run: runPreVote},
		{name: "check-quorum", nodes: 3, minimum: 20, run: runCheckQuorum},
		{name: "disk-stall", nodes: 3, minimum: 100, needs: []Feature{Resigns}, run: runDiskStall},
		{name: "disk-failure", nodes: 3, minimum: 100, needs: []Feature{Resigns}, run: runDiskFailure},
	}
}

// tryTransfer asks a replica to hand over the lead and checks the answer.
func (c *cluster) tryTransfer(inc *incarnation, to consensus.NodeID, patience time.Duration) error {
	c.Helper()
	tr, ok := inc.replica.(consensus.Transferrer)
	if !ok {
		fatalf(c, "node %d is no consensus.Transferrer", inc.node.id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := tr.Transfer(ctx, to)
	if late := sinceEnd(ctx); late > c.grace()/4 {
		c.Errorf("node %d returned from a transfer %v after the end of its caller's context", inc.node.id, late)
	}
	if err == nil {
		if s := inc.replica.Status(); s.Role == consensus.Leader && s.Leader == inc.node.id && to != inc.node.id {
			c.Logf("node %d handed over the lead and has it again: %+v", inc.node.id, s.Term)
		}
	}
	return err
}

// transfer hands the lead from one node to another and waits for it.
func (c *cluster) transfer(inc *incarnation, to consensus.NodeID) {
	c.Helper()
	var why string
	for range c.tries() {
		if why = c.transferOnce(inc, to); why == "" {
			return
		}
		c.Logf("once more: %s", why)
		if inc = c.leader(); inc.node.id == to {
			return // elected meanwhile
		}
	}
	fatalf(c, "%s%s", why, c.statuses())
}

// transferOnce returns what went otherwise than it was asked for; "" is success.
func (c *cluster) transferOnce(inc *incarnation, to consensus.NodeID) string {
	c.Helper()
	term := inc.replica.Status().Term
	if err := c.tryTransfer(inc, to, c.grace()); err != nil {
		return fmt.Sprintf("transfer from node %d to node %d: %v", inc.node.id, to, err)
	}
	now := c.leader()
	switch s := now.replica.Status(); {
	case s.Term <= term:
		c.Errorf("after a transfer node %d leads term %d; node %d led term %d", now.node.id, s.Term, inc.node.id, term)
	case to != 0 && now.node.id != to:
		return fmt.Sprintf("node %d leads after a transfer to node %d", now.node.id, to)
	case now == inc:
		return fmt.Sprintf("node %d leads after a transfer away from it", now.node.id)
	}
	return ""
}

// runTransfer: to each node in turn, then to the best.
func runTransfer(c *cluster) {
	for _, n := range append(c.nodes, c.nodes...) {
		c.acknowledge(8)
		if inc := c.leader(); inc.node != n {
			c.transfer(inc, n.id)
		}
	}
	for range 3 {
		c.transfer(c.leader(), 0)
		c.acknowledge(8)
	}
}

// runTransferLoad: under load, with what it costs.
func runTransferLoad(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for range c.rounds(5) {
		c.work(100*time.Millisecond, 15)
		c.history.longestGap()
		inc := c.leader()
		c.transfer(inc, c.others(inc.node)[c.rng.IntN(2)].id)
		c.mustSwap(2)
		c.Logf("longest time without an acknowledged write around a transfer: %v", c.history.longestGap())
	}
}

// runTransferLagging: to a node that has just come back. It may fail; the
// cluster goes on.
func runTransferLagging(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for i := range c.rounds(4) {
		inc := c.leader()
		f := c.others(inc.node)[i%2]
		c.isolate(f)
		c.work(300*time.Millisecond, 40)
		if inc = c.leader(); inc.node == f {
			c.fabric.HealAll()
			continue
		}
		c.fabric.HealAll()
		err := c.tryTransfer(inc, f.id, c.grace())
		c.Logf("transfer to a lagging node: %v", err)
		c.mustSwap(2)
	}
}

// runTransferCut: to a node that cannot be reached. It fails in good time; the
// leader leads on, or another one does.
func runTransferCut(c *cluster) {
	for i := range c.rounds(3) {
		c.acknowledge(10)
		inc := c.leader()
		f := c.others(inc.node)[i%2]
		c.isolate(f)
		if err := c.tryTransfer(inc, f.id, 2*time.Second); err == nil && c.leader().node == inc.node {
			c.Errorf("node %d handed its lead to node %d, which it cannot reach, and leads", inc.node.id, f.id)
		}
		c.mustSwap(2)
		c.fabric.HealAll()
	}
}

// runTransferRefused: only a leader can hand over, and only to a voter.
func runTransferRefused(c *cluster) {
	inc := c.leader()
	var notLeader *consensus.NotLeaderError
	if err := c.tryTransfer(c.others(inc.node)[0].current.Load(), inc.node.id, c.grace()); !errors.As(err, &notLeader) {
		c.Errorf("a follower answers a transfer with %v; want a NotLeaderError", err)
	}
	c.undisturbed("a transfer to a stranger", func() {
		if err := c.tryTransfer(inc, 9, c.grace()); !errors.Is(err, consensus.ErrRefused) {
			c.Errorf("a transfer to a stranger: %v; want ErrRefused", err)
		}
	})
	c.mustSwap(1)
}

// runPreVote: a follower that was cut off for long does not depose the leader
// when it comes back.
func runPreVote(c *cluster) {
	for i := range 4 {
		c.acknowledge(10)
		f := c.others(c.leader().node)[i%2]
		c.undisturbed("the return of a follower", func() {
			c.isolate(f)
			if i >= 2 { // it hears, and is not heard
				for _, p := range c.others(f) {
					c.fabric.Heal(p.name, f.name)
				}
			}
			c.run(8 * c.limits.ElectionTimeout())
			c.fabric.HealAll()
			c.run(4 * c.limits.ElectionTimeout())
		})
	}
}

// runCheckQuorum: a leader that hears from no quorum ceases to lead, and says so.
func runCheckQuorum(c *cluster) {
	for range c.rounds(3) {
		c.acknowledge(10)
		inc := c.leader()
		c.isolate(inc.node)
		cut := time.Now()
		c.within(c.grace(), inc.node.name+", without a quorum, to lead no more", func() bool {
			return inc.replica.Status().Role != consensus.Leader
		})
		took := time.Since(cut)
		c.Logf("without a quorum a leader ceased to lead after %v (election timeout %v)", took, c.limits.ElectionTimeout())
		if limit := 4 * c.limits.ElectionTimeout(); c.play.world == Virtual && took > limit {
			c.Errorf("a leader without a quorum led on for %v; the bound is %v", took, limit)
		}
		c.fabric.HealAll()
		c.mustSwap(2)
	}
}

// diskBound is how long a leader whose disk has stopped may keep the others from
// writing: until it notices, and they elect.
func (c *cluster) diskBound() time.Duration { return 12 * c.limits.ElectionTimeout() }

// runDiskStall: the leader's disk stops for a while. Another node leads within a
// bound, and nothing acknowledged is lost.
func runDiskStall(c *cluster) {
	for i := range c.rounds(3) {
		l := c.load(defaultLoad())
		c.work(200*time.Millisecond, 30)
		inc := c.leader()
		inc.node.fs.StallSyncs(time.Hour)
		c.handover("stalls", inc)
		l.stop()
		if i%2 == 0 {
			c.crash(100, inc.node)
			inc.node.fs.StallSyncs(0)
			c.open(inc.node)
		} else { // the disk goes on, and so does the node
			inc.node.fs.StallSyncs(0)
		}
		c.mustSwap(2)
	}
}

// runDiskFailure: the leader's disk refuses every sync.
func runDiskFailure(c *cluster) {
	for range c.rounds(3) {
		l := c.load(defaultLoad())
		c.work(200*time.Millisecond, 30)
		inc := c.leader()
		inc.node.fs.FailSyncs(errors.New("suite: the disk has failed"))
		c.handover("fails", inc)
		l.stop()
		inc.node.fs.FailSyncs(nil)
		c.crash(100, inc.node)
		c.open(inc.node)
		c.mustSwap(2)
	}
}

// handover waits until another node than inc, whose disk has just stopped, has
// acknowledged a write, and measures it.
func (c *cluster) handover(what string, inc *incarnation) {
	c.Helper()
	stopped := time.Now()
	c.mustSwap(2, inc.node)
	took := time.Since(stopped)
	c.Logf("the leader's disk %s: another node wrote after %v (election timeout %v)", what, took, c.limits.ElectionTimeout())
	if c.play.world == Virtual && took > c.diskBound() {
		c.Errorf("the leader's disk %s: another node wrote only after %v; the bound is %v", what, took, c.diskBound())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if o := c.read(ctx, inc, 1); o.Err == nil {
		c.Errorf("node %d, whose disk %s and whom another node succeeded, still serves reads", inc.node.id, what)
	}
}
