package paxos

import (
	"fmt"
	"math"
)

// leadership is phase 2 of one ballot.
type leadership struct {
	ballot Ballot
	next   uint64 // the next slot to propose
	// decided ends the contiguous prefix that this leader knows to be chosen. It is
	// ahead of the node's own chosen prefix while the values of compacted slots are
	// still on their way.
	decided uint64
	// barrier is the highest slot in the quorum of promises. Slots from the first
	// unchosen one to barrier are re-proposed before any new command; found
	// holds what others reported for them.
	barrier uint64
	found   map[uint64]Entry
	// floor is the highest slot that its promises said to be compacted; waiting is the
	// tick since which the snapshot through it has not come nearer.
	floor, waiting uint64
	// flight holds the slots decided+1 to next-1, slot s at s & mask.
	flight []proposal
	mask   uint64
	// matched[i]: member i has voted for every slot in flight through it.
	matched []uint64
	// contact[i] is the tick of the last answer of member i at this ballot.
	contact []uint64
	// promises are those who promised this ballot, wanted what the others owe of their
	// promise; limit is the first slot that may not be proposed for want of them.
	promises votes
	wanted   []uint64
	limit    uint64
	// settled[i] is what member i durably knows to be chosen; sealing: the entry that
	// ends the change of the members is on its way.
	settled  []uint64
	sealing  bool
	transfer transfer
	// granted[i] is the send time of the newest heartbeat that member i answered with a
	// grant; noLease: it has told another to take over.
	granted []uint64
	noLease bool
	// unsent are the entries that no Accept carried yet.
	unsent []Entry
	// notified is the chosen prefix that every follower was told of.
	notified uint64
	// first is this leader's first own slot, and streams is by member, if old slots
	// are kept.
	first         uint64
	streams       []stream
	nextHeartbeat uint64
	readState
}

// proposal is a slot in flight.
type proposal struct {
	votes votes
	sent  uint64 // tick of the last Accept that carried it
}

// becomeLeader starts phase 2: what the quorum reported is proposed again.
func (n *Node) becomeLeader() {
	c, edge := n.cand, n.edge()
	n.role, n.leader, n.cand, n.backoffs = Leader, n.cfg.ID, nil, 0
	n.counters.LeaderChanges++
	size := 1
	for size < n.cfg.Window {
		size <<= 1
	}
	// Nothing is proposed at or below what any node of the quorum has compacted.
	l := &leadership{
		ballot: n.promised, next: edge + 1, decided: edge, floor: edge, waiting: n.now, barrier: max(c.highest, edge), found: c.best,
		flight: make([]proposal, size), mask: uint64(size - 1),
		matched: make([]uint64, len(n.members.ids)), contact: make([]uint64, len(n.members.ids)),
		promises: c.promises, wanted: c.wanted, settled: make([]uint64, len(n.members.ids)),
		granted: make([]uint64, len(n.members.ids)), limit: math.MaxUint64,
	}
	for i := range l.contact {
		l.contact[i] = n.now
	}
	l.acked = make([]uint64, len(n.members.ids))
	n.lead = l
	if n.keeps() {
		n.startKept()
	}
	n.extendLead()
	n.heartbeat()
	n.recover()
}

// recover proposes again what phase 1 found, as far as the window allows.
func (n *Node) recover() {
	l := n.lead
	for l.next <= l.barrier && n.hasRoom() {
		value := n.adopt(l.next)
		delete(l.found, l.next)
		n.proposeNext(value)
	}
	n.settleMembers()
}

// hasRoom reports whether the next slot may be proposed. Alpha counts from what is
// known, not from what was decided: while values are missing, members may have
// changed unseen.
func (n *Node) hasRoom() bool {
	l := n.lead
	return l.next-l.decided <= uint64(n.cfg.Window) && l.next < l.limit && l.next <= n.edge()+n.cfg.alpha() &&
		l.next <= n.chosen+MaxAhead && !n.diskBehind()
}

// Propose proposes value in the next slot. The value must not change any more;
// an empty one is a no-op. That it was proposed says nothing: it may be chosen
// or lost, also after this node has lost the lead.
func (n *Node) Propose(value []byte) (slot uint64, err error) {
	switch {
	case n.log.err != nil:
		return 0, n.log.err
	case n.role != Leader:
		return 0, ErrNotLeader
	case len(value) > 0 && value[0] == ConfigMark:
		return 0, fmt.Errorf("%w: a value that begins like a change of the members", ErrMalformed)
	case n.lead.next <= n.lead.barrier || n.lead.transfer.to != 0 || !n.hasRoom():
		return 0, ErrWindowFull
	}
	return n.proposeNext(value), nil
}

// proposeNext accepts value on this node and queues it for the others. A value
// that was adopted is written again here too: the record at the old ballot is
// no vote for this one (rule 11).
func (n *Node) proposeNext(value []byte) uint64 {
	l := n.lead
	if !n.keeps() && (l.next > n.edge()+n.cfg.alpha() || l.next >= l.limit) {
		n.broken(16, "slot %d is proposed, with what is through %d known chosen and promises for what is below %d", l.next, n.edge(), l.limit)
	}
	if l.next <= n.floor && l.next > l.barrier && !n.keeps() {
		n.broken(5, "a new value is proposed in slot %d; all through %d is chosen, and the promises report nothing above %d", l.next, n.floor, l.barrier)
	}
	e := Entry{Slot: l.next, Ballot: l.ballot, Value: value}
	l.next++
	l.flight[e.Slot&l.mask] = proposal{sent: n.now}
	n.accept(e)
	l.unsent = append(l.unsent, e)
	return e.Slot
}

// flushAccepts queues one Accept a peer for everything proposed since the last
// Ready (more if MaxMessageBytes asks for it).
func (n *Node) flushAccepts() {
	l := n.lead
	if n.keeps() {
		n.streamAll()
		return
	}
	for rest := l.unsent; len(rest) > 0; {
		page := rest[:pageLen(rest, n.cfg.MaxMessageBytes)]
		rest = rest[len(page):]
		m := Message{Kind: MsgAccept, From: n.cfg.ID, Ballot: l.ballot, Chosen: n.noticeOn(MsgAccept), Entries: page}
		for i, id := range n.members.ids {
			if m.To = id; !n.members.other(i) {
				continue
			}
			if n.cfg.LeaderDiskParallel {
				n.out.now = append(n.out.now, m)
			} else {
				n.out.after = append(n.out.after, m)
			}
		}
		l.notified = max(l.notified, m.Chosen)
	}
	l.unsent = nil
}

// pageLen returns how many of the entries fit into maxBytes, at least one.
func pageLen(entries []Entry, maxBytes int) int {
	size := 0
	for i, e := range entries {
		if size += len(e.Value); size > maxBytes && i > 0 {
			return i
		}
	}
	return len(entries)
}

func (n *Node) flushNotice() {
	if n.noticeDue() {
		n.broadcast(Message{Kind: MsgChosen, Ballot: n.lead.ballot, Chosen: n.lead.decided})
		n.lead.notified = n.lead.decided
	}
}

// handleReply takes an answer to an Accept, a Heartbeat or a ReadConfirm.
func (n *Node) handleReply(from int, m Message) {
	l := n.lead
	if l == nil || m.Ballot != l.ballot {
		return
	}
	l.contact[from] = n.now
	if m.Kind != MsgAccepted {
		n.confirmRound(from, m.ID)
	}
	if m.Kind == MsgHeartbeatReply {
		n.heartbeatReply(from, &m)
	}
	if n.lead != l {
		return
	}
	if n.keeps() {
		n.streamReply(from, m)
		return
	}
	if m.Lo != 0 {
		n.vote(from, m.Lo, m.Hi)
		n.advanceChosen()
	}
}

// vote counts member i for every slot of [lo, hi] in flight, at this ballot.
func (n *Node) vote(i int, lo, hi uint64) {
	l := n.lead
	if n.keeps() {
		return // see countKept
	}
	if i == n.members.self {
		r, ok := n.acc.durable.find(lo)
		if !ok || r.hi < hi || n.acc.ballot != l.ballot {
			n.broken(4, "own vote for slots %d-%d without a sync at %v", lo, hi, l.ballot)
		}
	}
	lo, hi = max(lo, l.decided+1), min(hi, l.next-1)
	if l.matched[i] = max(l.matched[i], l.decided); lo <= l.matched[i]+1 {
		lo = l.matched[i] + 1
		l.matched[i] = max(l.matched[i], hi)
	}
	for s := lo; s <= hi; s++ {
		l.flight[s&l.mask].votes.add(i)
	}
}

// advanceChosen extends the chosen prefix over every slot with a quorum of
// votes, and uses the room in the window.
func (n *Node) advanceChosen() {
	l, before := n.lead, n.chosen
	if n.keeps() {
		for through := n.countKept(); n.chosen < through; {
			n.markChosen(n.chosen + 1)
		}
		l.decided = max(l.decided, n.chosen)
	} else {
		for l.decided+1 < l.next && n.governing(l.decided+1).chooses(l.flight[(l.decided+1)&l.mask].votes) {
			l.decided++
			n.markDecided()
		}
		n.markDecided()
	}
	if n.chosen > before {
		n.releaseReads()
	}
	n.recover()
}

// markDecided marks what was decided. Above the floor everything chosen was
// proposed, and accepted here, at this ballot; at or below it the values have to
// come from others first.
func (n *Node) markDecided() {
	for n.chosen >= n.lead.floor && n.chosen < n.lead.decided {
		n.markChosen(n.chosen + 1)
	}
}

// tickLeader beats, repeats what seems lost and steps aside without a quorum.
func (n *Node) tickLeader() {
	l := n.lead
	if n.cfg.CheckQuorum && !n.current().chooses(n.inContact()) {
		n.becomeFollower(0)
		return
	}
	n.tickTransfer()
	if n.tickFloor(); n.lead == nil {
		return
	}
	if n.now >= l.nextHeartbeat {
		n.heartbeat()
		n.retransmit()
	}
}

// inContact are the members that answered within the shortest time after which a
// follower would suspect its leader, this node included.
func (n *Node) inContact() (v votes) {
	for i := range n.members.ids {
		if n.answered(i) {
			v.add(i)
		}
	}
	return v
}

func (n *Node) answered(i int) bool {
	return i == n.members.self || n.now-n.lead.contact[i] < uint64(n.cfg.ElectionTicks)
}

func (n *Node) heartbeat() {
	l := n.lead
	l.nextHeartbeat = n.now + uint64(n.cfg.HeartbeatTicks)
	n.joinRound()
	n.broadcast(Message{Kind: MsgHeartbeat, Ballot: l.ballot, Chosen: l.decided, ID: l.round, Time: n.stamp()})
	l.notified = l.decided
	n.prepareNew()
}

// retransmit repeats Accepts that were not answered for two heartbeats, to
// members that answer at all. One message a peer bounds what an outage costs.
func (n *Node) retransmit() {
	l := n.lead
	if n.keeps() {
		n.restream()
		return
	}
	var stale []Entry
	size := 0
	for s := l.decided + 1; s < l.next; s++ {
		p := &l.flight[s&l.mask]
		if n.now-p.sent < 2*uint64(n.cfg.HeartbeatTicks) || !n.cfg.LeaderDiskParallel && !p.votes.has(n.members.self) {
			continue
		}
		e, ok := n.log.get(s)
		if !ok || size+len(e.Value) > n.cfg.MaxMessageBytes && size > 0 {
			break
		}
		size += len(e.Value)
		p.sent = n.now
		stale = append(stale, e)
	}
	for i, id := range n.members.ids {
		if len(stale) == 0 || !n.members.other(i) || !n.answered(i) {
			continue
		}
		if es := n.missing(i, stale); len(es) > 0 {
			n.send(Message{Kind: MsgAccept, To: id, Ballot: l.ballot, Chosen: n.noticeOn(MsgAccept), Entries: es})
		}
	}
}

// missing returns the entries that member i has not voted for.
func (n *Node) missing(i int, entries []Entry) []Entry {
	var out []Entry
	for _, e := range entries {
		if !n.lead.flight[e.Slot&n.lead.mask].votes.has(i) {
			out = append(out, e)
		}
	}
	return out
}
