package paxostest

import (
	"encoding/binary"
	"fmt"

	"gfslab/paxos"
)

// failure is a broken invariant.
type failure struct {
	monitor, detail string
	// agreement: two nodes really differ, or would in the open; all others are
	// rules broken on the way there.
	agreement bool
}

// fact is something that happened on one node and stays true. Histories consist
// of facts alone, so they only grow.
type fact struct {
	kind    factKind
	slot    uint64
	ballot  paxos.Ballot
	value   string
	life    int            // of factUsed
	message *paxos.Message // of factSaid
	event   event          // of factSaid: its number at the receiver
}

type factKind byte

const (
	factSaid     factKind = iota // a message left
	factVoted                    // a value reached the disk at a slot and ballot
	factApplied                  // the state machine executed a value, in any life
	factHandedOn                 // a CatchUpReply called a value chosen
	factLow                      // a value was written below the promise
	factUsed                     // a Prepare left, in a life
)

// past is the history of a node.
type past struct {
	facts []int32
	// to are the deliveries that it offers each node.
	to [nodes][]event
	// judged are the facts that a monitor of the whole world looks at.
	judged []int32
	bad    *failure
}

// recorder gathers what a node does during one event, and judges what can be
// judged locally.
type recorder struct {
	catalog *catalog
	facts   []int32
}

func (r *recorder) fail(monitor, format string, args ...any) {
	panic(failure{monitor: monitor, detail: fmt.Sprintf(format, args...)})
}

func (r *recorder) note(f fact) { r.facts = append(r.facts, r.catalog.addFact(f)) }

func (r *recorder) writeDelay(*peer) int { return 0 }

// handed judges what is about to be written: the promise never falls, and a
// Promise leaves out nothing that is on the disk (rules 1 and 5).
func (r *recorder) handed(p *peer, rd paxos.Ready) {
	promised := p.disk.hardState.Promised
	for _, w := range p.writes {
		if w.hardState != nil {
			promised = w.hardState.Promised
		}
	}
	if rd.HardState != nil {
		if r.catalog.world.below(rd.HardState.Promised, promised) {
			r.fail("promise-monotone", "node %d lowers its promise from %v to %v", p.id, promised, rd.HardState.Promised)
		}
		promised = rd.HardState.Promised
	}
	for _, e := range rd.Entries {
		if e.Ballot.Less(promised) && !r.catalog.world.keeps() {
			r.note(fact{kind: factLow, slot: e.Slot, value: string(e.Value)})
		}
	}
	for _, m := range append(rd.SendNow[:len(rd.SendNow):len(rd.SendNow)], rd.SendAfterPersist...) {
		if m.Kind == paxos.MsgPromise && !r.catalog.world.keeps() {
			r.complete(p, m)
		}
	}
}

func (r *recorder) complete(p *peer, m paxos.Message) {
	for _, e := range p.disk.entries {
		if e.Slot < m.Lo || e.Slot >= m.Hi && !m.Done || !e.Ballot.Less(m.Ballot) {
			continue
		}
		found := false
		for _, reported := range m.Entries {
			found = found || reported.Slot == e.Slot && !reported.Ballot.Less(e.Ballot)
		}
		if !found {
			r.fail("promise-complete", "node %d promises %v and leaves out slot %d, accepted at %v", p.id, m.Ballot, e.Slot, e.Ballot)
		}
	}
}

func (r *recorder) durable(p *peer, w write) {
	if r.catalog.world.keeps() {
		r.votesThrough(p, w)
		if w.hardState != nil { // see invariants.go
			r.votesThrough(p, write{entries: p.disk.entries})
		}
		return
	}
	for _, e := range w.entries {
		r.note(fact{kind: factVoted, slot: e.Slot, ballot: e.Ballot, value: string(e.Value)})
	}
}

// votesThrough notes what votes w makes; see invariants_keep.go.
func (r *recorder) votesThrough(p *peer, w write) {
	at, through := p.disk.hardState.Promised, uint64(0)
	for _, e := range w.entries {
		if e.Ballot == at {
			through = max(through, e.Slot)
		}
	}
	for _, e := range p.disk.entries {
		if e.Slot != 0 && e.Slot <= through {
			r.note(fact{kind: factVoted, slot: e.Slot, ballot: at, value: string(e.Value)})
		}
	}
}

func (r *recorder) sent(p *peer, m paxos.Message) {
	switch m.Kind {
	case paxos.MsgPrepare, paxos.MsgPromise:
		if p.disk.hardState.Promised.Less(m.Ballot) {
			r.fail("durable-before-speak", "node %d sends %v at %v; durable is %v", p.id, m.Kind, m.Ballot, p.disk.hardState.Promised)
		}
		if m.Kind == paxos.MsgPrepare {
			r.note(fact{kind: factUsed, ballot: m.Ballot, life: p.life})
		}
	case paxos.MsgCatchUpReply:
		for _, e := range m.Entries {
			r.note(fact{kind: factHandedOn, slot: e.Slot, value: string(e.Value)})
		}
	case paxos.MsgAccepted:
		if !r.catalog.world.keeps() {
			m.Chosen = 0 // a leader does not look at it
		}
	}
	if r.catalog.world.carries(m.Kind) {
		r.note(fact{kind: factSaid, message: &m})
	}
}

func (r *recorder) applied(p *peer, e paxos.Entry) {
	if next := p.node.Status().Applied + 1; e.Slot != next {
		r.fail("applied-prefix", "node %d applies slot %d; %d is next", p.id, e.Slot, next)
	}
	r.note(fact{kind: factApplied, slot: e.Slot, value: string(e.Value)})
}

// No world has snapshots.
func (r *recorder) restored(*peer) {}
func (r *recorder) fetching(*peer) {}

func (r *recorder) read(*peer, paxos.Read) {}

// addFact numbers f.
func (c *catalog) addFact(f fact) int32 {
	key := []byte{byte(f.kind), byte(f.life)}
	if f.kind == factSaid {
		key = f.message.AppendState(key)
	} else {
		key = binary.AppendUvarint(key, f.slot)
		key = binary.AppendUvarint(key, f.ballot.Pack())
		key = append(key, f.value...)
	}
	if i, ok := c.facts.find(key); ok {
		return i
	}
	if f.kind == factSaid {
		to := &c.mail[f.message.To-1]
		f.event = firstDelivery + event(len(*to))
		*to = append(*to, f.message)
	}
	return c.facts.add(key, &f)
}

// message returns what the delivery e brings to node.
func (c *catalog) message(node int, e event) *paxos.Message {
	return c.mail[node][e-firstDelivery]
}

// addPast numbers a history, and judges what it says about its own node.
func (c *catalog) addPast(facts []int32) int32 {
	key := appendNumbers(nil, facts)
	if i, ok := c.pasts.find(key); ok {
		return i
	}
	h := &past{facts: facts}
	for _, i := range facts {
		if f := c.facts.items[i]; f.kind == factSaid {
			h.to[f.message.To-1] = append(h.to[f.message.To-1], f.event)
			if f.message.Kind != paxos.MsgAccept {
				continue
			}
		}
		h.judged = append(h.judged, i)
	}
	h.bad = c.judgeAlone(h)
	return c.pasts.add(key, h)
}

// judgeAlone: what was acknowledged is durable at that very ballot (rules 2 and
// 14), and no ballot is used in two lives (rule 8).
func (c *catalog) judgeAlone(h *past) *failure {
	votes, lives := map[slotBallot]bool{}, map[paxos.Ballot]int{}
	for _, i := range h.judged {
		switch f := c.facts.items[i]; f.kind {
		case factVoted:
			votes[slotBallot{f.slot, f.ballot}] = true
		case factUsed:
			if life, ok := lives[f.ballot]; ok && life != f.life {
				return &failure{monitor: "ballot-unique", detail: fmt.Sprintf("ballot %v is used in two lives", f.ballot)}
			}
			lives[f.ballot] = f.life
		}
	}
	if c.world.keeps() {
		return nil // of kept slots an acknowledgement is no vote
	}
	for _, i := range h.facts {
		m := c.facts.items[i].message
		if m == nil || m.Kind != paxos.MsgAccepted && m.Kind != paxos.MsgHeartbeatReply || m.Lo == 0 {
			continue
		}
		for s := m.Lo; s <= m.Hi; s++ {
			if !votes[slotBallot{s, m.Ballot}] {
				return &failure{monitor: "durable-before-speak", detail: fmt.Sprintf("%s, and slot %d was never durable there at that ballot", describe(*m), s)}
			}
		}
	}
	return nil
}
