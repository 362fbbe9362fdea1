package paxostest

import (
	"encoding/binary"
	"slices"

	"gfslab/paxos"
)

// clone returns a peer in the same state whose effects go to another sink.
func (p *peer) clone(to sink) *peer {
	c := *p
	d := *p.disk
	d.entries = slices.Clone(d.entries)
	c.disk = &d
	c.node = p.node.Clone(c.disk)
	c.writes = slices.Clone(p.writes)
	c.world = to
	return &c
}

// complete makes the oldest write durable.
func (p *peer) complete() {
	w := p.writes[0]
	p.writes = p.writes[1:]
	p.disk.write(w)
	p.world.durable(p, w)
	p.node.Persisted(w.token)
	for _, m := range w.after {
		p.world.sent(p, m)
	}
}

// appendState appends a canonical encoding of the peer: its node, its disk and
// what is on the way to it. The hint of what is chosen counts only for a restart.
func (p *peer) appendState(dst []byte, f paxos.Future) []byte {
	hard := func(hs paxos.HardState) {
		dst = binary.AppendUvarint(dst, hs.Promised.Pack())
		if f.Restart {
			dst = binary.AppendUvarint(dst, hs.Chosen)
		}
	}
	entries := func(es []paxos.Entry) {
		dst = append(dst, byte(len(es)))
		for _, e := range es {
			dst = binary.AppendUvarint(dst, e.Slot)
			dst = binary.AppendUvarint(dst, e.Ballot.Pack())
			dst = append(dst, byte(len(e.Value)))
			dst = append(dst, e.Value...)
		}
	}
	dst = p.node.AppendState(dst, f)
	dst = append(dst, byte(p.life))
	durable := p.disk.hardState
	hard(durable)
	entries(p.disk.entries)
	dst = append(dst, byte(len(p.writes)))
	for _, w := range p.writes {
		if w.hardState != nil {
			durable = *w.hardState
		}
		hard(durable) // as it will be; whether it was written again is no matter
		entries(w.entries)
		dst = append(dst, byte(len(w.after)))
		for i := range w.after {
			dst = w.after[i].AppendState(dst)
		}
	}
	return dst
}
