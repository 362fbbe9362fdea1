package paxos

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// members are all nodes of the configurations in use, and this one. A member's
// place is its bit in votes; 0 is a free one.
type members struct {
	ids  []NodeID
	self int
}

// maxMembers is the width of votes.
const maxMembers = 64

// newMembers gives the founders their places in ascending order.
func newMembers(self NodeID, ids []NodeID) (members, error) {
	m := members{ids: slices.Clone(ids)}
	slices.Sort(m.ids)
	if len(slices.Compact(slices.Clone(m.ids))) != len(m.ids) {
		return m, errors.New("paxos: a member is listed twice")
	}
	if len(m.ids) > maxMembers {
		return m, fmt.Errorf("paxos: %d members; at most %d", len(m.ids), maxMembers)
	}
	for _, id := range m.ids {
		if id == 0 || id > 0xffff {
			return m, fmt.Errorf("paxos: member %d; ids run from 1 to 65535", id)
		}
	}
	if m.self = m.index(self); m.self < 0 {
		return m, fmt.Errorf("paxos: node %d is not among its peers", self)
	}
	return m, nil
}

// index returns the place of id, or -1.
func (m *members) index(id NodeID) int { return slices.Index(m.ids, id) }

// place returns the place of id, a free one if it has none yet.
func (m *members) place(id NodeID) int {
	if i := m.index(id); i >= 0 {
		return i
	}
	i := m.index(0)
	if i < 0 {
		i = len(m.ids)
		m.ids = append(m.ids, 0)
	}
	m.ids[i] = id
	return i
}

// other reports whether there is a member at i that is not this node.
func (m *members) other(i int) bool { return i != m.self && m.ids[i] != 0 }

// alone reports whether there are no others.
func (m *members) alone() bool {
	for i := range m.ids {
		if m.other(i) {
			return false
		}
	}
	return true
}

// CheckQuorums returns why quorums of q1 and q2 (0 = a majority) of n members would
// not do, nil if they would.
func CheckQuorums(n, q1, q2 int) error {
	_, _, err := quorums(n, q1, q2, false)
	return err
}

// quorums returns the sizes of the quorums of n members, given what was asked
// for (0 = a majority), or why they would not do (rule 18).
func quorums(n, q1, q2 int, unsafe bool) (int, int, error) {
	if q1 == 0 {
		q1 = n/2 + 1
	}
	if q2 == 0 {
		q2 = n/2 + 1
	}
	switch {
	case q1 < 1 || q2 < 1 || q1 > n || q2 > n:
		return 0, 0, fmt.Errorf("paxos: quorums of %d and %d; with %d members they are from 1 to %d", q1, q2, n, n)
	case q1+q2 <= n && !unsafe:
		return 0, 0, fmt.Errorf("paxos: rule 18: a phase-1 quorum of %d and a phase-2 quorum of %d of %d members need not intersect: a new leader may not hear of what was chosen", q1, q2, n)
	}
	return q1, q2, nil
}

// votes is a set of members.
type votes uint64

func (v *votes) add(i int)     { *v |= 1 << i }
func (v *votes) remove(i int)  { *v &^= 1 << i }
func (v votes) has(i int) bool { return v&(1<<i) != 0 }
func (v votes) count() int     { return bits.OnesCount64(uint64(v)) }

// reached returns the highest number that at least quorum of the members have
// reached; marks holds one number a member. It needs quorum <= len(marks).
func reached(marks []uint64, quorum int) uint64 {
	var room [maxMembers]uint64
	sorted := room[:copy(room[:], marks)]
	slices.Sort(sorted)
	return sorted[len(sorted)-quorum]
}
