package sim

import (
	"bytes"
	"cmp"
	"slices"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// holding is who had an entry on disk when it was first applied.
type holding struct {
	index uint64
	by    int // index of the node that applied it
	nodes uint64
}

// configured: all nodes have the same configurations.
func (j *judge) configured(n *node, m consensus.Members) {
	j.w.say("node %d: members of index %d: voters %v, outgoing %v, learners %v", n.number(), m.Index, m.Voters, m.Outgoing, m.Learners)
	at, found := slices.BinarySearchFunc(j.members, m.Index, func(a consensus.Members, i uint64) int { return cmp.Compare(a.Index, i) })
	if !found {
		j.members = slices.Insert(j.members, at, m)
		j.resolve(m.Index)
		return
	}
	if old := &j.members[at]; !slices.Equal(old.Voters, m.Voters) || !slices.Equal(old.Outgoing, m.Outgoing) || !slices.Equal(old.Learners, m.Learners) {
		j.w.fail("members", "node %d has %+v at index %d; others have %+v", n.number(), m, m.Index, *old)
	}
}

// newest is the configuration that was made last.
func (j *judge) newest() *consensus.Members { return &j.members[len(j.members)-1] }

// held: an entry that is applied for the first time is on a quorum's disks.
func (j *judge) held(n *node, e *storage.Entry) {
	h := holding{index: e.Index, by: n.index}
	for _, other := range j.w.nodes {
		if d := other.shadow.at(e.Index); d != nil && bytes.Equal(d.Data, e.Data) || other.shadow.snapshot >= e.Index {
			h.nodes |= 1 << other.id
		}
	}
	if !j.suffices(h) {
		j.unsure = append(j.unsure, h)
		if j.w.swarm.Change == 0 {
			j.doubt()
		}
	}
}

// around is how many configurations before an entry may be the one that its
// proposer went by: a change takes effect some entries after its own.
const around = 3

// multipaxos is the name of our own core among the engine's protocols.
const multipaxos = "multipaxos"

// suffices reports whether the holders are a quorum of one of the
// configurations that an entry may have been decided by.
func (j *judge) suffices(h holding) bool {
	tried := 0
	for i := len(j.members) - 1; i >= 0 && tried < around; i-- {
		m := &j.members[i]
		if m.Index > h.index {
			continue
		}
		tried++
		now, before := j.quorum(m.Voters, h.nodes), len(m.Outgoing) == 0 || j.quorum(m.Outgoing, h.nodes)
		if now && before {
			return true
		}
		// In our own core each entry has one configuration, before and after a point
		// that lies between the two entries of a change.
		if len(m.Outgoing) > 0 && (now || before) && j.w.protocol.Name == multipaxos {
			return true
		}
	}
	return false
}

func (j *judge) quorum(voters []consensus.Peer, nodes uint64) bool {
	need := len(voters)/2 + 1
	if q := j.w.swarm.Limits.Phase2Quorum; q != 0 {
		need = q
	}
	for _, v := range voters {
		if nodes&(1<<v.ID) != 0 {
			need--
		}
	}
	return need <= 0
}

// resolve looks at the doubtful entries again, now that a configuration made at
// index is known.
func (j *judge) resolve(index uint64) {
	j.unsure = slices.DeleteFunc(j.unsure, func(h holding) bool { return h.index >= index && j.suffices(h) })
}

// doubt: an entry was decided by a quorum that nobody knows of.
func (j *judge) doubt() {
	if len(j.unsure) > 0 {
		h := j.unsure[0]
		j.w.fail("durable-quorum", "node %d applies entry %d, which is on the disks of nodes %b only; the members are %v",
			h.by+1, h.index, h.nodes>>1, j.newest().Voters)
	}
}
