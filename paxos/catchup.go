package paxos

import "slices"

// fetch is how a node that fell behind gets chosen values.
type fetch struct {
	target uint64 // the highest slot that anyone said is chosen
	wait   int    // ticks until the next request, 0 = none is out
	tries  int    // requests in a row that taught nothing
	asked  uint64 // the first slot of the request that is out
	seen   uint64 // the chosen prefix when progress was seen last
	from   NodeID // whose snapshot the caller is bringing, 0 = nobody's
}

func (f *fetch) see(chosen uint64) { f.target = max(f.target, chosen) }

// tickFetch asks for what is missing. Waiting for a tick lets Accepts that are
// merely late arrive.
func (n *Node) tickFetch() {
	if n.keeps() && n.leader != 0 && n.chosen != n.fetch.seen {
		// The leader sends by itself what this log lacks, as long as it can.
		n.fetch.seen, n.fetch.wait = n.chosen, 2*n.cfg.HeartbeatTicks
	}
	if n.fetch.wait > 0 {
		n.fetch.wait--
		return
	}
	n.fetchMore()
}

// fetchMore asks for what is missing. A leader proposes itself what is above its
// floor, and lacks what others compacted.
func (n *Node) fetchMore() {
	missing := n.chosen < n.fetch.target
	if n.role == Leader {
		missing = n.chosen < n.lead.floor && !n.keeps()
	}
	if missing && !n.retired() && n.fetch.from == 0 && !n.diskBehind() {
		n.request()
	}
}

// request asks one peer for chosen values. After a failure the next one is asked.
func (n *Node) request() {
	sources := n.sources()
	if len(sources) == 0 {
		return
	}
	n.fetch.asked = n.chosen + 1
	n.fetch.wait = 2 * n.cfg.HeartbeatTicks
	n.send(Message{Kind: MsgCatchUp, To: sources[n.fetch.tries%len(sources)], Lo: n.fetch.asked})
	n.fetch.tries++
}

// sources are whom to ask, best first. A few missing slots the leader is asked
// for, as it surely has them; a long tail is taken from another peer, to leave the
// leader in peace. Switch G may leave nobody but the leader.
func (n *Node) sources() []NodeID {
	// (A newcomer may not know the leader for one, which need not be a member of what
	// it joins.)
	newcomer := len(n.current().Voters) == 0 || !slices.ContainsFunc(n.configs, func(c *configuration) bool { return c.has(n.cfg.ID) })
	if n.cfg.Switches.CatchUp == FromLeader && n.role != Leader && !newcomer {
		if n.leader == 0 {
			return nil
		}
		return []NodeID{n.leader}
	}
	others := make([]NodeID, 0, len(n.members.ids))
	for i, id := range n.members.ids {
		if n.members.other(i) && id != n.leader {
			others = append(others, id)
		}
	}
	if newcomer {
		for _, id := range n.cfg.Peers {
			if id != n.cfg.ID && id != n.leader && !slices.Contains(others, id) {
				others = append(others, id)
			}
		}
	}
	// The order is turned by this node's position so that laggards spread.
	for i := 0; i < n.members.self && len(others) > 0; i++ {
		others = append(others[1:], others[0])
	}
	if n.leader != 0 && n.leader != n.cfg.ID {
		if n.fetch.target-n.chosen <= uint64(n.cfg.Window) {
			others = append([]NodeID{n.leader}, others...)
		} else {
			others = append(others, n.leader)
		}
	}
	return others
}

// handleCatchUp serves a page of chosen values, whatever this node's role is.
func (n *Node) handleCatchUp(m Message) {
	r := Message{Kind: MsgCatchUpReply, To: m.From, Lo: m.Lo, Chosen: n.chosen}
	if m.Lo >= 1 && n.settled(m.Lo, &r) == m.Lo && m.Lo <= n.chosen {
		r.Entries, _ = n.log.read(m.Lo, n.chosen+1, n.cfg.MaxMessageBytes)
	}
	n.send(r)
}

// handleCatchUpReply learns a page and asks the same way for the next one.
func (n *Node) handleCatchUpReply(m Message) {
	n.fetch.see(m.Chosen)
	if n.role == Leader && n.keeps() {
		return
	}
	if m.Settled != 0 {
		n.seeFloor(m.Settled, m.Data)
		n.askSnapshot(m.From, m.Settled)
		return
	}
	before := n.chosen
	for _, e := range m.Entries {
		if n.role == Leader && e.Slot > n.lead.floor {
			break // it proposes these slots itself
		}
		n.learn(e)
	}
	if n.chosen == before {
		return
	}
	n.counters.CatchUps++
	if n.lead != nil {
		n.lead.waiting = n.now
	}
	n.advance()
	if m.Lo != n.fetch.asked || n.fetch.wait == 0 {
		return
	}
	n.fetch.wait, n.fetch.tries = 0, max(n.fetch.tries-1, 0)
	n.fetchMore()
}
