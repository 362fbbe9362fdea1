package consensustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gfslab/consensus"
)

func memberScenarios() []scenario {
	m := []Feature{Membership}
	return []scenario{
		{name: "add-voter", nodes: 3, minimum: 60, needs: m, run: runAddVoter},
		{name: "learner", nodes: 3, minimum: 40, needs: []Feature{Membership, Learners}, run: runLearner},
		{name: "remove-follower", nodes: 3, minimum: 60, needs: m, run: runRemoveFollower},
		{name: "remove-leader", nodes: 3, minimum: 60, needs: m, run: runRemoveLeader},
		{name: "replace-voter", nodes: 3, minimum: 60, needs: m, run: runReplaceVoter},
		{name: "replace-all", nodes: 3, minimum: 100, needs: []Feature{Membership, Snapshots, Install}, limits: tightSnapshots, run: runReplaceAll},
		{name: "removed-returns", nodes: 3, minimum: 30, needs: m, virtualOnly: true, run: runRemovedReturns},
		{name: "refused-changes", nodes: 3, minimum: 5, needs: m, run: runRefusedChanges},
		{name: "concurrent-changes", nodes: 3, minimum: 20, needs: m, run: runConcurrentChanges},
		{name: "change-crash", nodes: 3, minimum: 15, needs: m, run: runChangeCrash},
		{name: "change-cut", nodes: 3, minimum: 15, needs: m, run: runChangeCut},
		{name: "crash-all-changed", nodes: 3, minimum: 50, needs: m, run: runCrashAllChanged},
		{name: "lone-restart", nodes: 3, minimum: 20, needs: m, run: runLoneRestart},
	}
}

// runAddVoter: a fourth node joins under load, and then its vote counts: with
// one of the others down, three of four are needed.
func runAddVoter(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	c.work(100*time.Millisecond, 30)
	n := c.join()
	c.add(n)
	c.work(100*time.Millisecond, 30)
	down := c.others(c.leader().node)[0]
	c.crash(50, down)
	c.mustSwap(2)
	c.isolate(n)
	c.silent(400 * time.Millisecond)
	c.fabric.HealAll()
	c.mustSwap(3)
	c.open(down)
}

// silent checks that the cluster, now without a quorum, acknowledges nothing
// that begins from here on. What was under way may still be answered.
func (c *cluster) silent(d time.Duration) {
	c.Helper()
	c.run(2 * c.limits.ElectionTimeout()) // answers that were on their way
	since := c.history.stamp()
	c.run(d)
	for _, o := range c.history.operations() {
		if o.Kind == opSwap && o.Invoke > since && o.Outcome == consensus.OK {
			c.Errorf("node %d, without a quorum, said ok to %s", o.Node, o.describe())
		}
	}
}

// runLearner: a learner learns and does not vote; promoted, it does.
func runLearner(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	n := c.join()
	c.addLearner(n)
	_, o := c.mustSwap(1)
	c.within(c.grace(), "the learner to learn", func() bool { return !n.current.Load().machine.position().less(o.At) })
	var down []*node
	for _, p := range c.others(c.leader().node) {
		if p != n {
			down = append(down, p)
		}
	}
	c.crash(50, down...)
	c.silent(400 * time.Millisecond)
	c.open(down...)
	c.mustSwap(2)
	if m := c.add(n); len(m.Voters) != 4 || len(m.Learners) != 0 {
		c.Errorf("after the promotion the members are %+v", m)
	}
	c.work(100*time.Millisecond, 20)
	c.crash(50, down[0])
	c.mustSwap(3)
	c.open(down[0])
}

// runRemoveFollower: a follower is removed under load, and another takes its
// place under a new identity.
func runRemoveFollower(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	c.work(100*time.Millisecond, 30)
	f := c.others(c.leader().node)[0]
	c.remove(f)
	c.work(300*time.Millisecond, 30)
	c.stop(f)
	n := c.join()
	c.add(n)
	c.work(100*time.Millisecond, 30)
}

// runRemoveLeader: a leader removes itself, ceases to lead, and another one
// serves.
func runRemoveLeader(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	c.work(100*time.Millisecond, 30)
	old := c.leader()
	c.tryChange(old, consensus.Change{Remove: []consensus.NodeID{old.node.id}}, c.grace())
	c.change(consensus.Change{Remove: []consensus.NodeID{old.node.id}}) // if not done before
	c.gone(old.node)
	c.within(c.grace(), old.node.name+", removed, to lead no more", func() bool { return old.replica.Status().Role != consensus.Leader })
	c.work(300*time.Millisecond, 30)
	c.stop(old.node)
	c.mustSwap(2)
}

// runReplaceVoter: one change takes one voter in and one out, first a follower,
// then the leader.
func runReplaceVoter(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	for i := range 2 {
		c.work(100*time.Millisecond, 30)
		old := c.leader().node
		if i == 0 {
			old = c.others(old)[0]
		}
		n := c.join()
		c.replace(old, n)
		c.work(100*time.Millisecond, 30)
		c.stop(old)
	}
}

func (c *cluster) replace(old, n *node) {
	c.Helper()
	m := c.change(consensus.Change{AddVoters: []consensus.Peer{n.peer()}, Remove: []consensus.NodeID{old.id}})
	if len(m.Voters) != 3 {
		c.Errorf("after a replacement the members are %+v", m)
	}
	c.gone(old)
}

// runReplaceAll: all three members are replaced one after the other, under load,
// with cuts and power cuts between and beside, and snapshots all the while.
func runReplaceAll(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	founders := c.nodes
	for i, old := range founders {
		c.work(100*time.Millisecond, 30)
		c.history.longestGap()
		n := c.join()
		hurt, after := c.others(n)[i%2], c.jitter(20*time.Millisecond)
		healed := c.beside(func() {
			pause(context.Background(), after)
			c.isolate(hurt)
			pause(context.Background(), 150*time.Millisecond)
			c.fabric.HealAll()
		})
		c.replace(old, n)
		healed()
		c.fabric.HealAll()
		c.mustSwap(2)
		c.Logf("replacing %s by %s: longest time without an acknowledged write %v", old.name, n.name, c.history.longestGap())
		c.crash([]int{0, 50, 100}[i], n)
		c.open(n)
		c.crash(50, old)
	}
	c.work(100*time.Millisecond, 30)
}

// runRemovedReturns: a node is cut off while it is removed, so it does not know;
// then the link heals, and later it restarts from its old disk. The others go on
// under the same leader in the same term.
func runRemovedReturns(c *cluster) {
	f := c.others(c.leader().node)[0]
	c.isolate(f)
	c.acknowledge(20)
	c.remove(f)
	c.run(4 * c.limits.ElectionTimeout())
	c.undisturbed("the return of a removed node", func() {
		for _, p := range c.others(f) {
			c.fabric.Heal(f.name, p.name)
			c.fabric.Heal(p.name, f.name)
		}
		c.run(10 * c.limits.ElectionTimeout())
		c.stop(f)
		c.open(f)
		c.run(10 * c.limits.ElectionTimeout())
	})
	c.stop(f)
	c.acknowledge(20)
}

// undisturbed checks that the leader before f leads after it, in the same term.
func (c *cluster) undisturbed(what string, f func()) {
	c.Helper()
	before := c.leader()
	term := before.replica.Status().Term
	f()
	s := before.replica.Status()
	if s.Role == consensus.Leader && s.Term == term {
		return
	}
	told := fmt.Sprintf("%s: node %d led term %d and is now %v in term %d", what, before.node.id, term, s.Role, s.Term)
	if c.play.world == Real { // a machine that paused brings elections too
		c.Logf("%s", told)
		return
	}
	c.Errorf("%s", told)
}

// runRefusedChanges: what makes no sense is refused, as surely not done.
func runRefusedChanges(c *cluster) {
	inc := c.leader()
	before := c.membership(inc).Members()
	peer := func(n consensus.NodeID) []consensus.Peer { return []consensus.Peer{{ID: n, Addr: "nowhere:1"}} }
	for what, ch := range map[string]consensus.Change{
		"an empty change":            {},
		"an identity used now":       {AddVoters: peer(2)},
		"a learner that votes":       {AddLearners: peer(2)},
		"the removal of a stranger":  {Remove: []consensus.NodeID{9}},
		"the removal of every voter": {Remove: []consensus.NodeID{1, 2, 3}},
		"a peer without an address":  {AddVoters: []consensus.Peer{{ID: 4}}},
	} {
		if _, err := c.tryChange(inc, ch, c.grace()); !errors.Is(err, consensus.ErrRefused) {
			c.Errorf("%s: %v; want ErrRefused", what, err)
		}
	}
	if now := c.membership(inc).Members(); !sameMembers(before, now) {
		c.Errorf("refused changes led from %+v to %+v", before, now)
	}
	var notLeader *consensus.NotLeaderError
	f := c.others(inc.node)[0]
	if _, err := c.tryChange(f.current.Load(), consensus.Change{AddVoters: peer(7)}, c.grace()); !errors.As(err, &notLeader) {
		c.Errorf("a follower answered a change with %v; want a NotLeaderError", err)
	}
	c.remove(f)
	c.stop(f)
	if _, err := c.tryChange(c.leader(), consensus.Change{AddVoters: []consensus.Peer{f.peer()}}, c.grace()); !errors.Is(err, consensus.ErrRefused) {
		c.Errorf("a removed node's identity once more: %v; want ErrRefused", err)
	}
	c.acknowledge(5)
}

// runConcurrentChanges: of changes asked for at once each is done, or surely not
// done; done they all are in the end.
func runConcurrentChanges(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	f := c.others(c.leader().node)[0]
	nodes := []*node{c.join(), c.join()}
	inc := c.leader()
	changes := []consensus.Change{
		{AddVoters: []consensus.Peer{nodes[0].peer()}},
		{AddVoters: []consensus.Peer{nodes[1].peer()}},
		{Remove: []consensus.NodeID{f.id}},
	}
	var wg sync.WaitGroup
	for i := range changes {
		wg.Go(func() { c.tryChange(inc, changes[i], 2*time.Second) })
	}
	wg.Wait()
	// An identity below one that was taken in since is used up: in its order.
	for i, n := range nodes {
		inc := c.leader()
		if m := c.membership(inc).Members(); !m.IsMember(n.id) && m.MaxID >= n.id {
			c.gone(n)
			c.stop(n)
			continue
		}
		c.change(changes[i])
	}
	c.change(changes[2])
	c.gone(f)
	c.stop(f)
	c.acknowledge(20)
}

// runChangeCrash: the leader loses power in the middle of a change. Whether it
// was done nobody knows; that all agree on it the judge sees, and asking again
// leads to the goal.
func runChangeCrash(c *cluster) {
	l := c.load(defaultLoad())
	defer l.stop()
	var last *node
	for i := range c.rounds(6) {
		ch := consensus.Change{}
		if last == nil {
			last = c.join()
			ch.AddVoters = []consensus.Peer{last.peer()}
		} else {
			ch.Remove = []consensus.NodeID{last.id}
		}
		inc := c.leader()
		tried := c.beside(func() { c.tryChange(inc, ch, time.Second) })
		pause(context.Background(), c.jitter(8*time.Millisecond))
		c.crash([]int{0, 50, 100}[i%3], inc.node)
		tried()
		c.mustSwap(2)
		c.open(inc.node)
		c.change(ch)
		if ch.Remove != nil {
			c.gone(last)
			c.stop(last)
			last = nil
		}
		c.mustSwap(3)
	}
}

// runChangeCut: a leader is cut off in the middle of a change; it must not count
// the change done, and the others' changes win.
func runChangeCut(c *cluster) {
	for range c.rounds(2) {
		c.acknowledge(10)
		inc := c.leader()
		n := c.join()
		c.isolate(inc.node)
		if _, err := c.tryChange(inc, consensus.Change{AddVoters: []consensus.Peer{n.peer()}}, 300*time.Millisecond); err == nil {
			c.Errorf("node %d, isolated, changed the members", inc.node.id)
		}
		c.mustSwap(2, inc.node)
		c.fabric.HealAll()
		c.mustSwap(3)
		c.add(n)
		c.remove(n)
		c.stop(n)
	}
}

// runCrashAllChanged: the members outlive power cuts of everybody.
func runCrashAllChanged(c *cluster) {
	for i, keep := range []int{0, 50, 100} {
		l := c.load(defaultLoad())
		c.work(50*time.Millisecond, 15)
		n := c.join()
		c.add(n)
		old := c.others(n)[i%2]
		c.remove(old)
		c.crash(100, old)
		var nodes []*node
		for _, inc := range c.up() {
			nodes = append(nodes, inc.node)
		}
		c.crash(keep, nodes...)
		c.open(nodes...)
		c.crash(keep, nodes...)
		c.open(nodes...)
		c.mustSwap(2)
		l.stop()
	}
}

// runLoneRestart: a member is started anew, alone, and is told that it alone
// founds the cluster. It knows better: it does not lead, and takes its place when
// the others can be reached.
func runLoneRestart(c *cluster) {
	c.acknowledge(20)
	for _, n := range c.nodes {
		c.isolate(n)
		c.crash(100, n)
		peers := n.peers
		n.peers = []consensus.Peer{n.peer()}
		c.open(n)
		l := c.load(defaultLoad())
		c.run(6 * c.limits.ElectionTimeout())
		l.stop()
		if s := n.current.Load().replica.Status(); s.Role == consensus.Leader {
			c.Errorf("node %d leads a cluster of its own", n.id)
		}
		c.fabric.HealAll()
		_, o := c.mustSwap(2)
		c.within(c.grace(), n.name+" to catch up", func() bool { return !n.current.Load().machine.position().less(o.At) })
		n.peers = peers
	}
}
