package paxos

import (
	"errors"
	"fmt"
)

// ErrTransfer is wrapped by the errors of Transfer about whom it was asked for.
var ErrTransfer = errors.New("paxos: no such transfer")

// transfer is the hand-over under way, to 0 if there is none.
type transfer struct {
	to    NodeID
	until uint64 // the tick at which it is given up
	sent  bool
}

// Transfer begins to hand the lead to a voter, 0 for the one that has most. Nothing
// more is proposed until it has everything; then it is told to stand for election.
// If that takes longer than an election timeout, this node leads on.
func (n *Node) Transfer(to NodeID) error {
	switch {
	case n.log.err != nil:
		return n.log.err
	case n.role != Leader:
		return ErrNotLeader
	case n.lead.transfer.to != 0:
		return ErrWindowFull
	}
	if to == 0 {
		to = n.successor()
	}
	if i := n.members.index(to); to == 0 || to == n.cfg.ID || i < 0 || !n.current().voters.has(i) {
		return fmt.Errorf("%w: node %d is no other voter", ErrTransfer, to)
	}
	n.lead.transfer = transfer{to: to, until: n.now + uint64(n.cfg.ElectionTicks)}
	n.heartbeat() // its answer tells what it has
	return nil
}

// successor is the voter in contact that has accepted most, 0 if there is none.
func (n *Node) successor() (best NodeID) {
	most := uint64(0)
	for i, id := range n.members.ids {
		if n.members.other(i) && n.current().voters.has(i) && n.answered(i) && (best == 0 || n.lead.matched[i] > most) {
			best, most = id, n.lead.matched[i]
		}
	}
	return best
}

// heartbeatReply looks at what member i says that it holds.
func (n *Node) heartbeatReply(i int, m *Message) {
	l := n.lead
	if m.Settled > l.settled[i] {
		l.settled[i] = m.Settled
		n.settleMembers()
	}
	l.granted[i] = max(l.granted[i], m.Time)
	has := m.Chosen
	if m.Lo <= m.Chosen+1 {
		has = max(has, m.Hi)
	}
	if t := &l.transfer; t.to == m.From && !t.sent && has+1 >= l.next && l.next > l.barrier {
		t.sent, l.noLease = true, true
		n.send(Message{Kind: MsgTransfer, To: t.to, Ballot: l.ballot})
	}
}

// tickTransfer gives up what takes too long.
func (n *Node) tickTransfer() {
	if t := &n.lead.transfer; t.to != 0 && n.now >= t.until {
		*t = transfer{}
	}
}

// handleTransfer stands for election on the leader's word. Nobody need be asked
// whether the leader is gone.
func (n *Node) handleTransfer(m Message) {
	if n.role != Follower || m.Ballot != n.promised || n.leader != m.From || !n.current().voters.has(n.members.self) {
		return
	}
	n.startCandidacy(m.Ballot)
}

// Resign makes a leader fall silent at once; whoever seems to have most is told to
// stand for election.
func (n *Node) Resign() {
	if n.role != Leader {
		return
	}
	if to := n.successor(); to != 0 {
		n.send(Message{Kind: MsgTransfer, To: to, Ballot: n.lead.ballot})
	}
	n.becomeFollower(0)
}

// leave ends the lead of a node that is no member any more.
func (n *Node) leave() {
	n.broadcast(Message{Kind: MsgChosen, Ballot: n.lead.ballot, Chosen: n.lead.decided})
	n.Resign()
}
