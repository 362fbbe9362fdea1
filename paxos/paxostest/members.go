package paxostest

import (
	"errors"
	"math/bits"
	"slices"

	"gfslab/paxos"
)

// rule is what the monitors know of a configuration, from what is chosen alone.
type rule struct {
	slot, from uint64
	members    paxos.Members
	voters     uint64 // by 1 << id
	q1, q2     int
	sealed     bool
}

func (m *monitors) addRule(slot, from uint64, ms paxos.Members) {
	r := &rule{slot: slot, from: from, members: ms, q1: m.config.Phase1Quorum, q2: m.config.Phase2Quorum, sealed: slot == 0}
	for _, id := range ms.Voters {
		r.voters |= 1 << id
	}
	if r.q1 == 0 {
		r.q1 = len(ms.Voters)/2 + 1
	}
	if r.q2 == 0 {
		r.q2 = len(ms.Voters)/2 + 1
	}
	m.rules = append(m.rules, r)
}

// ruleOf returns the configuration of slot.
func (m *monitors) ruleOf(slot uint64) *rule {
	for i := len(m.rules) - 1; ; i-- {
		if m.rules[i].from <= slot {
			return m.rules[i]
		}
	}
}

func (m *monitors) newest() *rule { return m.rules[len(m.rules)-1] }

// changes looks at a value that ends the chosen prefix: one change at a time, what
// comes in between has no effect (rule 16).
func (m *monitors) changes(slot uint64, value string) {
	ms, sealed, ok := paxos.ReadChange([]byte(value))
	if !ok {
		return
	}
	last := m.newest()
	switch {
	case sealed != 0:
		if last.slot == sealed && !last.sealed {
			last.sealed = true
			m.handedOver(slot, last)
		}
	case last.sealed: // else it is void
		m.addRule(slot, slot+m.alpha, ms)
	}
}

// handedOver: when a change is sealed the old members may vanish; so a phase-2
// quorum of the new ones must durably know all below to be chosen.
func (m *monitors) handedOver(slot uint64, r *rule) {
	know := 0
	for _, id := range r.members.Voters {
		if o := m.nodes[id]; o.knows+1 >= r.from {
			know++
		}
	}
	if know < r.q2 {
		m.fail("handed-over", "slot %d seals the change in slot %d; %d of the new voters know what is below %d", slot, r.slot, know, r.from)
	}
}

// mayPropose: nothing is proposed Alpha slots past what is chosen, and all is
// covered by a phase-1 quorum of its slot's configuration (rule 16).
func (m *monitors) mayPropose(p *peer, e paxos.Entry, ballot paxos.Ballot) {
	if m.keeps() {
		return // its members do not change
	}
	if e.Slot > m.prefix+m.alpha {
		m.fail("alpha", "node %d proposes slot %d; only what is through %d is chosen", p.id, e.Slot, m.prefix)
	}
	r := m.ruleOf(e.Slot)
	if got := bits.OnesCount64((m.promisedBy[ballot] | 1<<p.id) & r.voters); got < r.q1 {
		m.fail("phase-1-quorum", "node %d proposes slot %d at %v with %d promises of its configuration", p.id, e.Slot, ballot, got)
	}
}

// members changes the members now and then, and hands the lead over.
func (w *world) members(p *peer) {
	if w.calm || !p.up || p.node.Status().Role != paxos.Leader {
		return
	}
	if w.chance(w.swarm.transfer) {
		to := paxos.NodeID(w.rng.IntN(len(w.peers) + 1))
		if err := p.node.Transfer(to); err == nil {
			w.report.Transfers++
		} else if !errors.Is(err, paxos.ErrTransfer) && !errors.Is(err, paxos.ErrWindowFull) {
			w.fail("transfer", "node %d leads and says %v", p.id, err)
		}
		p.drain()
	}
	if w.chance(w.swarm.resign) {
		p.node.Resign()
		p.drain()
	}
	if p.node.Status().Role == paxos.Leader && w.chance(w.swarm.change) {
		w.change(p)
	}
}

// change proposes to add, promote, remove or replace members. A new one gets an
// empty disk and a new id.
func (w *world) change(p *peer) {
	now := p.node.Members()
	if now.Before != nil || len(now.Members.Voters) == 0 || len(w.peers) >= w.swarm.ids {
		return
	}
	m := paxos.Members{Voters: slices.Clone(now.Members.Voters), Learners: slices.Clone(now.Members.Learners)}
	kind := w.rng.IntN(5)
	if kind == 0 || kind == 1 { // remove a voter, or replace it
		i := w.rng.IntN(len(m.Voters))
		m.Voters = slices.Delete(m.Voters, i, i+1)
	}
	switch {
	case kind == 4 && len(m.Learners) > 0:
		m.Voters, m.Learners = append(m.Voters, m.Learners[0]), m.Learners[1:]
	case kind == 3:
		m.Learners = append(m.Learners, w.newcomer())
	case kind != 0 && len(m.Voters) < 5:
		m.Voters = append(m.Voters, w.newcomer())
	}
	if len(m.Voters) < 2 {
		return
	}
	if _, err := p.node.ProposeMembers(m); err != nil && !errors.Is(err, paxos.ErrWindowFull) && !errors.Is(err, paxos.ErrChange) {
		w.fail("change", "node %d leads and says %v", p.id, err)
	}
	p.drain()
}

// newcomer starts a node that knows nothing but whom to ask.
func (w *world) newcomer() paxos.NodeID {
	id := paxos.NodeID(len(w.peers) + 1)
	c := w.peers[0].config
	c.ID, c.Join, c.Seed = id, true, c.Seed+uint64(id)*17
	c.Peers = append(slices.Clone(w.newest().members.Voters), id)
	p := &peer{id: id, config: c, disk: &disk{}, world: w}
	w.nodes[id] = newObserved()
	w.peers = append(w.peers, p)
	w.start(p)
	return id
}

// retire takes down for good who was removed, soon after the change was sealed:
// nothing may depend on them any more.
func (w *world) retire() {
	last := w.newest()
	if !last.sealed || last.slot == 0 {
		return
	}
	for _, p := range w.peers {
		if p.gone || !w.removed(p.id) || !w.chance(0.05) {
			continue
		}
		if p.gone = true; p.up {
			w.harvest(p)
			p.crash(0)
		}
	}
}

// removed reports whether id was a member once and is none any more.
func (w *world) removed(id paxos.NodeID) bool {
	return !w.isMember(id) && slices.ContainsFunc(w.rules, func(r *rule) bool {
		return slices.Contains(r.members.Voters, id) || slices.Contains(r.members.Learners, id)
	})
}

func (w *world) isMember(id paxos.NodeID) bool {
	m := w.newest().members
	return slices.Contains(m.Voters, id) || slices.Contains(m.Learners, id)
}
