package paxos

import "slices"

// outbox is what waits for the next Ready.
type outbox struct {
	now   []Message // leave at once
	after []Message // leave once everything handed out for persisting is durable
	reads []Read
	// truncate is the TruncateFrom of the next Ready.
	truncate uint64
	// install and fetch are the like-named fields of the next Ready.
	install *Snapshot
	fetch   Fetch

	next           uint64 // the token of the next Ready that persists something
	pending        []pendingToken
	unsettled      int       // entries in pending
	written        HardState // as handed out last
	durablePromise Ballot
	durableChosen  uint64
}

// pendingToken is handed out and not yet durable.
type pendingToken struct {
	token    uint64
	promised Ballot
	chosen   uint64
	entries  []Entry
}

// send queues m for the next Ready. Prepare, Promise and Accepted wait for the
// disk (rules 2 and 3).
func (n *Node) send(m Message) {
	m.From = n.cfg.ID
	if m.Kind.waitsForDisk() {
		n.out.after = append(n.out.after, m)
		return
	}
	n.out.now = append(n.out.now, m)
}

// waits reports whether such a message waits for the disk already. Questions are
// repeated, and while the disk stalls a page for each copy would pile up.
func (n *Node) waits(m Message) bool {
	for i := range n.out.after {
		w := &n.out.after[i]
		if w.Kind == m.Kind && w.To == m.To && w.Ballot == m.Ballot && w.Lo == m.Lo {
			return true
		}
	}
	return false
}

// broadcast sends m to all others.
func (n *Node) broadcast(m Message) {
	if len(n.out.now) == 0 && !m.Kind.waitsForDisk() {
		n.out.now = slices.Grow(n.out.now, len(n.members.ids))
	}
	for i, id := range n.members.ids {
		if n.members.other(i) {
			m.To = id
			n.send(m)
		}
	}
}

// diskBehind reports whether so much waits for this node's disk that it should
// take on no more: a cluster goes on without one stalled disk, and its owner must
// not hold everything meanwhile in memory.
func (n *Node) diskBehind() bool {
	return n.out.unsettled+len(n.log.dirty) >= 16*n.cfg.Window
}

// mustPersist reports whether something new has to reach the disk. A newer
// Chosen alone is no reason: it rides along.
func (n *Node) mustPersist() bool {
	return len(n.log.dirty) > 0 || n.promised != n.out.written.Promised || n.out.install != nil || n.out.truncate != 0 ||
		n.mustSettle()
}

// mustSettle reports whether the disk should learn that all slots of the
// configuration being left are chosen.
func (n *Node) mustSettle() bool {
	b := n.boundary()
	return b != 0 && b <= n.chosen && n.out.written.Chosen < b
}

// HasReady reports whether Ready would return anything.
func (n *Node) HasReady() bool {
	if n.log.err != nil {
		return false
	}
	return len(n.out.now) > 0 || n.mustPersist() || len(n.out.reads) > 0 ||
		len(n.out.after) > 0 && len(n.out.pending) == 0 ||
		len(n.acc.again) > 0 || n.mayApply() || n.out.fetch.From != 0 || n.shown.tell ||
		n.lead != nil && (n.lead.roundOpen || n.noticeDue())
}

// Ready returns what the caller must do; see the type. It is empty when there is
// nothing, and always after an error of Storage.
func (n *Node) Ready() Ready {
	var rd Ready
	n.flushAgain()
	if n.lead != nil {
		n.flushAccepts()
		n.flushRound()
		n.flushNotice()
	}
	n.persist(&rd)
	if rd.Token != 0 {
		rd.SendAfterPersist, n.out.after = n.out.after, nil
	} else if len(n.out.pending) == 0 {
		n.out.now = append(n.out.now, n.out.after...)
		n.out.after = nil
	}
	rd.SendNow, n.out.now = n.out.now, nil
	rd.Reads, n.out.reads = n.out.reads, nil
	rd.Install, n.out.install = n.out.install, nil
	rd.Fetch, n.out.fetch = n.out.fetch, Fetch{}
	n.tellMembers(&rd)
	n.handOut(&rd)
	if n.log.err != nil {
		return Ready{}
	}
	return rd
}

// persist fills in what must become durable, and the acknowledgements that wait
// for it.
func (n *Node) persist(rd *Ready) {
	if !n.mustPersist() {
		return
	}
	rd.Token = n.out.next
	n.out.next++
	rd.Entries = n.log.takeDirty()
	rd.TruncateFrom, n.out.truncate = n.out.truncate, 0
	if hs := (HardState{Promised: n.promised, Chosen: n.chosen}); hs != n.out.written {
		rd.HardState = &hs
		n.out.written = hs
	}
	n.out.pending = append(n.out.pending, pendingToken{rd.Token, n.promised, n.chosen, rd.Entries})
	n.out.unsettled += len(rd.Entries)
	n.acknowledge(rd.Entries)
}

// Persisted tells that token, and with it every earlier one, is durable.
func (n *Node) Persisted(token uint64) {
	done := 0
	for _, p := range n.out.pending {
		if p.token > token {
			break
		}
		done++
		n.out.unsettled -= len(p.entries)
		n.out.durablePromise, n.out.durableChosen = p.promised, p.chosen
		for _, e := range p.entries {
			n.settle(e.Slot, p.token)
		}
	}
	n.out.pending = n.out.pending[done:]
	if n.lead != nil {
		n.advanceChosen()
		n.recover()
	}
	if n.role == Candidate {
		n.promiseSelf()
	}
}

// settle notes that the entry at slot is durable. Only now does the leader's
// own vote count (rule 4).
func (n *Node) settle(slot, token uint64) {
	e, ok := n.log.settle(slot, token)
	if !ok || e.Ballot != n.acc.ballot {
		return
	}
	n.acc.durable.add(slot)
	if n.lead != nil {
		n.vote(n.members.self, slot, slot)
	}
}

// Applied tells that the state machine has applied every slot through slot.
func (n *Node) Applied(slot uint64) {
	if slot < n.applied || slot > n.handed {
		n.broken(7, "applied %d, with %d applied before and %d handed out", slot, n.applied, n.handed)
	}
	n.applied = slot
}
