package paxos

import (
	"bytes"
	"slices"
)

// With old slots kept (switch C), entries stay at the ballot of the leader that
// first proposed them, as in Raft. A new leader proposes nothing again: it makes
// every log equal to its own, and begins with a no-op. Counting chooses only a slot
// of the leader's own ballot, and with it every slot before (Raft §5.4.2): each log
// that holds it is the leader's through it, because an Accept names the entry
// before its first, and is taken only behind the same one (Raft §5.3).

func (n *Node) keeps() bool { return n.cfg.Switches.OldSlots == Kept }

// stream is what a leader that keeps old slots knows of one member's log.
type stream struct {
	sent  uint64 // through which it was sent
	from  uint64 // through which it is taken to have arrived
	since uint64 // tick of the last progress
	// quiet ends the time in which further words of the same gap are ignored.
	quiet uint64
}

// startKept begins the lead: with a no-op after all that this log holds, whatever
// the window says, because nothing else can choose what is before it.
func (n *Node) startKept() {
	l := n.lead
	l.next = n.log.last + 1
	l.first, l.barrier = l.next, l.next
	l.streams = make([]stream, len(n.members.ids))
	for i := range l.streams {
		l.streams[i] = stream{sent: n.log.last, from: n.log.last, since: n.now}
	}
	n.proposeNext(nil)
}

// stream sends member i what it lacks, a window ahead of what it acknowledged. What
// is compacted the member fetches itself.
func (n *Node) stream(i int) {
	l := n.lead
	s := &l.streams[i]
	for s.sent+1 < l.next && s.sent-s.from < uint64(n.cfg.Window) && s.sent >= n.log.compacted {
		es, _ := n.log.read(s.sent+1, min(l.next, s.from+uint64(n.cfg.Window)+1), n.cfg.MaxMessageBytes)
		if len(es) == 0 || es[0].Slot != s.sent+1 {
			return
		}
		before, ok := n.log.get(s.sent)
		if !ok {
			before.Ballot = n.log.base
		}
		m := Message{Kind: MsgAccept, From: n.cfg.ID, To: n.members.ids[i], Ballot: l.ballot,
			Tip: Tip{before.Ballot, s.sent}, Chosen: n.noticeOn(MsgAccept), Entries: es}
		if n.cfg.LeaderDiskParallel {
			n.out.now = append(n.out.now, m)
		} else {
			n.out.after = append(n.out.after, m)
		}
		l.notified = max(l.notified, m.Chosen)
		if s.sent == s.from {
			s.since = n.now
		}
		s.sent = es[len(es)-1].Slot
	}
}

// streamAll sends what was proposed since the last Ready.
func (n *Node) streamAll() {
	for i := range n.members.ids {
		if n.members.other(i) {
			n.stream(i)
		}
	}
	n.lead.unsent = nil
}

// streamReply takes an answer of member i. What it knows to be chosen is in its log
// as in this one, if perhaps not on its disk; what it acknowledges is on its disk.
func (n *Node) streamReply(i int, m Message) {
	l := n.lead
	s := &l.streams[i]
	l.matched[i] = max(l.matched[i], min(m.Hi, l.next-1))
	if arrived := max(l.matched[i], min(m.Chosen, l.next-1)); arrived > s.from {
		s.from, s.sent, s.since, s.quiet = arrived, max(s.sent, arrived), n.now, 0
	}
	n.advanceChosen()
	n.stream(i)
}

// handleBehind goes back to where the logs surely agree: what the member knows to
// be chosen.
func (n *Node) handleBehind(i int, m Message) {
	l := n.lead
	if l == nil || m.Ballot != l.ballot || !n.keeps() {
		return
	}
	l.contact[i] = n.now
	s := &l.streams[i]
	if m.Lo <= l.matched[i] || m.Chosen >= m.Lo || n.now < s.quiet {
		return // an old copy, or said already
	}
	s.from = max(m.Chosen, l.matched[i])
	s.sent, s.since, s.quiet = s.from, n.now, n.now+uint64(n.cfg.HeartbeatTicks)
	n.stream(i)
}

// restream sends again what was not acknowledged for two heartbeats.
func (n *Node) restream() {
	for i := range n.lead.streams {
		s := &n.lead.streams[i]
		if !n.members.other(i) || !n.answered(i) || s.from+1 == n.lead.next || n.now-s.since < 2*uint64(n.cfg.HeartbeatTicks) {
			continue
		}
		s.sent, s.since = s.from, n.now
		n.stream(i)
	}
}

// countKept returns the highest slot that a quorum holds as this leader does, if
// the leader proposed it itself; 0 otherwise.
func (n *Node) countKept() uint64 {
	l := n.lead
	l.matched[n.members.self] = n.acc.durable.last().hi
	if through := n.current().reached(l.matched); through >= l.first {
		return through
	}
	return 0
}

// appendKept takes an Accept whose entries follow m.Tip. What is in their place
// from another leader was never chosen, or this leader would have it: it is cut
// off, with all behind it.
func (n *Node) appendKept(m Message) {
	if !n.agrees(m.Tip) {
		n.send(Message{Kind: MsgBehind, To: m.From, Ballot: m.Ballot, Lo: m.Tip.Slot, Chosen: n.chosen})
		return
	}
	for _, e := range m.Entries {
		old, ok := n.log.get(e.Slot)
		switch {
		case n.diskBehind():
			return
		case ok && old.Ballot == e.Ballot:
			if !bytes.Equal(old.Value, e.Value) {
				n.broken(13, "two values at slot %d and ballot %v", e.Slot, e.Ballot)
			}
		case e.Slot <= n.chosen && ok:
			return // an old leader, which does not know what has been chosen since
		case e.Slot > n.chosen:
			if ok {
				n.truncate(e.Slot)
			}
			n.put(e)
		}
		n.acc.match = max(n.acc.match, e.Slot)
	}
	n.acknowledgeKept(m.From)
}

// agrees reports whether this log holds the entry t, and so all before it as the
// leader does. Of a compacted one it is known already.
func (n *Node) agrees(t Tip) bool {
	e, ok := n.log.get(t.Slot)
	if t.Slot <= n.chosen {
		return !ok || t.Ballot.IsZero() || e.Ballot == t.Ballot
	}
	return ok && e.Ballot == t.Ballot || n.cfg.Switches.Acceptance == AnyOrder
}

// acknowledgeKept says through which slot this log is the leader's, once that is
// durable.
func (n *Node) acknowledgeKept(leader NodeID) {
	m := Message{Kind: MsgAccepted, To: leader, Ballot: n.acc.ballot, Lo: 1, Hi: n.acc.match, Chosen: n.chosen}
	for i := range n.out.after {
		if w := &n.out.after[i]; w.Kind == m.Kind && w.To == m.To && w.Ballot == m.Ballot {
			w.Hi, w.Chosen = m.Hi, m.Chosen
			return
		}
	}
	n.send(m)
}

// truncate drops the entries from the slot on.
func (n *Node) truncate(from uint64) {
	if from <= n.chosen {
		n.broken(7, "slot %d would be dropped, chosen through %d", from, n.chosen)
	}
	n.log.truncate(from)
	n.acc.accepted.truncate(from)
	n.acc.durable.truncate(from)
	n.acc.match = min(n.acc.match, from-1)
	// Nor may be acknowledged what never reaches the disk.
	n.out.after = slices.DeleteFunc(n.out.after, func(m Message) bool { return m.Kind == MsgAccepted && m.Hi >= from })
	if n.out.truncate == 0 || from < n.out.truncate {
		n.out.truncate = from
	}
}
