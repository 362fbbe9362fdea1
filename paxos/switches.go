package paxos

// Switches lead step by step from Multi-Paxos, the zero value, to Raft. All
// nodes of a cluster run with the same ones, over its whole life.
type Switches struct {
	Eligibility Eligibility
	Notice      NoticeMode
	CatchUp     CatchUpMode
}

// Eligibility says whom a node lets lead (switch E).
type Eligibility uint8

const (
	// AnyNode that a quorum promises may lead.
	AnyNode Eligibility = iota
	// UpToDate refuses a candidate whose Tip is below the node's own. It only
	// refuses: safety does not rest on it.
	UpToDate
)

// NoticeMode says how followers learn what is chosen (switch N).
type NoticeMode uint8

const (
	// NoticeIdle tells with the next Accept, and at once when nothing is in flight.
	NoticeIdle NoticeMode = iota
	// NoticeEager tells at once, always.
	NoticeEager
	// NoticePiggyback tells with Accepts and heartbeats only.
	NoticePiggyback
	// NoticeHeartbeat tells with heartbeats only.
	NoticeHeartbeat
)

// CatchUpMode says whom a laggard asks for what is chosen (switch G).
type CatchUpMode uint8

const (
	// FromAny asks any peer, the leader first if little is missing.
	FromAny CatchUpMode = iota
	// FromLeader asks nobody but the leader.
	FromLeader
)

// Tip is the last entry of the prefix of a log that has no gap; the zero Tip is
// that of an empty log.
type Tip struct {
	Ballot Ballot
	Slot   uint64
}

// Less reports whether a log that ends with t is less up to date than one that
// ends with u (Raft §5.4.1): the higher ballot wins, then the longer log.
func (t Tip) Less(u Tip) bool {
	if t.Ballot != u.Ballot {
		return t.Ballot.Less(u.Ballot)
	}
	return t.Slot < u.Slot
}

// tip returns where this node's log ends without a gap. Of the chosen prefix
// nothing is missing.
func (n *Node) tip() Tip {
	slot := n.log.prefix(n.chosen)
	e, ok := n.log.get(slot)
	if !ok {
		return Tip{Slot: slot}
	}
	return Tip{e.Ballot, slot}
}

// eligible reports whether switch E lets the sender of m, a Prepare or
// PrePrepare, lead.
func (n *Node) eligible(m *Message) bool {
	return n.cfg.Switches.Eligibility == AnyNode || !m.Tip.Less(n.tip())
}

// claim adds to a Prepare or PrePrepare what eligible looks at.
func (n *Node) claim(m Message) Message {
	if n.cfg.Switches.Eligibility != AnyNode {
		m.Tip = n.tip()
	}
	return m
}

// notice returns what a message of the kind says of the chosen prefix (switch N).
func (n *Node) noticeOn(k Kind) uint64 {
	switch n.cfg.Switches.Notice {
	case NoticePiggyback:
		if k != MsgAccept && k != MsgHeartbeat {
			return 0
		}
	case NoticeHeartbeat:
		if k != MsgHeartbeat {
			return 0
		}
	}
	return n.chosen
}

// noticeDue reports whether followers should be told of the chosen prefix though
// there is nothing else to send. Normally that is as soon as nothing is in flight;
// under load notices ride on Accepts only.
func (n *Node) noticeDue() bool {
	l := n.lead
	if n.chosen <= l.notified || len(n.members.ids) == 1 {
		return false
	}
	switch n.cfg.Switches.Notice {
	case NoticeIdle:
		return l.next == n.chosen+1
	case NoticeEager:
		return true
	}
	return false
}
