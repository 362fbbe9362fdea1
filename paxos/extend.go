package paxos

import "math"

// A leader needs a phase-1 quorum of every configuration that it proposes under
// (rule 16). That of the first open slot elected it; those that become known later
// it asks as they come.

// extendLead finds the first slot that the leader may not propose yet.
func (n *Node) extendLead() {
	l := n.lead
	if l == nil {
		return
	}
	l.limit = math.MaxUint64
	for _, c := range n.configs[n.inUse:] {
		// (What was decided needs no quorum any more.)
		if n.governs(c, l.decided) && !c.elects(l.promises) {
			l.limit = max(c.from, l.decided+1)
			break
		}
	}
	if c := n.newest(); c != nil && c.sealed {
		l.sealing = false
	}
	n.prepareNew()
}

// governs reports whether c governs any slot above the given one.
func (n *Node) governs(c *configuration, above uint64) bool {
	for i, d := range n.configs {
		if d == c {
			return i == len(n.configs)-1 || n.configs[i+1].from > above+1
		}
	}
	return false
}

// prepareNew asks for the promises that are missing.
func (n *Node) prepareNew() {
	l := n.lead
	if l.limit == math.MaxUint64 {
		return
	}
	for i, id := range n.members.ids {
		if n.members.other(i) && !n.leaving(i) && !l.promises.has(i) {
			n.prepare(id, l.wanted[i], Ballot{})
		}
	}
}

// handleLatePromise takes a page of a promise that this leader needs beyond those
// that elected it. Slots that it has proposed are decided by those; for the others
// the report counts as any.
func (n *Node) handleLatePromise(from int, m Message) {
	l := n.lead
	if m.Ballot != l.ballot || l.limit == math.MaxUint64 || l.promises.has(from) || m.Lo != l.wanted[from] {
		return
	}
	if m.Settled != 0 {
		n.seeFloor(m.Settled, m.Data)
		n.askSnapshot(m.From, m.Settled)
		if n.lead != l {
			return
		}
	}
	for _, e := range m.Entries {
		if e.Slot < m.Lo || e.Slot >= m.Hi {
			n.broken(5, "slot %d in the page [%d, %d) of node %d", e.Slot, m.Lo, m.Hi, m.From)
		}
		if e.Slot < l.next {
			continue
		}
		l.barrier = max(l.barrier, e.Slot)
		if best, ok := l.found[e.Slot]; !ok || best.Ballot.Less(e.Ballot) {
			l.found[e.Slot] = e
		}
	}
	if l.wanted[from] = m.Hi; !m.Done {
		n.prepare(m.From, m.Hi, Ballot{})
		return
	}
	l.promises.add(from)
	n.extendLead()
	n.releaseReads()
	n.recover()
}
