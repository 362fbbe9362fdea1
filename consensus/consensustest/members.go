package consensustest

import (
	"context"
	"errors"
	"time"

	"gfslab/consensus"
)

// join adds a node to the world and opens it. It is told whom to talk to, and is
// no member before a change says so.
func (c *cluster) join() *node {
	c.Helper()
	n := c.addNode(consensus.NodeID(len(c.nodes) + 1))
	n.joins = true
	n.peers = []consensus.Peer{n.peer()}
	for _, p := range c.others(n) {
		n.peers = append(n.peers, p.peer())
	}
	c.open(n)
	return n
}

// gone stops expecting anything of a node; it still runs.
func (c *cluster) gone(n *node) { n.removed.Store(true) }

// membership is the replica as a Membership.
func (c *cluster) membership(inc *incarnation) consensus.Membership {
	c.Helper()
	m, ok := inc.replica.(consensus.Membership)
	if !ok {
		fatalf(c, "node %d is no consensus.Membership", inc.node.id)
	}
	return m
}

// tryChange asks one replica for a change and checks the form of its answer.
// Any goroutine.
func (c *cluster) tryChange(inc *incarnation, ch consensus.Change, patience time.Duration) (consensus.Members, error) {
	ms, ok := inc.replica.(consensus.Membership)
	if !ok {
		c.Errorf("node %d is no consensus.Membership", inc.node.id)
		return consensus.Members{}, consensus.ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := ms.ChangeMembers(ctx, ch)
	if late := sinceEnd(ctx); late > c.grace()/4 {
		c.Errorf("node %d returned from a change %v after the end of its caller's context", inc.node.id, late)
	}
	if inc.dead.Load() {
		return m, consensus.ErrUnknown
	}
	if err == nil && !reflects(m, ch) {
		c.Errorf("node %d answered %+v to the change %+v", inc.node.id, m, ch)
	}
	if err == nil && !reflects(ms.Members(), ch) {
		c.Errorf("node %d answered ok to the change %+v and is in %+v", inc.node.id, ch, ms.Members())
	}
	var notLeader *consensus.NotLeaderError
	if err != nil && !errors.Is(err, consensus.ErrUnknown) && !errors.Is(err, consensus.ErrDropped) && !errors.Is(err, consensus.ErrRefused) &&
		!errors.Is(err, consensus.ErrClosed) && !errors.As(err, &notLeader) {
		c.Errorf("node %d answered a change with an error that is none of the contract's: %v", inc.node.id, err)
	}
	return m, err
}

// reflects reports whether a configuration is what a change wanted.
func reflects(m consensus.Members, ch consensus.Change) bool {
	if len(m.Outgoing) > 0 {
		return false
	}
	for _, p := range ch.AddVoters {
		if !m.IsVoter(p.ID) {
			return false
		}
	}
	for _, p := range ch.AddLearners {
		if !m.IsMember(p.ID) || m.IsVoter(p.ID) {
			return false
		}
	}
	for _, id := range ch.Remove {
		if m.IsMember(id) {
			return false
		}
	}
	return true
}

// remaining is what a configuration still lacks of a change.
func remaining(m consensus.Members, ch consensus.Change) (rest consensus.Change) {
	for _, p := range ch.AddVoters {
		if !m.IsVoter(p.ID) {
			rest.AddVoters = append(rest.AddVoters, p)
		}
	}
	for _, p := range ch.AddLearners {
		if !m.IsMember(p.ID) {
			rest.AddLearners = append(rest.AddLearners, p)
		}
	}
	for _, id := range ch.Remove {
		if m.IsMember(id) {
			rest.Remove = append(rest.Remove, id)
		}
	}
	return rest
}

// change makes one change through whichever node leads, however often it takes.
func (c *cluster) change(ch consensus.Change) consensus.Members {
	c.Helper()
	var got consensus.Members
	c.within(4*c.grace(), "a change of the members", func() bool {
		inc := c.leader()
		m, err := c.tryChange(inc, ch, 2*time.Second)
		got = m
		if errors.Is(err, consensus.ErrRefused) {
			// An attempt whose outcome was unknown may have done it, or be doing it.
			if got = c.membership(inc).Members(); len(got.Outgoing) > 0 {
				return false
			}
			if reflects(got, ch) {
				return true
			}
			rest := remaining(got, ch)
			if len(rest.AddVoters)+len(rest.AddLearners)+len(rest.Remove) == len(ch.AddVoters)+len(ch.AddLearners)+len(ch.Remove) {
				fatalf(c, "node %d, in %+v, refuses %+v: %v", inc.node.id, got, ch, err)
			}
			ch = rest // a backend of single steps had come half-way
			return false
		}
		return err == nil
	})
	return got
}

// add, addLearner and remove are changes of one kind.
func (c *cluster) add(n *node) consensus.Members {
	return c.change(consensus.Change{AddVoters: []consensus.Peer{n.peer()}})
}

func (c *cluster) addLearner(n *node) consensus.Members {
	return c.change(consensus.Change{AddLearners: []consensus.Peer{n.peer()}})
}

func (c *cluster) remove(n *node) consensus.Members {
	m := c.change(consensus.Change{Remove: []consensus.NodeID{n.id}})
	c.gone(n)
	return m
}

// sameMembers waits until all members are in the leader's configuration, and
// checks that it is nobody but them.
func (c *cluster) sameMembers(leader *incarnation) {
	c.Helper()
	ms, ok := leader.replica.(consensus.Membership)
	if !ok || len(c.nodes) == 1 {
		return
	}
	want := ms.Members()
	for _, inc := range c.up() {
		if !want.IsMember(inc.node.id) {
			c.Errorf("node %d is no member in %+v, and was not removed", inc.node.id, want)
			continue
		}
		c.within(c.grace(), inc.node.name+" to be in the leader's configuration", func() bool {
			want = ms.Members()
			return len(want.Outgoing) == 0 && sameMembers(c.membership(inc).Members(), want)
		})
	}
	if all := want.All(); len(all) != len(c.up()) {
		c.Errorf("%d nodes are members in %+v, not %d", len(all), want, len(c.up()))
	}
}
