package paxos

import "maps"

// attempt is a round of pre-prepare: asking whether a ballot would be promised.
type attempt struct {
	id      uint64
	ballot  Ballot // what would be used; nothing is promised yet
	yes, no votes
}

// candidacy is phase 1 of one ballot: collecting promises.
type candidacy struct {
	promises votes
	// no are those who refuse without having promised more: this log is behind, or
	// their vote is given away.
	no votes
	// wanted is the first slot of the page that each member owes.
	wanted []uint64
	// best holds, by slot, the highest-ballot entry that others reported.
	best map[uint64]Entry
	// floor is the highest slot that a promise said to be compacted.
	floor uint64
	// highest is the highest slot in any report.
	highest uint64
	// mandate is the ballot of the leader who gave up for this candidate, if one did.
	mandate Ballot
}

// Campaign starts an election now, as if the leader had been silent for too
// long. Nodes that still hear from a leader will refuse it; one that has granted a
// lease does nothing until that ends.
func (n *Node) Campaign() {
	if n.role == Leader || n.log.err != nil || n.granting() {
		return
	}
	n.becomeFollower(0)
	if !n.mayLead() {
		return // it learns
	}
	if !n.cfg.PrePrepare {
		n.startCandidacy(Ballot{})
		return
	}
	n.role = PreCandidate
	n.attempt = attempt{id: n.attempt.id + 1, ballot: n.nextBallot()}
	n.attempt.yes.add(n.members.self)
	if n.current().elects(n.attempt.yes) {
		n.startCandidacy(Ballot{})
		return
	}
	n.retryElection()
}

// nextBallot is above every ballot that this node promised, used or heard of.
// What it promised and used is durable, so no ballot is used twice (rule 8).
func (n *Node) nextBallot() Ballot { return Ballot{Round: n.highest.Round + 1, Node: n.cfg.ID} }

func (n *Node) prePrepare() Message {
	return n.claim(Message{Kind: MsgPrePrepare, Ballot: n.attempt.ballot, ID: n.attempt.id})
}

func (n *Node) handlePrePromise(from int, m Message) {
	n.fetch.see(m.Chosen)
	if n.role != PreCandidate || m.ID != n.attempt.id || m.Ballot != n.attempt.ballot {
		return
	}
	n.attempt.yes.add(from)
	if n.current().elects(n.attempt.yes) {
		n.startCandidacy(Ballot{})
	}
}

// startCandidacy raises the ballot. Its Prepare leaves once the ballot is
// durable here (rule 3).
func (n *Node) startCandidacy(mandate Ballot) {
	n.setPromised(n.nextBallot())
	n.role, n.leader, n.elapsed = Candidate, 0, 0
	n.resetTimeout()
	n.counters.Elections++
	c := &candidacy{mandate: mandate, wanted: make([]uint64, len(n.members.ids)), best: map[uint64]Entry{}}
	for i := range c.wanted {
		c.wanted[i] = n.edge() + 1
	}
	n.cand = c
	n.prepareMissing()
}

// prepareMissing asks everyone who owes a page for it.
func (n *Node) prepareMissing() {
	for i, id := range n.members.ids {
		if n.members.other(i) && !n.leaving(i) && !n.cand.promises.has(i) {
			n.prepare(id, n.cand.wanted[i], n.cand.mandate)
		}
	}
}

// prepare asks for a page of a promise, unless the question waits for the disk.
func (n *Node) prepare(to NodeID, lo uint64, mandate Ballot) {
	m := n.claim(Message{Kind: MsgPrepare, To: to, Ballot: n.promised, Promised: mandate, Lo: lo, Done: n.role == Leader})
	if !n.waits(m) {
		n.send(m)
	}
}

// retryElection repeats what may have been lost.
func (n *Node) retryElection() {
	if n.role == Candidate {
		n.prepareMissing()
		return
	}
	m := n.prePrepare()
	for i, id := range n.members.ids {
		if n.members.other(i) && !n.leaving(i) && !n.attempt.yes.has(i) {
			m.To = id
			n.send(m)
		}
	}
}

// promiseSelf counts the node's own promise, once its ballot is durable (rules 3
// and 4). Its own entries are looked up when it leads.
func (n *Node) promiseSelf() {
	if n.out.durablePromise != n.promised || n.cand.promises.has(n.members.self) {
		return
	}
	n.cand.highest = max(n.cand.highest, n.log.last)
	n.promised1(n.members.self)
}

// handlePromise takes one page. A peer counts toward the quorum only with its
// last page, all of them at this ballot (rule 5).
func (n *Node) handlePromise(from int, m Message) {
	if n.role == Leader {
		n.handleLatePromise(from, m)
		return
	}
	c := n.cand
	if n.role != Candidate || m.Ballot != n.promised || c.promises.has(from) || m.Lo != c.wanted[from] {
		return
	}
	if m.Settled != 0 && !n.keeps() {
		n.seeFloor(m.Settled, m.Data)
		n.askSnapshot(m.From, m.Settled)
	}
	for _, e := range m.Entries {
		if e.Slot < m.Lo || e.Slot >= m.Hi {
			n.broken(5, "slot %d in the page [%d, %d) of node %d", e.Slot, m.Lo, m.Hi, m.From)
		}
		c.highest = max(c.highest, e.Slot)
		if e.Slot <= m.Chosen && e.Slot == n.chosen+1 {
			// What the peer knows to be chosen needs no new ballot. Where this node
			// lacks the slot before - the peer learned between two pages - it is a
			// report like any other.
			n.learn(e)
		} else if best, ok := c.best[e.Slot]; !n.keeps() && (!ok || best.Ballot.Less(e.Ballot)) {
			c.best[e.Slot] = e
		}
	}
	for _, e := range m.Entries {
		if e.Slot <= n.edge() {
			delete(c.best, e.Slot) // a laggard would hold the whole log in memory
		}
	}
	if n.role != Candidate {
		return
	}
	c.wanted[from] = m.Hi
	if !m.Done {
		n.elapsed = 0 // many pages are progress, however long they take
		n.send(n.claim(Message{Kind: MsgPrepare, To: m.From, Ballot: n.promised, Promised: c.mandate, Lo: m.Hi}))
		return
	}
	n.promised1(from)
}

// forget drops the reports of slots that need no new ballot.
func (c *candidacy) forget(to uint64) {
	maps.DeleteFunc(c.best, func(slot uint64, _ Entry) bool { return slot <= to })
}

// promised1 counts a complete promise.
func (n *Node) promised1(from int) {
	n.cand.promises.add(from)
	if n.current().elects(n.cand.promises) {
		n.becomeLeader()
	}
}

// adopt returns the value that the new leader must propose at slot: that of the
// highest ballot in the quorum of promises, or a no-op in a gap (rule 6).
func (n *Node) adopt(slot uint64) []byte {
	best, reported := n.lead.found[slot]
	own, accepted := n.log.get(slot)
	if accepted && (!reported || best.Ballot.Less(own.Ballot)) {
		best = own
	}
	if !accepted && !reported {
		if slot <= n.floor {
			n.broken(5, "slot %d is taken for a gap; all through %d is chosen", slot, n.floor)
		}
		n.counters.GapsFilled++
		return nil
	}
	n.counters.ValuesAdopted++
	return best.Value
}

// handleReject learns of a higher ballot or of a live leader.
func (n *Node) handleReject(from int, m Message) {
	n.fetch.see(m.Chosen)
	switch n.role {
	case PreCandidate:
		if m.ID != n.attempt.id || m.Ballot != n.attempt.ballot {
			return
		}
		if n.attempt.no.add(from); !n.current().hopeless(n.attempt.no) {
			return
		}
		n.counters.Rejections++
	case Candidate:
		if m.Ballot != n.promised {
			return
		}
		if !n.below(n.promised, m.Promised) {
			if n.cand.no.add(from); !n.current().hopeless(n.cand.no) {
				return
			}
		}
		n.counters.Rejections++
	case Leader:
		if m.Ballot != n.promised || !n.below(n.promised, m.Promised) {
			return
		}
		n.counters.Rejections++
	default:
		return
	}
	if m.Leader == 0 && !n.split(&m) {
		n.backoffs++
	}
	n.becomeFollower(0)
}
