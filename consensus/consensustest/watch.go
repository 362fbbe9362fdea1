package consensustest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gfslab/consensus"
)

// observe is called from the replicas' goroutines.
func (c *cluster) observe(inc *incarnation, e consensus.Event) {
	if inc.dead.Load() {
		return
	}
	if e.Node != inc.node.id {
		c.Errorf("node %d reports an event of node %d", inc.node.id, e.Node)
	}
	switch e.Kind {
	case consensus.EventLeader:
		c.mu.Lock()
		other, taken := c.leaders[e.Term]
		c.leaders[e.Term] = e.Node
		c.mu.Unlock()
		if taken && other != e.Node {
			c.Errorf("nodes %d and %d both led term %d", other, e.Node, e.Term)
		}
	case consensus.EventApplying:
		if last := inc.applying.Swap(e.Index); e.Index <= last {
			c.Errorf("node %d announces to apply index %d after %d", e.Node, e.Index, last)
		}
	case consensus.EventRestored:
		inc.restored.Add(1)
		if last := inc.applying.Swap(e.Index); e.Index < last {
			c.Errorf("node %d announces a state restored at index %d after it applied %d", e.Node, e.Index, last)
		}
	case consensus.EventSnapshot:
		inc.saved.Add(1)
	case consensus.EventMembers:
		if e.Members == nil {
			c.Errorf("node %d announces a configuration without naming it", e.Node)
			return
		}
		c.mu.Lock()
		c.configs = append(c.configs, config{e.Node, inc.life, *e.Members})
		c.mu.Unlock()
	}
}

// statuses describes every node for a failure's message.
func (c *cluster) statuses() string {
	var b strings.Builder
	for _, n := range c.nodes {
		inc := n.current.Load()
		if inc == nil {
			fmt.Fprintf(&b, "\n  %s down", n.name)
			continue
		}
		s := inc.replica.Status()
		fmt.Fprintf(&b, "\n  %s %v term %d leader %d committed %d applied %d, machine at %+v",
			n.name, s.Role, s.Term, s.Leader, s.Committed, s.Applied, inc.machine.position())
	}
	return b.String()
}

// grace is how long anything that must happen may take.
func (c *cluster) grace() time.Duration {
	if c.play.world == Virtual {
		return 10 * time.Second
	}
	return time.Minute
}

// attempt is how long one call at a node may take that says it leads, before
// somebody else is tried.
func (c *cluster) attempt() time.Duration {
	if c.play.world == Virtual {
		return 500 * time.Millisecond
	}
	return 3 * time.Second
}

// tries is how often a scenario may try what a change of leaders that nobody asked
// for undoes. In virtual time there is none.
func (c *cluster) tries() int {
	if c.play.world == Virtual {
		return 1
	}
	return 10
}

// oversleep is by how much this machine, busy as it is, wakes a sleeper late.
func oversleep() (worst time.Duration) {
	for range 10 {
		const nap = time.Millisecond
		begin := time.Now()
		pause(context.Background(), nap)
		worst = max(worst, time.Since(begin)-nap)
	}
	return worst
}

// stretched is a tick that a busy machine does not oversleep: followers would take
// healthy leaders for dead. What a scenario asserts holds with any tick.
func stretched(tick, oversleep time.Duration) time.Duration {
	return tick * (1 + min(7, oversleep/tick))
}

// within waits for a condition and ends the scenario when it does not come.
func (c *cluster) within(limit time.Duration, what string, done func() bool) {
	c.Helper()
	if !c.await(limit, done) {
		fatalf(c, "waited %v in vain for %s%s", limit, what, c.statuses())
	}
}

// await polls done until it holds or limit has passed.
func (c *cluster) await(limit time.Duration, done func() bool) bool {
	deadline := time.Now().Add(limit)
	for !done() {
		if time.Now().After(deadline) {
			return false
		}
		pause(context.Background(), 2*time.Millisecond)
	}
	return true
}

// bounded calls f and reports an error, and false, when it does not return.
func (c *cluster) bounded(what string, f func()) bool {
	c.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		c.Errorf("%s has not returned after %v", what, c.grace())
		return false
	}
}
