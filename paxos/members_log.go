package paxos

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// SnapshotData returns what a snapshot through slot, which was handed out, must
// carry of this node's: the configurations that govern the slots above, as far as
// they are known by then.
func (n *Node) SnapshotData(slot uint64) []byte {
	base := max(slot, n.configBase)
	var cs []*configuration
	for _, c := range n.configs {
		if c.slot > base {
			break
		}
		if c.sealedBy(base) {
			cs = cs[:0] // it ends those before
		}
		cs = append(cs, c)
	}
	b := binary.AppendUvarint(nil, base)
	b = binary.AppendUvarint(b, uint64(len(cs)))
	for _, c := range cs {
		b = binary.AppendUvarint(b, c.slot)
		b = binary.AppendUvarint(b, c.from)
		seal := uint64(0)
		if c.sealedBy(base) {
			seal = c.seal + 1
		}
		b = binary.AppendUvarint(b, seal)
		value := encodeMembers(c.Members)
		b = binary.AppendUvarint(b, uint64(len(value)))
		b = append(b, value...)
	}
	return b
}

// sealedBy reports whether the entry that seals c is at or below slot.
func (c *configuration) sealedBy(slot uint64) bool { return c.sealed && c.seal <= slot }

// readConfigs reads what SnapshotData wrote: the configurations, and the slot through
// which they are known. All through it is chosen. It is 0 if there is nothing to read.
func readConfigs(data []byte) (cs []*configuration, base uint64) {
	r := uvarints{rest: data}
	base = r.next()
	for k := r.next(); k > 0 && !r.bad; k-- {
		c := &configuration{slot: r.next(), from: r.next()}
		if seal := r.next(); seal > 0 {
			c.seal, c.sealed = seal-1, true
		}
		var ok bool
		c.Members, _, ok = decodeConfig(r.bytes())
		r.bad = r.bad || !ok
		cs = append(cs, c)
	}
	if r.bad || len(r.rest) > 0 {
		return nil, 0 // there is none, or nobody of this package wrote it
	}
	return cs, base
}

// adoptConfigs learns the configurations of a snapshot that reaches further than
// this node's knowledge of what is chosen. It returns the slot through which they
// are known.
func (n *Node) adoptConfigs(data []byte) (base uint64) {
	cs, base := readConfigs(data)
	if base > n.configBase && (base > n.chosen || n.newest() == nil) {
		n.takeConfigs(cs, base)
	}
	return base
}

// takeConfigs takes over the configurations that are known through base. Who joined
// and learned the whole log from its first slot on lacks none but the founders'.
func (n *Node) takeConfigs(cs []*configuration, base uint64) {
	for _, c := range cs {
		if a := c.from - c.slot; c.slot != 0 && a != n.cfg.alpha() {
			n.log.err = fmt.Errorf("paxos: alpha is %d here, and %d where the change of the members in slot %d was learned from; it is the same in all nodes of a cluster, for good: replace this node by a new one with %d", n.cfg.alpha(), a, c.slot, a)
			return
		}
	}
	if (len(cs) == 0 || !cs[0].sealed) && len(n.configs) > 0 && n.configs[0].slot == 0 {
		cs = append([]*configuration{n.configs[0]}, cs...)
	}
	n.configs, n.configBase = cs, base
	n.use()
	n.extendLead()
}

// forgetConfigs drops the configurations that nobody can need any more: those
// that a sealed one ended before this node's snapshot.
func (n *Node) forgetConfigs() {
	for i := len(n.configs) - 1; i > 0; i-- {
		if n.configs[i].sealedBy(n.snapshot) {
			n.configs = slices.Delete(n.configs, 0, i)
			n.inUse -= i
			return
		}
	}
}

// recoverConfigs begins with the configurations of this node's own snapshot, which may
// be known further than the snapshot goes, and reads the changes of the members that
// are known chosen from the log.
func (n *Node) recoverConfigs() {
	if cs, base := readConfigs(n.cfg.Snapshot.Data); base > 0 {
		n.takeConfigs(cs, base)
		n.floor = max(n.floor, base)
	}
	n.use()
	for lo := n.snapshot + 1; lo <= n.chosen && n.log.err == nil; {
		es, next := n.log.read(lo, n.chosen+1, n.cfg.MaxMessageBytes)
		for _, e := range es {
			if n.mark(e); len(n.marks) > 0 {
				n.noteChosen(e.Slot)
			}
		}
		lo = next
	}
}

// showing is the configuration as of the newest entry that was handed out.
type showing struct {
	settled MembersChange
	coming  *MembersChange
	through uint64 // slots whose entries it includes, though they may be handed out yet
	tell    bool   // the next Ready tells of both
}

// show begins with what a snapshot through slot says.
func (n *Node) show(slot uint64) {
	n.shown = showing{through: max(slot, n.configBase)}
	for _, c := range n.configs {
		if c.slot > n.shown.through {
			break
		}
		m := MembersChange{Slot: slot, Entry: c.slot, Made: c.slot, Members: c.Members}
		if c.sealedBy(n.shown.through) {
			m.Entry = c.seal
			n.shown.settled, n.shown.coming = m, nil
		} else {
			m.Before = &n.shown.settled.Members
			n.shown.coming = &m
		}
	}
}

// tellMembers tells of the configurations that came with a snapshot.
func (n *Node) tellMembers(rd *Ready) {
	if !n.shown.tell {
		return
	}
	n.shown.tell = false
	rd.Members = append(rd.Members, n.Members())
}

// showEntry tells of an entry that changes the members, as it is handed out.
func (n *Node) showEntry(e Entry, rd *Ready) {
	m, made, ok := decodeConfig(e.Value)
	s := &n.shown
	switch {
	case !ok || e.Slot <= s.through:
		return // known before, from a snapshot
	case made == 0 && s.coming != nil:
		return // void: chosen during another change (see noteChosen)
	case made == 0:
		before := s.settled.Members
		s.coming = &MembersChange{Slot: e.Slot, Entry: e.Slot, Made: e.Slot, Members: m, Before: &before}
		rd.Members = append(rd.Members, *s.coming)
	case s.coming != nil && s.coming.Made == made:
		s.settled = MembersChange{Slot: e.Slot, Entry: e.Slot, Made: made, Members: s.coming.Members}
		s.coming = nil
		rd.Members = append(rd.Members, s.settled)
		if n.retired() && n.role == Leader {
			n.leave()
		}
	}
}

// Members is the configuration as of the newest entry that was handed out, and the
// one before it until the change is sealed.
func (n *Node) Members() MembersChange {
	if n.shown.coming != nil {
		return *n.shown.coming
	}
	return n.shown.settled
}

// stranger reports whether m may come from a member of a configuration that this
// node does not know yet: ids rise. Whoever was removed is none.
func (n *Node) stranger(m *Message) bool {
	if m.From <= n.maxID() && len(n.current().Voters) > 0 {
		return false
	}
	switch m.Kind {
	case MsgPrePrepare, MsgPrepare, MsgAccept, MsgChosen, MsgHeartbeat, MsgReadConfirm, MsgCatchUp, MsgCatchUpReply, MsgTransfer:
		return true
	}
	return false
}

// answerLeft refuses a leader that may be one of the members that are being left. Who
// joined and learned of its first change from the log does not know them; but the leader
// may need its promise to end the change, and must hear that a higher ballot has it.
func (n *Node) answerLeft(m *Message) {
	unknown := len(n.configs) > 0 && !n.configs[0].sealed
	if m.To == n.cfg.ID && unknown && (m.Kind == MsgHeartbeat || m.Kind == MsgPrepare) && m.Ballot.Node == m.From && n.below(m.Ballot, n.promised) {
		n.reject(*m, 0)
	}
}
