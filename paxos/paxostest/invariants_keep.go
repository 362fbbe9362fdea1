package paxostest

import "gfslab/paxos"

// With old slots kept, an entry on a disk is no vote by itself: a later leader may
// have put it there, and a quorum of copies may be lost (Raft, figure 8). What counts
// is an entry of the ballot that was promised when it was written; it is a vote, at
// that ballot, for every slot through it, because the log is the leader's there. So
// told, all the monitors of Multi-Paxos hold as they stand: one value a slot and
// ballot is then Raft's log matching.

// keeps reports whether old slots are kept.
func (m *monitors) keeps() bool { return m.switches.OldSlots == paxos.Kept }

// below is the order of promises.
func (m *monitors) below(a, b paxos.Ballot) bool {
	if m.switches.Number == paxos.OneVote {
		return a.Round < b.Round || a.Round == b.Round && a.Node == 0 && b.Node != 0
	}
	return a.Less(b)
}

// covers reports whether a node with that durable promise may speak of one of b.
func (m *monitors) covers(durable, b paxos.Ballot) bool {
	if m.switches.Number == paxos.OneVote && durable.Round == b.Round {
		return durable == b
	}
	return !durable.Less(b)
}

// votesThrough counts the votes that w makes of p's log.
func (m *monitors) votesThrough(p *peer, o *observed, w write) {
	at, through := o.durable, uint64(0)
	for _, e := range w.entries {
		if e.Ballot == at {
			through = max(through, e.Slot)
		}
	}
	for s := max(o.voted[at], p.disk.snapshot.Slot) + 1; s <= through; s++ {
		e := p.disk.entries[s]
		if e.Slot == 0 {
			m.fail("no-gap", "node %d holds slot %d at %v, and nothing in slot %d", p.id, through, at, s)
		}
		k := slotBallot{s, at}
		m.oneValue(p.id, paxos.Entry{Slot: s, Ballot: at, Value: e.Value})
		m.votes[k] |= 1 << p.id
		m.count(k, string(e.Value))
	}
	o.voted[at] = max(o.voted[at], through)
}

// acknowledgedKept: an acknowledgement of a slot of the leader's own ballot is a
// vote, and so on the disk (rule 2).
func (m *monitors) acknowledgedKept(p *peer, o *observed, msg paxos.Message) {
	if msg.Hi <= p.disk.snapshot.Slot {
		return // chosen
	}
	if msg.Hi >= uint64(len(p.disk.entries)) || p.disk.entries[msg.Hi].Slot == 0 {
		m.fail("durable-before-speak", "node %d acknowledges slots %d-%d at %v; slot %d is not on its disk", p.id, msg.Lo, msg.Hi, msg.Ballot, msg.Hi)
	}
	if p.disk.entries[msg.Hi].Ballot == msg.Ballot && o.voted[msg.Ballot] < msg.Hi {
		m.fail("durable-before-speak", "node %d acknowledges slots %d-%d at %v; it voted through %d", p.id, msg.Lo, msg.Hi, msg.Ballot, o.voted[msg.Ballot])
	}
}

// oneLeader: with one vote a term, a term has one leader.
func (m *monitors) oneLeader(msg paxos.Message) {
	if m.switches.Number != paxos.OneVote {
		return
	}
	if other, ok := m.leads[msg.Ballot.Round]; ok && other != msg.From {
		m.fail("one-leader-a-term", "nodes %d and %d both lead in round %d", other, msg.From, msg.Ballot.Round)
	}
	m.leads[msg.Ballot.Round] = msg.From
}
