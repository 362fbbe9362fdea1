package paxos

import (
	"bytes"
	"slices"
)

// acceptance is what this node has accepted at the promised ballot, which is
// all that acknowledgements speak of: votes count per slot and ballot (rule 11).
type acceptance struct {
	ballot   Ballot
	accepted spans // durable once every token handed out is
	durable  spans
	again    []uint64 // durable slots whose acknowledgement seems lost
	// match is the slot through which this log is known to be the leader's, if old
	// slots are kept.
	match uint64
}

func (a *acceptance) reset(b Ballot) { *a = acceptance{ballot: b} }

// compact forgets the slots through to.
func (a *acceptance) compact(to uint64) {
	a.accepted.cut(to)
	a.durable.cut(to)
	a.again = slices.DeleteFunc(a.again, func(slot uint64) bool { return slot <= to })
}

// recover finds what an earlier incarnation accepted at the promised ballot
// above the chosen prefix.
func (a *acceptance) recover(n *Node) {
	a.reset(n.promised)
	for lo := n.chosen + 1; lo <= n.log.last && n.log.err == nil; {
		es, next := n.log.read(lo, n.log.last+1, n.cfg.MaxMessageBytes)
		for _, e := range es {
			n.mark(e)
			if e.Ballot == a.ballot {
				a.accepted.add(e.Slot)
				a.durable.add(e.Slot)
			}
		}
		lo = next
	}
}

// hasLiveLeader reports whether this node leads or heard from its leader within
// the shortest time after which it would suspect it.
func (n *Node) hasLiveLeader() bool {
	return n.role == Leader || n.role == Follower && n.leader != 0 && n.elapsed < n.cfg.ElectionTicks
}

// handlePrePrepare says whether this node would promise. It changes nothing. A
// node with a live leader refuses, so that a node which merely cannot hear the
// leader does not depose it.
func (n *Node) handlePrePrepare(m Message) {
	if n.hasLiveLeader() || n.withholds(&m) {
		n.reject(m, n.leader)
		return
	}
	if !n.below(n.promised, m.Ballot) || !n.eligible(&m) {
		n.reject(m, 0)
		return
	}
	n.send(Message{Kind: MsgPrePromise, To: m.From, Ballot: m.Ballot, ID: m.ID, Chosen: n.chosen})
}

// handlePrepare promises, and reports one page of what was accepted.
func (n *Node) handlePrepare(m Message) {
	if i := n.members.index(m.From); i >= 0 && m.From != n.leader && n.leaving(i) && n.hasLiveLeader() {
		return // it no longer votes, and may not know yet
	}
	if n.promised != m.Ballot && !n.below(n.promised, m.Ballot) {
		n.reject(m, 0)
		return
	}
	leads := n.promised == m.Ballot && n.leader == m.From
	if leads && !m.Done {
		return // a copy of an old Prepare
	}
	if n.withholds(&m) && n.role != Leader {
		return // it asks again
	}
	// Who leads at this very ballot has its votes. A former leader may have lost,
	// with its disk, what it led to be chosen.
	if !leads && !n.eligible(&m) {
		n.takeOver(m.Ballot)
		n.reject(m, 0)
		return
	}
	if n.promised != m.Ballot {
		if n.role == Candidate {
			n.backoffs++ // outbid is as good as rejected (rule 9)
		}
		n.setPromised(m.Ballot)
		n.becomeFollower(0)
	}
	if n.waits(Message{Kind: MsgPromise, To: m.From, Ballot: m.Ballot, Lo: m.Lo}) {
		n.elapsed = 0
		return
	}
	n.elapsed = 0
	if !n.cfg.Switches.transfers() {
		n.send(Message{Kind: MsgPromise, To: m.From, Ballot: m.Ballot, Lo: m.Lo, Hi: m.Lo, Chosen: n.chosen, Done: true})
		return
	}
	// Every accepted slot is reported, chosen and applied ones included (rule 5):
	// the candidate may know less than this node. Of compacted ones all that is left
	// to say is that they are chosen.
	r := Message{Kind: MsgPromise, To: m.From, Ballot: m.Ballot, Lo: m.Lo, Chosen: n.chosen}
	lo := n.settled(m.Lo, &r)
	var next uint64
	r.Entries, next = n.log.read(lo, n.log.last+1, n.cfg.MaxMessageBytes)
	r.Hi, r.Done = max(next, m.Lo), next > n.log.last
	n.send(r)
}

// follow prepares for a message of the owner of m.Ballot as a leader. It
// reports false, and refuses, if a higher ballot is promised. Whoever gave the vote
// of a round to another candidate follows the one that was elected.
func (n *Node) follow(m Message) bool {
	if n.below(m.Ballot, n.promised) {
		n.reject(m, 0)
		return false
	}
	if n.promised != m.Ballot {
		n.setPromised(m.Ballot)
	}
	if n.role != Follower || n.leader != m.From {
		n.becomeFollower(m.From)
	}
	n.elapsed, n.backoffs = 0, 0
	return true
}

// reject refuses m. The promise it names need not be durable: refusing is safe.
func (n *Node) reject(m Message, leader NodeID) {
	n.send(Message{Kind: MsgReject, To: m.From, Ballot: m.Ballot, ID: m.ID, Promised: n.promised, Leader: leader, Chosen: n.chosen})
}

// acceptAll takes the entries of an Accept, as far as this node's disk and its
// knowledge of what is before them allow; the rest is as good as lost. Whoever
// proposes a compacted slot must learn that it is chosen.
func (n *Node) acceptAll(m Message) {
	told := false
	for _, e := range m.Entries {
		switch {
		case e.Slot <= n.log.compacted:
			if r := (Message{Kind: MsgCatchUpReply, To: m.From, Lo: e.Slot, Chosen: n.chosen}); !told {
				n.settled(e.Slot, &r)
				n.send(r)
			}
			told = true
		case n.diskBehind() || e.Slot > n.chosen+MaxAhead || !n.takes(e.Slot):
			return
		default:
			n.accept(e)
		}
	}
}

// accept takes e at the promised ballot, be it a peer's or this node's own.
func (n *Node) accept(e Entry) {
	if e.Ballot != n.promised || e.Ballot != n.acc.ballot {
		n.broken(1, "accept of slot %d at %v, promised %v", e.Slot, e.Ballot, n.promised)
	}
	old, ok := n.log.get(e.Slot)
	if ok && old.Ballot == e.Ballot {
		if !bytes.Equal(old.Value, e.Value) {
			n.broken(13, "two values at slot %d and ballot %v", e.Slot, e.Ballot)
		}
		if _, durable := n.acc.durable.find(e.Slot); durable {
			n.acc.again = append(n.acc.again, e.Slot)
			return
		}
		if _, known := n.acc.accepted.find(e.Slot); known {
			return // on its way to the disk; the acknowledgement follows
		}
	}
	// What cannot be read back proves nothing: the node falls silent, see Err.
	if e.Slot <= n.chosen && n.log.err == nil && !(ok && bytes.Equal(old.Value, e.Value)) {
		n.broken(7, "slot %d is chosen; ballot %v has another value", e.Slot, e.Ballot)
	}
	n.put(e)
}

// put records e and what can be acknowledged for it.
func (n *Node) put(e Entry) {
	n.log.put(e, n.out.next)
	if e.Slot > n.chosen {
		n.mark(e) // else it was looked at when it was chosen
	}
	if e.Ballot == n.acc.ballot {
		n.acc.accepted.add(e.Slot)
	}
}

// acknowledge queues one Accepted for each range that the entries, which are
// about to be persisted, extend. The message leaves after them; so the whole
// range is durable then (rule 14).
func (n *Node) acknowledge(entries []Entry) {
	if n.role != Follower || n.leader == 0 || n.keeps() {
		return
	}
	var told span
	for _, e := range entries {
		if e.Ballot != n.acc.ballot || told.lo <= e.Slot && e.Slot <= told.hi {
			continue
		}
		r, ok := n.acc.accepted.find(e.Slot)
		if !ok {
			n.broken(14, "slot %d was accepted and is in no range", e.Slot)
		}
		told = r
		n.send(n.accepted(told))
	}
}

// flushAgain repeats acknowledgements that seem lost. What they speak of is
// durable, so they need not wait for the disk again.
func (n *Node) flushAgain() {
	var told span
	for _, slot := range n.acc.again {
		if told.lo <= slot && slot <= told.hi {
			continue
		}
		r, ok := n.acc.durable.find(slot)
		if !ok {
			n.broken(14, "slot %d would be acknowledged and is not durable", slot)
		}
		told = r
		n.out.now = append(n.out.now, n.accepted(told))
	}
	n.acc.again = n.acc.again[:0]
}

func (n *Node) accepted(r span) Message {
	return Message{Kind: MsgAccepted, From: n.cfg.ID, To: n.acc.ballot.Node, Ballot: n.acc.ballot, Lo: r.lo, Hi: r.hi, Chosen: n.chosen}
}
