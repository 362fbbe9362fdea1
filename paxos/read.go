package paxos

// readState is the leader's pending reads. A round asks everyone whether the
// ballot still leads; it confirms the reads that were asked before it started.
// One round is out at a time, so reads gather while it is.
type readState struct {
	reads []pendingRead
	round uint64 // the newest round
	// roundOpen: the newest round has not left; reads may still join it.
	roundOpen bool
	acked     []uint64 // by member: the newest round it answered
	confirmed uint64   // the newest round that a quorum answered
}

type pendingRead struct {
	id    uint64
	slot  uint64
	round uint64 // 0 = waits for the round after the one that is out
}

// ReadIndex asks for a confirmed read: Ready.Reads will name id and the slot
// that must be applied before the read is answered. Ids are the caller's; each
// is answered once, refused if the lead is lost.
func (n *Node) ReadIndex(id uint64) error {
	if n.log.err != nil {
		return n.log.err
	}
	if n.role != Leader {
		return ErrNotLeader
	}
	l := n.lead
	// Whatever was acknowledged before now is at or below what this leader knows
	// to be chosen, or at or below what its quorum of promises reported (rule 15).
	if slot := max(l.decided, l.barrier); n.leased(slot + 1) {
		n.out.reads = append(n.out.reads, Read{ID: id, Slot: slot})
		n.counters.LeaseReads++
		return nil
	}
	l.reads = append(l.reads, pendingRead{id: id, slot: max(l.decided, l.barrier)})
	if l.roundOpen || l.confirmed == l.round {
		n.joinRound()
		l.roundOpen = !n.members.alone()
	}
	n.releaseReads()
	return nil
}

// joinRound puts every waiting read into a round that leaves with the message
// about to be sent: a new one, unless the newest has not left either.
func (n *Node) joinRound() {
	l := n.lead
	first := len(l.reads)
	for first > 0 && l.reads[first-1].round == 0 {
		first--
	}
	if first == len(l.reads) {
		l.roundOpen = false
		return
	}
	if !l.roundOpen {
		l.round++
	}
	for i := first; i < len(l.reads); i++ {
		l.reads[i].round = l.round
	}
	l.roundOpen = false
	n.confirmRound(n.members.self, l.round)
}

// flushRound sends the newest round if it has not left.
func (n *Node) flushRound() {
	if n.lead.roundOpen {
		n.broadcast(Message{Kind: MsgReadConfirm, Ballot: n.lead.ballot, Chosen: n.noticeOn(MsgReadConfirm), ID: n.lead.round})
		n.lead.roundOpen = false
	}
}

// confirmRound notes that member i answered round, which a phase-2 quorum must
// do: it intersects the phase-1 quorum of any later leader.
func (n *Node) confirmRound(i int, round uint64) {
	l := n.lead
	if round <= l.acked[i] {
		return
	}
	l.acked[i] = round
	l.confirmed = n.current().reached(l.acked)
	n.releaseReads()
	if l.confirmed == l.round && len(l.reads) > 0 && l.reads[len(l.reads)-1].round == 0 {
		n.joinRound()
		l.roundOpen = !n.members.alone()
	}
}

// releaseReads hands out confirmed reads, in the order asked, once every slot of
// the quorum of promises is chosen.
func (n *Node) releaseReads() {
	l := n.lead
	done := 0
	for _, r := range l.reads {
		if r.round == 0 || n.chosen < l.barrier || !n.confirmed(max(r.slot, l.barrier)+1, r.round) {
			break
		}
		done++
		n.out.reads = append(n.out.reads, Read{ID: r.id, Slot: max(r.slot, l.barrier)})
	}
	if l.reads = l.reads[done:]; len(l.reads) == 0 {
		l.reads = nil
	}
}

// confirmed reports whether the round shows that nobody else has chosen anything
// in slot when the round began: those who would have to promise for that, and to
// confirm, are the slot's own members.
func (n *Node) confirmed(slot, round uint64) bool {
	return slot < n.lead.limit && n.governing(slot).reached(n.lead.acked) >= round
}

// refuseReads answers what can no longer be confirmed.
func (n *Node) refuseReads() {
	for _, r := range n.lead.reads {
		n.out.reads = append(n.out.reads, Read{ID: r.id, Refused: true})
	}
	n.lead.reads = nil
}
