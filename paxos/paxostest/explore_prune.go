package paxostest

import "gfslab/paxos"

// deafness tells which messages have no effect on a node any more, whatever
// still happens.
type deafness struct {
	node int
	// below: its durable promise. Messages at lower ballots are refused or ignored;
	// neither changes the node, and the promise survives a crash.
	below paxos.Ballot
	// leads: it leads at this ballot; Promises for it come too late. It never
	// becomes a candidate at this ballot again.
	leads paxos.Ballot
	vote  bool // promises compare by round
}

func (c *catalog) deafOf(p *peer) int32 {
	d := deafness{node: int(p.id) - 1, below: p.disk.hardState.Promised, vote: c.world.Switches.Number == paxos.OneVote}
	if st := p.node.Status(); st.Role == paxos.Leader {
		d.leads = st.Ballot
	}
	i, ok := c.deafAt[d]
	if !ok {
		i = int32(len(c.deafs))
		c.deafAt[d] = i
		c.deafs = append(c.deafs, d)
	}
	return i
}

func (d *deafness) past(b paxos.Ballot) bool {
	if d.vote {
		return b.Round < d.below.Round
	}
	return b.Less(d.below)
}

// to tells whether m, which has arrived or not, can be forgotten. A refusal is an
// answer; so where Rejects arrive, nothing is.
func (d *deafness) to(m *paxos.Message) bool {
	switch m.Kind {
	case paxos.MsgPrepare, paxos.MsgAccept, paxos.MsgChosen, paxos.MsgHeartbeat, paxos.MsgAccepted, paxos.MsgHeartbeatReply, paxos.MsgBehind:
		return d.past(m.Ballot)
	case paxos.MsgPromise:
		return d.past(m.Ballot) || m.Ballot == d.leads
	}
	return false
}

// prune removes from the histories of t what their receivers are deaf to. It is
// sound: such a message leads from no state to another one, so two states that
// differ in them alone have the same future. That the core is deaf indeed is
// asked of it each time. t follows s by an event on node.
func (c *catalog) prune(s, t global, node int) global {
	if c.world.KeepAll || c.world.carries(paxos.MsgReject) {
		return t
	}
	sent := c.locals[s[node]].history != c.locals[t[node]].history
	deaf := c.core(s[node]).deaf != c.core(t[node]).deaf
	heard := t
	for other := range t {
		if other == node {
			continue
		}
		if sent {
			t[node] = c.forget(t[node], heard[other])
		}
		if deaf {
			t[other] = c.forget(t[other], heard[node])
		}
	}
	return t
}

// forget removes from the history of l what the receiver, another local state,
// is deaf to.
func (c *catalog) forget(l, receiver uint32) uint32 {
	deaf := c.core(receiver).deaf
	key := [2]int32{int32(l), deaf}
	if to, ok := c.pruned[key]; ok {
		return uint32(to)
	}
	d, h := &c.deafs[deaf], c.history(l)
	var kept []int32
	for _, i := range h.facts {
		f := c.facts.items[i]
		if f.kind == factSaid && int(f.message.To)-1 == d.node && d.to(f.message) && c.next(receiver, f.event) == int32(receiver) {
			continue
		}
		kept = append(kept, i)
	}
	to := c.addLocal(c.locals[l].core, c.addPast(kept))
	c.pruned[key] = to
	return uint32(to)
}
