package paxos

import (
	"errors"
	"fmt"
)

// Switches lead step by step from Multi-Paxos, the zero value, to Raft. All
// nodes of a cluster run with the same ones, over its whole life.
type Switches struct {
	Eligibility Eligibility
	Number      Number
	OldSlots    OldSlots
	Acceptance  Acceptance
	Notice      NoticeMode
	CatchUp     CatchUpMode
}

// RaftMode is the far end: Raft's elections and log, notices as they were.
func RaftMode() Switches {
	return Switches{Eligibility: UpToDate, Number: OneVote, OldSlots: Kept, Acceptance: Contiguous, CatchUp: FromLeader}
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

// Number says how the numbers of leaders are kept apart (switch T).
type Number uint8

const (
	// Partitioned ballots belong to one node each; of two in one round the higher
	// node's outbids the other.
	Partitioned Number = iota
	// OneVote a round is all that a node gives: promises compare by round only, so
	// of two candidates in one round at most one leads, and perhaps neither. The
	// promise is the vote, and as durable.
	OneVote
)

// OldSlots says what becomes of the slots that a new leader finds (switch C).
type OldSlots uint8

const (
	// Reproposed slots are accepted anew at the new leader's ballot.
	Reproposed OldSlots = iota
	// Kept slots stay at their ballot; see keep.go.
	Kept
)

// Acceptance says in which order an acceptor takes slots (switch O).
type Acceptance uint8

const (
	// AnyOrder leaves gaps to be filled later.
	AnyOrder Acceptance = iota
	// Contiguous takes nothing behind a gap: it is as good as lost until the gap is
	// filled. With old slots kept, the entry before must be the leader's, too.
	Contiguous
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

// Safe returns why the switches with a phase-1 quorum of q1 (0 = a majority) of n
// members can lose what was chosen, nil if they cannot. For each reason a transcript
// in paxostest/testdata, unsafe_*.txt, shows that it happens.
func (s Switches) Safe(n, q1 int) error {
	if q1 == 0 {
		q1 = n/2 + 1
	}
	switch {
	case s.OldSlots == Kept && s.Acceptance == AnyOrder:
		return errors.New("paxos: rule 14: old slots kept need contiguous acceptance: they are chosen with a slot behind them, and to have that would not mean to have them")
	case s.OldSlots == Kept && s.Eligibility == AnyNode:
		return errors.New("paxos: rule 6: old slots kept need up-to-date candidates: a leader that adopts nothing may lack what was chosen")
	case s.Number == OneVote && 2*q1 <= n:
		return fmt.Errorf("paxos: rule 13: one vote a term needs phase-1 quorums that intersect each other: %d of %d can elect two leaders in one term", q1, n)
	}
	return nil
}

// transfers reports whether Promises carry values. In Raft mode they need not: only
// who has them all can lead.
func (s Switches) transfers() bool {
	return s.Number != OneVote || s.OldSlots != Kept || s.Acceptance != Contiguous
}

// below reports whether a promise of c forbids what is asked at b.
func (n *Node) below(b, c Ballot) bool {
	if n.cfg.Switches.Number == OneVote {
		// In round r the vote of who promised (r, 0) is still to be given.
		return b.Round < c.Round || b.Round == c.Round && b.Node == 0 && c.Node != 0
	}
	return b.Less(c)
}

// takeOver refuses to elect the candidate of b, and yet follows nobody below b any
// more (Raft §5.1). Otherwise a leader that only this node hears would go on without
// a quorum, and this node would never stand itself. The time until it does is not
// put off by a candidate that cannot win.
func (n *Node) takeOver(b Ballot) {
	if n.cfg.Switches.Number == OneVote {
		b.Node = 0
	}
	if n.promised == b || !n.below(n.promised, b) {
		return
	}
	n.setPromised(b)
	elapsed, timeout, led := n.elapsed, n.timeout, n.role == Leader
	if n.becomeFollower(0); !led {
		n.elapsed, n.timeout = elapsed, timeout
	}
}

// split reports whether the rejection m of a candidate says no more than that the
// vote of its round went to another: the next round is as good as any, and comes
// after a timeout like any other.
func (n *Node) split(m *Message) bool {
	return n.cfg.Switches.Number == OneVote && n.role == Candidate && m.Promised.Round == n.promised.Round
}

// takes reports whether switch O lets this node accept slot.
func (n *Node) takes(slot uint64) bool {
	return n.cfg.Switches.Acceptance == AnyOrder || slot <= n.log.prefix(n.chosen)+1
}

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
	if slot == n.log.compacted {
		return Tip{n.log.base, slot}
	}
	e, _ := n.log.get(slot)
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
	return n.lead.decided
}

// noticeDue reports whether followers should be told of the chosen prefix though
// there is nothing else to send. Normally that is as soon as nothing is in flight;
// under load notices ride on Accepts only.
func (n *Node) noticeDue() bool {
	l := n.lead
	if l.decided <= l.notified || n.members.alone() {
		return false
	}
	switch n.cfg.Switches.Notice {
	case NoticeIdle:
		return l.next == l.decided+1
	case NoticeEager:
		return true
	}
	return false
}
