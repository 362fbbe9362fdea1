package paxostest

import (
	"fmt"

	"gfslab/paxos"
)

// peer is one member with its disk. It does for the core what an engine does,
// in the order that paxos.Ready demands.
type peer struct {
	id     paxos.NodeID
	config paxos.Config
	node   *paxos.Node
	up     bool
	// life counts the incarnations.
	life int
	disk *disk
	// writes are under way, oldest first.
	writes []write
	// apply waits for the state machine.
	apply []paxos.Entry
	// owned are the values proposed in this life, by slot.
	owned map[uint64]string
	world sink
}

// write is one batch on its way to the disk.
type write struct {
	token     uint64
	due       int // the tick at which it is durable
	hardState *paxos.HardState
	truncate  uint64
	entries   []paxos.Entry
	after     []paxos.Message
}

// sink is where a peer's effects go.
type sink interface {
	// handed: rd was handed out; nothing in it has happened yet.
	handed(p *peer, rd paxos.Ready)
	// writeDelay returns the tick at which a write that starts now is durable.
	writeDelay(p *peer) int
	// durable: w is on the disk.
	durable(p *peer, w write)
	// sent: m leaves p.
	sent(p *peer, m paxos.Message)
	// applied: the state machine executed e.
	applied(p *peer, e paxos.Entry)
	// read: a read was confirmed or refused.
	read(p *peer, r paxos.Read)
}

// start opens a new life on what the disk holds.
func (p *peer) start() error {
	c := p.config
	c.HardState, c.Storage = p.disk.hardState, p.disk
	c.Seed += uint64(p.life) * 7919
	n, err := paxos.New(c)
	if err != nil {
		return fmt.Errorf("node %d does not start: %w", p.id, err)
	}
	p.node, p.up, p.owned = n, true, map[uint64]string{}
	p.life++
	return nil
}

// crash ends the life. Of the writes under way the oldest survive may be on the
// disk nonetheless.
func (p *peer) crash(survive int) {
	for _, w := range p.writes[:survive] {
		p.disk.write(w)
		p.world.durable(p, w)
	}
	p.up, p.node, p.writes, p.apply = false, nil, nil, nil
}

// drain takes everything that the core has to hand out.
func (p *peer) drain() {
	for p.node.HasReady() {
		rd := p.node.Ready()
		p.world.handed(p, rd)
		if rd.Token != 0 {
			p.writes = append(p.writes, write{rd.Token, p.world.writeDelay(p), rd.HardState, rd.TruncateFrom, rd.Entries, rd.SendAfterPersist})
		}
		for _, m := range rd.SendNow {
			p.world.sent(p, m)
		}
		p.apply = append(p.apply, rd.Apply...)
		for _, r := range rd.Reads {
			p.world.read(p, r)
		}
	}
}

// persist completes the writes that are due.
func (p *peer) persist(now int) {
	for p.up && len(p.writes) > 0 && p.writes[0].due <= now {
		w := p.writes[0]
		p.writes = p.writes[1:]
		p.disk.write(w)
		p.world.durable(p, w)
		p.node.Persisted(w.token)
		for _, m := range w.after {
			p.world.sent(p, m)
		}
		p.drain()
	}
}

// execute lets the state machine apply up to max entries.
func (p *peer) execute(max int) {
	for ; p.up && len(p.apply) > 0 && max > 0; max-- {
		e := p.apply[0]
		p.apply = p.apply[1:]
		p.world.applied(p, e)
		p.node.Applied(e.Slot)
		p.drain()
	}
}

// disk holds what is durable on one node.
type disk struct {
	hardState paxos.HardState
	entries   []paxos.Entry // by slot; Slot 0 = nothing there
	first     uint64
	last      uint64
}

func (d *disk) write(w write) {
	if w.hardState != nil {
		d.hardState = *w.hardState
	}
	if w.truncate != 0 && w.truncate <= d.last {
		if d.entries, d.last = d.entries[:w.truncate], w.truncate-1; d.last < d.first {
			d.first, d.last = 0, 0
		}
	}
	for _, e := range w.entries {
		for uint64(len(d.entries)) <= e.Slot {
			d.entries = append(d.entries, paxos.Entry{})
		}
		d.entries[e.Slot] = e
		d.last = max(d.last, e.Slot)
		if d.first == 0 || e.Slot < d.first {
			d.first = e.Slot
		}
	}
}

// Entries implements paxos.Storage.
func (d *disk) Entries(lo, hi uint64, maxBytes int) ([]paxos.Entry, error) {
	var es []paxos.Entry
	size := 0
	for s := lo; s < min(hi, uint64(len(d.entries))); s++ {
		e := d.entries[s]
		if e.Slot == 0 {
			continue
		}
		if size += len(e.Value); size > maxBytes && len(es) > 0 {
			break
		}
		es = append(es, e)
	}
	return es, nil
}

// Bounds implements paxos.Storage.
func (d *disk) Bounds() (first, last uint64) { return d.first, d.last }
