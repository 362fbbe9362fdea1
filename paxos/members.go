package paxos

import "slices"

// Members change through the log (rule 16). An entry with a configuration, chosen
// in slot s, governs the slots from s + Alpha on; as nothing is proposed Alpha slots
// past what is chosen, its proposer knows by then. While the old members may still
// be needed - until a phase-2 quorum of the new ones durably knows everything below
// to be chosen - both are there; then the leader seals the change with a second
// entry, which ends the old configuration, and lets the next change begin.

// ConfigMark is the first byte of values that change the members. No other value
// may begin with it.
const ConfigMark = 2

const (
	configKind = 1
	sealKind   = 2
)

// Members is a configuration: who votes, and who only learns.
type Members struct {
	Voters, Learners []NodeID
	// MaxID is the highest id that was ever a member; ProposeMembers sets it.
	MaxID NodeID
	// Data is the caller's own (addresses, say).
	Data []byte
}

// MembersChange tells of a configuration on its way, in the order of the slots.
type MembersChange struct {
	// Slot is when: once it is applied. Entry is the slot of the entry that says so,
	// the same unless a snapshot told; Made is the one that made the configuration.
	Slot, Entry, Made uint64
	Members           Members
	// Before is the configuration that is being left, until the change is sealed.
	// Its members must be reached so long.
	Before *Members
}

// configuration is what is known of one, by the slot of its entry.
type configuration struct {
	Members
	slot   uint64 // 0: the founders'
	from   uint64 // the first slot that it governs
	seal   uint64 // the slot of the entry that sealed it, 0 = none yet
	sealed bool
	// voters and both quorums are set while the configuration is in use.
	voters votes
	q1, q2 int
}

func (c *configuration) elects(v votes) bool  { return (v & c.voters).count() >= c.q1 }
func (c *configuration) chooses(v votes) bool { return (v & c.voters).count() >= c.q2 }

// hopeless reports whether with these refusals no phase-1 quorum is left.
func (c *configuration) hopeless(no votes) bool { return (c.voters &^ no).count() < c.q1 }

// reached returns the highest number that a phase-2 quorum has reached; marks
// holds one a member.
func (c *configuration) reached(marks []uint64) uint64 {
	var room [maxMembers]uint64
	own := room[:0]
	for i, m := range marks {
		if c.voters.has(i) {
			own = append(own, m)
		}
	}
	if len(own) < c.q2 {
		return 0
	}
	return reached(own, c.q2)
}

// governing returns the configuration of slot, which is above what is chosen by at
// most Alpha. Who has joined and knows of none gets one without members.
func (n *Node) governing(slot uint64) *configuration {
	for i := len(n.configs) - 1; i >= 0; i-- {
		if c := n.configs[i]; c.from <= slot {
			return c
		}
	}
	return &configuration{q1: 1, q2: 1}
}

// current governs the first slot that is not known to be chosen.
func (n *Node) current() *configuration { return n.governing(n.edge() + 1) }

// newest is the configuration chosen last, nil if none is known.
func (n *Node) newest() *configuration {
	if len(n.configs) == 0 {
		return nil
	}
	return n.configs[len(n.configs)-1]
}

// boundary is the last slot of the configuration that is being left, 0 if none is.
func (n *Node) boundary() uint64 {
	if c := n.newest(); c != nil && !c.sealed {
		return c.from - 1
	}
	return 0
}

// retired reports whether this node was a member and is none any more.
func (n *Node) retired() bool {
	return len(n.configs) > 0 && n.cfg.ID <= n.maxID() && !slices.ContainsFunc(n.configs[n.inUse:], func(c *configuration) bool { return c.has(n.cfg.ID) })
}

// maxID is the highest id that was ever a member, as far as this node knows.
func (n *Node) maxID() NodeID {
	if c := n.newest(); c != nil {
		return c.MaxID
	}
	return 0
}

// mayLead reports whether this node votes in a configuration in use. One that is
// being left leads as well as any: it may be the only one who knows what is chosen.
func (n *Node) mayLead() bool {
	return slices.ContainsFunc(n.configs[n.inUse:], func(c *configuration) bool { return c.voters.has(n.members.self) })
}

func (m *Members) has(id NodeID) bool {
	return slices.Contains(m.Voters, id) || slices.Contains(m.Learners, id)
}

// leaving reports whether the node at i votes on no slot that is still open.
func (n *Node) leaving(i int) bool {
	edge := n.edge()
	for k := len(n.configs) - 1; k >= n.inUse; k-- {
		if n.configs[k].voters.has(i) {
			return false
		}
		if n.configs[k].from <= edge+1 {
			break
		}
	}
	return n.newest() != nil
}

// use gives every node of the configurations in use a place, and takes it from
// the others. Those in use are the newest sealed one, and the one after.
func (n *Node) use() {
	n.inUse = 0
	for i, c := range n.configs {
		if c.sealed {
			n.inUse = i
		}
	}
	m := &n.members
	for i, id := range m.ids {
		if i != m.self && id != 0 && !slices.ContainsFunc(n.configs[n.inUse:], func(c *configuration) bool { return c.has(id) }) {
			m.ids[i] = 0
			n.forgetVotes(i)
		}
	}
	for _, c := range n.configs[n.inUse:] {
		c.voters = 0
		for _, id := range c.Voters {
			c.voters.add(m.place(id))
		}
		for _, id := range c.Learners {
			m.place(id)
		}
		var err error
		if c.q1, c.q2, err = quorums(len(c.Voters), n.cfg.Phase1Quorum, n.cfg.Phase2Quorum, n.cfg.Unsafe); err != nil {
			c.q1, c.q2 = maxMembers+1, maxMembers+1 // this node was told other quorums: it decides nothing
		}
	}
	n.growVotes()
}

// forgetVotes clears what is known of the node at i, whose place another may get.
func (n *Node) forgetVotes(i int) {
	n.attempt.yes.remove(i)
	n.attempt.no.remove(i)
	if c := n.cand; c != nil {
		c.promises.remove(i)
		c.no.remove(i)
		c.wanted[i] = 0
	}
	if l := n.lead; l != nil {
		l.promises.remove(i)
		l.wanted[i], l.matched[i], l.acked[i], l.settled[i], l.granted[i], l.contact[i] = 0, 0, 0, 0, 0, n.now
		for k := range l.flight {
			l.flight[k].votes.remove(i)
		}
		if l.streams != nil {
			l.streams[i] = stream{}
		}
	}
}

// growVotes makes room for new members. They owe a promise from the first slot on
// that was not proposed without them.
func (n *Node) growVotes() {
	count := len(n.members.ids)
	if c := n.cand; c != nil {
		for len(c.wanted) < count {
			c.wanted = append(c.wanted, 0)
		}
		for i := range c.wanted {
			if c.wanted[i] == 0 {
				c.wanted[i] = n.edge() + 1
			}
		}
	}
	l := n.lead
	if l == nil {
		return
	}
	for _, marks := range []*[]uint64{&l.wanted, &l.matched, &l.acked, &l.settled, &l.granted, &l.contact} {
		for len(*marks) < count {
			*marks = append(*marks, 0)
		}
	}
	for i := range l.wanted {
		if l.wanted[i] == 0 {
			l.wanted[i], l.contact[i] = l.next, n.now
			if l.streams != nil {
				for len(l.streams) < count {
					l.streams = append(l.streams, stream{})
				}
				l.streams[i] = stream{sent: l.next - 1, from: l.next - 1, since: n.now}
			}
		}
	}
}

// noteChosen looks at an entry that has become chosen, if it changes the members.
func (n *Node) noteChosen(slot uint64) {
	i := slices.Index(n.marks, slot)
	if i < 0 {
		return
	}
	n.marks = slices.Delete(n.marks, i, i+1)
	e, _ := n.log.get(slot)
	m, made, ok := decodeConfig(e.Value)
	if !ok || slot <= n.configBase {
		return // replaced by another value, or known already
	}
	last := n.newest()
	switch {
	case made != 0 && last != nil && last.slot == made && !last.sealed:
		last.seal, last.sealed = slot, true
		n.farewell(slot)
	case made != 0:
		return // a copy
	case last != nil && !last.sealed:
		// Void, for every node alike: a proposal of a leader who did not know of the
		// change before it, that a later leader found again.
		return
	default:
		n.configs = append(n.configs, &configuration{Members: m, slot: slot, from: slot + n.cfg.alpha()})
	}
	n.use()
	n.extendLead()
}

// farewell tells those who are members no longer, as far as the leader's word
// reaches them, so that they need not ask.
func (n *Node) farewell(slot uint64) {
	if n.lead == nil {
		return
	}
	last := n.newest()
	for i, id := range n.members.ids {
		if n.members.other(i) && !last.has(id) {
			n.send(Message{Kind: MsgChosen, To: id, Ballot: n.lead.ballot, Chosen: slot})
		}
	}
}

// mark notes that slot may change the members once it is chosen.
func (n *Node) mark(e Entry) {
	if len(e.Value) > 0 && e.Value[0] == ConfigMark && !slices.Contains(n.marks, e.Slot) {
		n.marks = append(n.marks, e.Slot)
	}
}

// settleMembers seals a change once nothing depends on the old members any more:
// a phase-2 quorum of the new ones has everything chosen below on its disks, and
// knows it. So long the leader fills the slots below with no-ops.
func (n *Node) settleMembers() {
	l, c := n.lead, n.newest()
	if c == nil || c.sealed || l.next <= l.barrier {
		return
	}
	for l.next < c.from && n.hasRoom() {
		n.proposeNext(nil)
	}
	if n.chosen+1 < c.from || l.next < c.from || l.sealing || !n.hasRoom() {
		return
	}
	l.settled[n.members.self] = n.out.durableChosen
	if c.reached(l.settled)+1 >= c.from {
		l.sealing = true
		n.proposeNext(encodeSeal(c.slot))
	}
}
