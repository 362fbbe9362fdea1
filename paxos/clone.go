package paxos

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
)

// Clone returns a node in the same state that shares nothing with n but values
// and messages, which nobody changes. It reads what is durable from storage,
// which must hold what n's own Storage holds. It is meant for explorers of the
// state space; only the jitter of its timers is drawn anew.
func (n *Node) Clone(storage Storage) *Node {
	c := *n
	c.cfg.Storage = storage
	c.members.ids = slices.Clone(n.members.ids)
	c.marks = slices.Clone(n.marks)
	c.configs = slices.Clone(n.configs)
	for i := range c.configs {
		config := *c.configs[i]
		c.configs[i] = &config
	}
	c.rng = rand.New(rand.NewPCG(n.cfg.Seed, uint64(n.cfg.ID)))
	c.log.storage = storage
	c.log.recent = maps.Clone(n.log.recent)
	c.log.settled = slices.Clone(n.log.settled)
	c.log.dirty = slices.Clone(n.log.dirty)
	c.acc.accepted = slices.Clone(n.acc.accepted)
	c.acc.durable = slices.Clone(n.acc.durable)
	c.acc.again = slices.Clone(n.acc.again)
	c.out.now = slices.Clone(n.out.now)
	c.out.after = slices.Clone(n.out.after)
	c.out.reads = slices.Clone(n.out.reads)
	if n.out.install != nil {
		s := *n.out.install
		c.out.install = &s
	}
	c.out.pending = slices.Clone(n.out.pending)
	if n.cand != nil {
		d := *n.cand
		d.wanted = slices.Clone(d.wanted)
		d.best = maps.Clone(d.best)
		c.cand = &d
	}
	if n.lead != nil {
		l := *n.lead
		l.found = maps.Clone(l.found)
		l.flight = slices.Clone(l.flight)
		l.matched = slices.Clone(l.matched)
		l.contact = slices.Clone(l.contact)
		l.unsent = slices.Clone(l.unsent)
		l.reads = slices.Clone(l.reads)
		l.acked = slices.Clone(l.acked)
		l.streams = slices.Clone(l.streams)
		l.wanted = slices.Clone(l.wanted)
		l.settled = slices.Clone(l.settled)
		l.granted = slices.Clone(l.granted)
		c.lead = &l
	}
	return &c
}

// Future says what may still happen to a node.
type Future struct {
	Campaign bool // it may start an election
	Restart  bool // it may crash and be opened again on its disk
}

// AppendState appends a canonical encoding of what n will do. Two nodes of one
// Config whose encodings are equal, and whose Storages hold the same, answer any
// calls alike - as long as no timeout of ElectionTicks runs out, HeartbeatTicks
// is 1, CheckQuorum and PrePrepare are off, and there are no leases: what only says how long ago
// something happened is left out, as are counters, and what can no longer be
// looked at (reports of chosen slots, a notice that was fulfilled). What only
// matters to something that will not happen is left out too.
func (n *Node) AppendState(dst []byte, f Future) []byte {
	e := encoder{dst}
	e.num(uint64(n.role), uint64(n.leader), n.promised.Pack(), n.out.durablePromise.Pack(), n.out.written.Promised.Pack())
	e.num(n.log.last, n.log.compacted, n.chosen, n.handed, n.applied, n.snapshot, n.floor)
	if f.Campaign {
		e.num(n.highest.Round)
	}
	if f.Restart {
		e.num(n.out.written.Chosen)
	}
	e.num(n.attempt.id)
	if n.notice.chosen > n.chosen {
		e.num(1, n.notice.ballot.Pack(), n.notice.chosen)
	} else {
		e.num(0)
	}
	n.appendFetch(&e)
	n.appendMembers(&e)
	e.num(n.acc.ballot.Pack())
	e.spans(n.acc.accepted)
	e.spans(n.acc.durable)
	e.slots(n.acc.again)
	e.num(n.acc.match)
	n.appendLog(&e)
	n.appendOutbox(&e)
	switch {
	case n.role == PreCandidate:
		e.num(n.attempt.ballot.Pack(), uint64(n.attempt.yes), uint64(n.attempt.no))
	case n.cand != nil:
		n.appendCandidacy(&e)
	case n.lead != nil:
		n.appendLeadership(&e)
	}
	return e.dst
}

// appendMembers encodes what the members have become; that they are the founders
// goes without saying.
func (n *Node) appendMembers(e *encoder) {
	e.slots(n.marks)
	e.num(n.configBase, uint64(len(n.configs)-1))
	for _, c := range n.configs {
		if c.slot != 0 {
			e.num(c.slot, c.from, c.seal, flag(c.sealed))
			e.bytes(encodeMembers(c.Members))
		}
	}
	if n.boundary() != 0 {
		e.num(n.out.durableChosen, n.out.written.Chosen)
		for _, p := range n.out.pending {
			e.num(p.chosen)
		}
	}
}

func (n *Node) appendFetch(e *encoder) {
	f := n.fetch
	if f.target <= n.chosen {
		f.target = 0
	}
	if f.wait == 0 {
		f.asked = 0
	}
	if !n.keeps() {
		f.seen = 0
	}
	e.num(f.target, uint64(f.wait), uint64(f.tries), f.asked, f.seen, uint64(f.from))
}

// appendLog encodes what Storage does not hold yet; a durable entry that is
// still remembered is the same as one that is not.
func (n *Node) appendLog(e *encoder) {
	slots := make([]uint64, 0, len(n.log.recent))
	for slot, r := range n.log.recent {
		if r.token != 0 {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	e.num(uint64(len(slots)))
	for _, slot := range slots {
		r := n.log.recent[slot]
		e.num(n.out.next - r.token) // tokens count: only their order matters
		e.entries(r.Entry)
	}
	e.slots(n.log.dirty)
}

func (n *Node) appendOutbox(e *encoder) {
	e.num(n.out.truncate)
	e.messages(n.out.now)
	e.messages(n.out.after)
	e.num(uint64(len(n.out.reads)))
	for _, r := range n.out.reads {
		e.num(r.ID, r.Slot, flag(r.Refused))
	}
	e.num(uint64(n.out.fetch.From), n.out.fetch.Slot)
	if n.out.install != nil {
		e.num(n.out.install.Slot)
		e.bytes(n.out.install.Data)
	} else {
		e.num(0)
	}
	e.num(uint64(len(n.out.pending)))
	for _, p := range n.out.pending {
		e.num(n.out.next-p.token, p.promised.Pack(), uint64(len(p.entries)))
		for i := range p.entries {
			e.num(p.entries[i].Slot)
		}
	}
}

func (n *Node) appendCandidacy(e *encoder) {
	c := n.cand
	e.num(c.floor, c.mandate.Pack(), uint64(c.promises), uint64(c.no), max(c.highest, n.edge()))
	for i, slot := range c.wanted {
		if !c.promises.has(i) {
			e.num(slot)
		}
	}
	e.found(c.best, n.edge()+1)
}

func (n *Node) appendLeadership(e *encoder) {
	l := n.lead
	e.num(l.first)
	for _, s := range l.streams {
		e.num(s.sent, s.from, min(n.now-s.since, 2*uint64(n.cfg.HeartbeatTicks)), s.quiet-min(n.now, s.quiet))
	}
	e.num(l.ballot.Pack(), l.next, l.decided, l.floor, max(l.barrier, n.chosen), l.notified, l.nextHeartbeat-min(n.now, l.nextHeartbeat))
	e.found(l.found, l.next)
	for s := l.decided + 1; s < l.next; s++ {
		p := &l.flight[s&l.mask]
		e.num(uint64(p.votes), min(n.now-p.sent, 2*uint64(n.cfg.HeartbeatTicks)))
	}
	e.num(uint64(l.transfer.to), l.transfer.until-min(n.now, l.transfer.until), flag(l.transfer.sent))
	if len(n.configs) > 1 || n.configBase != 0 {
		e.num(uint64(l.promises), l.limit, flag(l.sealing))
		e.slots(l.wanted)
		e.slots(l.settled)
	}
	for i := range l.matched {
		e.num(max(l.matched[i], l.decided), l.acked[i])
	}
	e.num(uint64(len(l.unsent)))
	e.entries(l.unsent...)
	e.num(l.round, flag(l.roundOpen), l.confirmed, uint64(len(l.reads)))
	for _, r := range l.reads {
		e.num(r.id, r.slot, r.round)
	}
}

// AppendState appends an encoding of m: equal ones are of equal messages.
func (m *Message) AppendState(dst []byte) []byte {
	e := encoder{dst}
	e.messages([]Message{*m})
	return e.dst
}

// encoder writes numbers so that a sequence of them can be read in one way only.
type encoder struct{ dst []byte }

func (e *encoder) num(ns ...uint64) {
	for _, n := range ns {
		e.dst = binary.AppendUvarint(e.dst, n)
	}
}

func (e *encoder) slots(slots []uint64) {
	e.num(uint64(len(slots)))
	e.num(slots...)
}

func (e *encoder) spans(s spans) {
	e.num(uint64(len(s)))
	for _, r := range s {
		e.num(r.lo, r.hi)
	}
}

func (e *encoder) entries(es ...Entry) {
	for i := range es {
		e.num(es[i].Slot, es[i].Ballot.Pack())
		e.bytes(es[i].Value)
	}
}

func (e *encoder) bytes(b []byte) {
	e.num(uint64(len(b)))
	e.dst = append(e.dst, b...)
}

// found encodes the reports of the slots from lo on.
func (e *encoder) found(best map[uint64]Entry, lo uint64) {
	slots := make([]uint64, 0, len(best))
	for slot := range best {
		if slot >= lo {
			slots = append(slots, slot)
		}
	}
	slices.Sort(slots)
	e.num(uint64(len(slots)))
	for _, slot := range slots {
		e.entries(best[slot])
	}
}

func (e *encoder) messages(ms []Message) {
	e.num(uint64(len(ms)))
	for i := range ms {
		m := &ms[i]
		e.num(uint64(m.Kind), uint64(m.From), uint64(m.To), m.Ballot.Pack(), m.Promised.Pack(), uint64(m.Leader), m.Lo, m.Hi, m.Chosen,
			m.ID, m.Settled, m.Time, flag(m.Done), m.Tip.Ballot.Pack(), m.Tip.Slot, uint64(len(m.Entries)))
		e.bytes(m.Data)
		e.entries(m.Entries...)
	}
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
