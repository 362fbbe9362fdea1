package consensustest

import (
	"context"

	"gfslab/consensus"
)

// leader waits for a leader that serves linearizable reads, outside except.
func (c *cluster) leader(except ...*node) *incarnation {
	c.Helper()
	var found *incarnation
	c.within(c.grace(), "a leader", func() bool {
		for _, inc := range c.up() {
			if inc.replica.Status().Role != consensus.Leader || contains(except, inc.node) {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), c.attempt())
			o := c.read(ctx, inc, 1)
			cancel()
			if o.Outcome == consensus.OK {
				found = inc
				return true
			}
		}
		return false
	})
	return found
}

func contains(list []*node, n *node) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// mustSwap writes through whichever node leads, until one write is
// acknowledged. Attempts that were not are in the history too.
func (c *cluster) mustSwap(key uint8, except ...*node) (*incarnation, operation) {
	c.Helper()
	var inc *incarnation
	var o operation
	c.within(2*c.grace(), "an acknowledged write", func() bool {
		inc = c.leader(except...)
		ctx, cancel := context.WithTimeout(context.Background(), 2*c.attempt())
		defer cancel()
		o = c.swap(ctx, inc, key, 10)
		return o.Outcome == consensus.OK
	})
	return inc, o
}

// settle heals everything, brings every node up and waits until all have
// applied the same log, up to a last acknowledged write.
func (c *cluster) settle() {
	c.Helper()
	c.fabric.HealAll()
	for _, n := range c.nodes {
		if n.current.Load() == nil && !n.removed.Load() {
			c.open(n)
		}
	}
	_, last := c.mustSwap(1)
	for _, inc := range c.up() {
		c.within(c.grace(), inc.node.name+" to apply the last write", func() bool {
			return !inc.machine.position().less(last.At)
		})
	}
	inc := c.leader()
	c.sameMembers(inc)
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	for key := range uint8(8) {
		c.read(ctx, inc, key)
	}
}
