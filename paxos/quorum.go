package paxos

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// members are the nodes of the cluster in ascending order; a member's position
// is its bit in votes.
type members struct {
	ids  []NodeID
	self int
}

// maxMembers is the width of votes.
const maxMembers = 64

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

// index returns the position of id, or -1.
func (m *members) index(id NodeID) int { return slices.Index(m.ids, id) }

// phase1 and phase2 are the sizes of the two quorums. Any two majorities
// intersect, which is all that Paxos asks: phase1 + phase2 > N.
func (m *members) phase1() int { return len(m.ids)/2 + 1 }
func (m *members) phase2() int { return len(m.ids)/2 + 1 }

// votes is a set of members.
type votes uint64

func (v *votes) add(i int)     { *v |= 1 << i }
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
