package paxos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrChange is wrapped by the errors of ProposeMembers about what was asked for.
var ErrChange = errors.New("paxos: no such change of the members")

// ProposeMembers proposes a configuration. Like a value it may be lost; Ready.Members
// tells when it is in effect. A change during another one is refused.
func (n *Node) ProposeMembers(m Members) (slot uint64, err error) {
	if n.log.err != nil {
		return 0, n.log.err
	}
	if n.role != Leader {
		return 0, ErrNotLeader
	}
	l, last := n.lead, n.newest()
	if last == nil || !last.sealed || n.shown.settled.Made != last.slot || len(n.marks) > 0 || l.next <= l.barrier || l.transfer.to != 0 || !n.hasRoom() || n.chosen < l.floor {
		return 0, ErrWindowFull
	}
	if err := n.mayChange(m); err != nil {
		return 0, err
	}
	// (What the caller bases the change on, Members, is the newest configuration.)
	m.MaxID = max(last.MaxID, slices.Max(slices.Concat(m.Voters, m.Learners)))
	return n.proposeNext(encodeMembers(m)), nil
}

func (n *Node) mayChange(m Members) error {
	all := slices.Concat(m.Voters, m.Learners)
	slices.Sort(all)
	last := n.newest()
	switch {
	case n.keeps():
		return fmt.Errorf("%w: with old slots kept the members do not change", ErrChange)
	case n.cfg.Switches.Number == OneVote && !n.cfg.Unsafe:
		// (Who gave the vote to one follows the other: a round has no order of leaders.)
		return fmt.Errorf("%w: with one vote a term the members do not change: the old ones and the new ones could each elect a leader of the same term", ErrChange)
	case len(m.Voters) == 0:
		return fmt.Errorf("%w: nobody votes", ErrChange)
	case len(slices.Compact(slices.Clone(all))) != len(all):
		return fmt.Errorf("%w: a member is listed twice", ErrChange)
	case len(all)+len(last.Voters)+len(last.Learners) > maxMembers:
		return fmt.Errorf("%w: too many members", ErrChange)
	}
	for _, id := range all {
		if id == 0 || id > 0xffff || id <= last.MaxID && !last.has(id) {
			return fmt.Errorf("%w: node %d: a new id is above every one that was ever used, %d, and at most 65535", ErrChange, id, last.MaxID)
		}
	}
	q1, _, err := quorums(len(m.Voters), n.cfg.Phase1Quorum, n.cfg.Phase2Quorum, n.cfg.Unsafe)
	if err == nil && !n.cfg.Unsafe {
		err = n.cfg.Switches.Safe(len(m.Voters), q1)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChange, err)
	}
	return nil
}

// ReadChange says what a value does to the members: it makes a configuration, or
// seals the one made by the entry in slot sealed.
func ReadChange(value []byte) (m Members, sealed uint64, ok bool) { return decodeConfig(value) }

func encodeMembers(m Members) []byte {
	b := []byte{ConfigMark, configKind}
	for _, ids := range [][]NodeID{m.Voters, m.Learners} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	b = binary.AppendUvarint(b, uint64(m.MaxID))
	return append(b, m.Data...)
}

func encodeSeal(made uint64) []byte {
	return binary.AppendUvarint([]byte{ConfigMark, sealKind}, made+1)
}

// decodeConfig reads what encodeMembers or encodeSeal wrote; made is 0 for the
// former. (Founders are never sealed: made is at least 1 for a seal.)
func decodeConfig(b []byte) (m Members, made uint64, ok bool) {
	if len(b) < 2 || b[0] != ConfigMark {
		return m, 0, false
	}
	r := uvarints{rest: b[2:]}
	switch b[1] {
	case sealKind:
		made = r.next() - 1
		return m, made, !r.bad && made != 0 && made != math.MaxUint64
	case configKind:
		m.Voters, m.Learners, m.MaxID = r.ids(), r.ids(), NodeID(r.next())
		m.Data = r.rest
		return m, 0, !r.bad
	}
	return m, 0, false
}

// uvarints reads numbers; after a fault it is bad and gives zeros.
type uvarints struct {
	rest []byte
	bad  bool
}

func (r *uvarints) next() uint64 {
	v, k := binary.Uvarint(r.rest)
	if k <= 0 {
		r.bad, k = true, len(r.rest)
	}
	r.rest = r.rest[k:]
	return v
}

func (r *uvarints) ids() (ids []NodeID) {
	for k := r.next(); k > 0 && !r.bad; k-- {
		ids = append(ids, NodeID(r.next()))
	}
	return ids
}

func (r *uvarints) bytes() []byte {
	k := r.next()
	if k > uint64(len(r.rest)) {
		r.bad, k = true, 0
	}
	v := r.rest[:k:k]
	r.rest = r.rest[k:]
	return v
}
