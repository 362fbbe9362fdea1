package engine

import (
	"fmt"
	"slices"

	"gfslab/consensus"
)

// membership follows the configurations that the core reports, and knows whom
// the replica talks to.
type membership struct {
	now     consensus.Members
	pending []MembersChange // handed out, not yet applied; by index
	wanted  *consensus.Members
	told    []consensus.Peer // Effects.Peers, as last said
	highest consensus.NodeID // Effects.Highest, as last said
	stale   bool             // told may no longer hold
}

// ProposeChange starts a change of the configuration; Effects.Changed tells
// how it ended. An error is ErrNotLeader, ErrBusy, or wraps consensus.ErrRefused,
// and the change was surely not proposed.
func (s *Scheduler) ProposeChange(c consensus.Change) error {
	core, able := s.core.(Changer)
	switch {
	case !able:
		return fmt.Errorf("%w: the members of this protocol do not change", consensus.ErrRefused)
	case s.status.Role != consensus.Leader:
		return ErrNotLeader
	case s.members.wanted != nil, len(core.Members().Outgoing) > 0:
		return ErrBusy // perhaps another leader's change, which is half done
	}
	wanted, err := core.Members().Apply(c)
	if err == nil {
		err = core.ProposeChange(c)
	}
	if err == nil {
		s.members.wanted = &wanted
	}
	return err
}

// runMembers puts configurations into effect whose entries were applied.
func (s *Scheduler) runMembers(fx *Effects) {
	m := &s.members
	for len(m.pending) > 0 && m.pending[0].Index <= s.applied {
		c := m.pending[0]
		m.pending = m.pending[:copy(m.pending, m.pending[1:])]
		if c.Members.Index < m.now.Index {
			continue // a fetched snapshot told of a later one
		}
		m.now, m.stale = c.Members, true
		e := s.event(consensus.EventMembers, s.status.Term, c.Members.Index)
		e.Members = &c.Members
		fx.Events = append(fx.Events, e)
		if m.wanted != nil && same(m.wanted, &c.Members) {
			m.wanted = nil
			fx.Changed = &ChangeEnd{Members: c.Members}
		}
	}
	if m.stale {
		m.stale = false
		if peers, highest := s.whom(), s.Highest(); highest != m.highest || !slices.Equal(peers, m.told) {
			m.told, m.highest = peers, highest
			fx.Peers, fx.Highest = peers, highest
		}
	}
}

// same reports whether is has the voters and learners of want, and is final.
func same(want, is *consensus.Members) bool {
	return len(is.Outgoing) == 0 && slices.Equal(want.Voters, is.Voters) && slices.Equal(want.Learners, is.Learners)
}

// lostLead ends the change under way, unless it has come through and waits for
// the state machine only: so it is when a leader removes itself.
func (m *membership) lostLead(fx *Effects) {
	if m.wanted == nil {
		return
	}
	for i := range m.pending {
		if same(m.wanted, &m.pending[i].Members) {
			return
		}
	}
	m.wanted = nil
	fx.Changed = &ChangeEnd{Err: consensus.ErrUnknown}
}

// Peers are whom to talk and to listen to: the members of the configuration in
// effect and of those that will be; and as long as this node is none of them,
// those that it was told of when it was opened. Effects.Peers says what it
// becomes.
func (s *Scheduler) Peers() []consensus.Peer { return s.members.told }

func (s *Scheduler) whom() []consensus.Peer {
	all := s.members.now
	for i := range s.members.pending {
		all.Voters = slices.Concat(all.Voters, s.members.pending[i].Members.All())
	}
	if !all.IsMember(s.opts.Node) {
		all.Learners = slices.Concat(all.Learners, s.opts.Peers)
	}
	return all.All()
}

// Highest is the identity above which strangers may talk to this node: the
// highest that it knows to have been a member, or 0 as long as it is none.
func (s *Scheduler) Highest() consensus.NodeID {
	m := &s.members
	highest, member := m.now.MaxID, m.now.IsMember(s.opts.Node)
	for i := range m.pending {
		highest = max(highest, m.pending[i].Members.MaxID)
		member = member || m.pending[i].Members.IsMember(s.opts.Node)
	}
	if !member {
		return 0
	}
	return highest
}

// knownAt reports whether the members at an index that was handed out are known.
// A node that joins learns of none before the first change in its log, or a
// snapshot that names them. It must not pass on a snapshot that names nobody:
// who started from it would know of no voter.
func (s *Scheduler) knownAt(index uint64) bool {
	c, ok := s.core.(Changer)
	if !ok || len(s.members.now.Voters) > 0 {
		return true
	}
	for i := range s.members.pending {
		if s.members.pending[i].Index <= index {
			return true
		}
	}
	m := c.Members()
	return len(m.Voters) > 0 && m.Index <= index
}

type transfer struct {
	active bool
	age    int
}

// Transfer starts to hand the lead over; Effects.Transferred tells how it
// ended. An error is ErrNotLeader, ErrBusy, or wraps consensus.ErrRefused.
func (s *Scheduler) Transfer(to consensus.NodeID) error {
	core, able := s.core.(Transferrer)
	switch {
	case !able:
		return fmt.Errorf("%w: this protocol has nobody to hand the lead to", consensus.ErrRefused)
	case s.status.Role != consensus.Leader:
		return ErrNotLeader
	case s.transfer.active:
		return ErrBusy
	}
	err := core.Transfer(to)
	if err == nil {
		s.transfer = transfer{active: true}
	}
	return err
}

func (s *Scheduler) runTransfer(fx *Effects) {
	if !s.transfer.active {
		return
	}
	switch {
	case s.status.Role != consensus.Leader && s.status.Leader != 0 && s.status.Leader != s.opts.Node:
		fx.Transferred = &TransferEnd{}
	case s.transfer.age >= 2*s.opts.ElectionTicks:
		fx.Transferred = &TransferEnd{Err: fmt.Errorf("engine: nobody took the lead over within %d ticks", s.transfer.age)}
	default:
		return
	}
	s.transfer.active = false
}
