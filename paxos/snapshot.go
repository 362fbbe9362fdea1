package paxos

import "slices"

// A node's log begins above its compaction point; what is below, its snapshot
// holds. Whoever hears of that knows everything up to there to be chosen: n.floor is
// the highest slot so known. Only a candidate or leader whose own quorum of promises
// says so must keep above (rule 5). Another may find the values in what others have
// accepted: the node that compacted them may be gone for good.
//
// To propose at or below n.floor is safe, for what a node hears of a floor it might as
// well have missed. A quorum of promises none of which is compacted at a slot reports
// what was chosen there, whoever knows that it was; so that value is proposed again, and
// never another (proposeNext asserts it). But two things are not missed once heard.
// The configurations that came with the floor replace older ones: if the one that
// governs the first open slot is among those, nobody knows any more whose promises it
// takes there, and edge keeps above n.floor. And a leader's decided prefix is told to
// others: where a floor ends above it, the leader keeps above or steps aside (seeFloor).
// Reads lose nothing: the barrier is what the same promises report, and the round that
// confirms a read is counted by the members of the slot behind it (see confirmed).

// settled prepares an answer about the slots from lo on: it returns the first
// one of which the log can say more than that it is chosen, and tells r so.
func (n *Node) settled(lo uint64, r *Message) uint64 {
	if lo > n.log.compacted {
		return lo
	}
	r.Settled, r.Data = n.snapshot, n.SnapshotData(n.snapshot)
	return n.snapshot + 1
}

// seeFloor learns from a peer that every slot through slot is chosen.
func (n *Node) seeFloor(slot uint64, data []byte) {
	slot = max(slot, n.adoptConfigs(data))
	n.floor = max(n.floor, slot)
	n.fetch.see(slot)
	if n.keeps() {
		return // who leads with old slots kept has them all
	}
	if c := n.cand; c != nil && slot > c.floor {
		c.floor, c.highest = slot, max(c.highest, slot)
		c.forget(slot)
	}
	switch l := n.lead; {
	case l == nil || slot <= l.decided:
	case l.next > l.decided+1:
		// What this leader proposed at or below may have lost to a higher ballot that
		// it has not heard of. Its word that all through slot is chosen would let a
		// follower take such a proposal for the chosen value (rule 12).
		n.becomeFollower(0)
	default:
		l.floor, l.waiting = slot, n.now
		l.decided, l.next, l.barrier = slot, slot+1, max(l.barrier, slot)
		n.extendLead() // fewer configurations govern what is left
	}
}

// edge is the end of the prefix in which nothing is to be proposed.
func (n *Node) edge() uint64 {
	edge := n.chosen
	switch {
	case n.keeps():
		return edge
	case n.cand != nil:
		edge = max(edge, n.cand.floor)
	case n.lead != nil:
		edge = max(edge, n.lead.floor)
	}
	if n.governing(edge+1).voters == 0 {
		return max(edge, n.floor) // who votes there is known no more
	}
	return edge
}

// tickFloor steps aside if the snapshot does not come that this leader has to wait
// for: another quorum of promises may do without.
func (n *Node) tickFloor() {
	l := n.lead
	if n.chosen >= l.floor || n.fetch.from != 0 {
		l.waiting = n.now
	} else if n.now-l.waiting >= 4*uint64(n.cfg.ElectionTicks) {
		n.becomeFollower(0)
	}
}

// Compact tells that a snapshot is durable, and that the log will drop every slot
// through to, which is not above it. None of them may be written any more.
func (n *Node) Compact(to uint64, s Snapshot) {
	if to > s.Slot || s.Slot > n.applied {
		n.broken(5, "compaction through %d with a snapshot through %d and %d applied", to, s.Slot, n.applied)
	}
	n.snapshot = max(n.snapshot, s.Slot)
	n.forgetConfigs()
	base := s.Ballot
	if e, ok := n.log.get(to); ok {
		base = e.Ballot
	} else if to < s.Slot {
		return // below what was cut already
	}
	n.compactLog(to, base)
}

func (n *Node) compactLog(to uint64, base Ballot) {
	n.log.compact(to, base)
	n.acc.compact(to)
}

// dropTail lets go of what this log holds above a snapshot that it does not lead up
// to, if old slots are kept: it came from a leader who lacked what was chosen.
func (n *Node) dropTail(s Snapshot) {
	e, ok := n.log.get(s.Slot)
	if !n.keeps() || n.log.last <= s.Slot || n.chosen > s.Slot || s.Slot <= n.log.compacted || ok && e.Ballot == s.Ballot {
		return
	}
	n.truncate(s.Slot + 1)
	if n.role != Follower {
		n.becomeFollower(0)
	}
}

// Fetched tells that a snapshot from a peer is durable here. If it is of use, the
// next Ready installs it.
func (n *Node) Fetched(s Snapshot) {
	n.fetch.from, n.fetch.wait = 0, 0
	if s.Slot <= n.chosen || n.log.err != nil {
		return
	}
	n.counters.Installs++
	n.seeFloor(s.Slot, s.Data)
	n.dropTail(s)
	n.chosen, n.handed, n.snapshot = s.Slot, s.Slot, s.Slot
	n.compactLog(s.Slot, s.Ballot)
	n.out.install = &s
	n.forgetConfigs()
	n.marks = slices.DeleteFunc(n.marks, func(slot uint64) bool { return slot <= s.Slot })
	n.show(s.Slot)
	n.shown.tell = true
	n.advance()
}

// FetchFailed tells that the snapshot will not come from that peer.
func (n *Node) FetchFailed(from NodeID) {
	if from == n.fetch.from {
		n.fetch.from = 0
	}
}

// askSnapshot has the caller bring a snapshot, one at a time.
func (n *Node) askSnapshot(from NodeID, slot uint64) {
	if n.fetch.from == 0 && slot > n.chosen {
		n.fetch.from, n.out.fetch = from, Fetch{from, slot}
	}
}
