package paxostest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"gfslab/paxos"
)

// peer is one member with its disk. It does for the core what an engine does,
// in the order that paxos.Ready demands.
type peer struct {
	id     paxos.NodeID
	config paxos.Config
	node   *paxos.Node
	up     bool
	gone   bool // for good
	// life counts the incarnations.
	life int
	disk *disk
	// writes are under way, oldest first.
	writes []write
	// cut is the slot through which the next write cuts the log, 0 = none.
	cut uint64
	// apply waits for the state machine.
	apply []work
	// state is the state machine's, after stateAt.
	state       uint64
	stateAt     uint64
	stateBallot paxos.Ballot
	// fetch is the snapshot that is being brought.
	fetch    paxos.Fetch
	rate     float64 // of its clock: nanoseconds a tick
	fetchDue int     // the tick at which it arrives
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
	cut       uint64 // the slot through which the log is cut, 0 = none
	after     []paxos.Message
}

// work is what the state machine does next: execute an entry, or take over a
// snapshot's state.
type work struct {
	entry   paxos.Entry
	install *snapshot
}

// snapshot is one on a disk: what the core is told of it, and the state.
type snapshot struct {
	paxos.Snapshot
	state   uint64
	fetched bool
}

// after is the state that follows state by executing value: any two histories
// that differ give different states.
func after(state uint64, value []byte) uint64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.LittleEndian, state)
	_, _ = h.Write(value)
	return h.Sum64()
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
	// restored: the state machine took over a snapshot's state, as it does when a
	// life begins.
	restored(p *peer)
	// fetching: p asks for a snapshot; see peer.fetched.
	fetching(p *peer)
	// read: a read was confirmed or refused.
	read(p *peer, r paxos.Read)
}

// start opens a new life on what the disk holds.
func (p *peer) start() error {
	p.disk.mend(p.config.Switches.OldSlots == paxos.Kept)
	c := p.config
	c.HardState, c.Storage, c.Snapshot = p.disk.hardState, p.disk, p.disk.snapshot.Snapshot
	c.Seed += uint64(p.life) * 7919
	n, err := paxos.New(c)
	if err != nil {
		return fmt.Errorf("node %d does not start: %w", p.id, err)
	}
	p.node, p.up, p.owned = n, true, map[uint64]string{}
	p.take(p.disk.snapshot)
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
	p.up, p.node, p.writes, p.apply, p.cut, p.fetch = false, nil, nil, nil, 0, paxos.Fetch{}
}

// drain takes everything that the core has to hand out.
func (p *peer) drain() {
	for p.node.HasReady() {
		rd := p.node.Ready()
		p.world.handed(p, rd)
		if rd.Token != 0 {
			w := write{rd.Token, p.world.writeDelay(p), rd.HardState, rd.TruncateFrom, rd.Entries, p.cut, rd.SendAfterPersist}
			if p.cut = 0; rd.Install != nil {
				w.cut = rd.Install.Slot
			}
			p.writes = append(p.writes, w)
		}
		if rd.Install != nil {
			s := p.disk.snapshot // it is durable since Fetched
			p.apply = append(p.apply, work{install: &s})
		}
		for _, m := range rd.SendNow {
			p.world.sent(p, m)
		}
		for _, e := range rd.Apply {
			p.apply = append(p.apply, work{entry: e})
		}
		for _, r := range rd.Reads {
			p.world.read(p, r)
		}
		if rd.Fetch.From != 0 {
			p.fetch = rd.Fetch
			p.world.fetching(p)
		}
	}
}

// capture saves a snapshot of what is applied. The log is cut through all but the
// newest trailing slots of it, with the next write.
func (p *peer) capture(trailing uint64) {
	slot := p.stateAt
	if slot <= p.disk.snapshot.Slot {
		return
	}
	p.disk.snapshot = snapshot{paxos.Snapshot{Slot: slot, Ballot: p.stateBallot, Data: p.node.SnapshotData(slot)}, p.state, false}
	p.cut = max(p.cut, slot-min(slot, trailing))
	p.node.Compact(p.cut, p.disk.snapshot.Snapshot)
	p.drain()
}

// take makes the snapshot's state the state machine's.
func (p *peer) take(s snapshot) { p.state, p.stateAt, p.stateBallot = s.state, s.Slot, s.Ballot }

// fetched ends the fetch that is under way: with a snapshot of from, which is
// durable here from now on, or, if it is not to be had, with a failure.
func (p *peer) fetched(from *peer, tell bool) {
	f := p.fetch
	if s := from.disk.snapshot; s.Slot < f.Slot || s.Slot <= p.disk.snapshot.Slot {
		p.node.FetchFailed(f.From)
	} else if p.disk.snapshot, p.disk.snapshot.fetched = s, true; tell {
		p.node.Fetched(s.Snapshot)
	}
	p.fetch = paxos.Fetch{}
	p.drain()
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
		w := p.apply[0]
		if p.apply = p.apply[1:]; w.install != nil {
			p.take(*w.install)
			p.world.restored(p)
		} else {
			p.state, p.stateAt = after(p.state, w.entry.Value), w.entry.Slot
			p.stateBallot = w.entry.Ballot
			p.world.applied(p, w.entry)
		}
		p.node.Applied(p.stateAt)
		p.drain()
	}
}

// disk holds what is durable on one node.
type disk struct {
	hardState paxos.HardState
	entries   []paxos.Entry // by slot; Slot 0 = nothing there
	first     uint64
	last      uint64
	compacted uint64
	snapshot  snapshot
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
	d.compact(w.cut)
	for _, e := range w.entries {
		if e.Slot <= d.compacted {
			panic(fmt.Sprintf("paxostest: slot %d is written, and the log is cut through %d", e.Slot, d.compacted))
		}
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

func (d *disk) compact(to uint64) {
	if to <= d.compacted {
		return
	}
	d.compacted, d.first = to, 0
	for s := range d.entries {
		if uint64(s) <= to {
			d.entries[s] = paxos.Entry{}
		} else if d.first == 0 && d.entries[s].Slot != 0 {
			d.first = uint64(s)
		}
	}
	if d.first == 0 {
		d.last = 0
	}
}

// mend finishes the installation of a fetched snapshot that a crash cut short.
func (d *disk) mend(kept bool) {
	s := d.snapshot
	if !s.fetched || d.compacted >= s.Slot {
		return
	}
	if kept && (s.Slot >= uint64(len(d.entries)) || d.entries[s.Slot].Ballot != s.Ballot) {
		d.entries, d.first, d.last = nil, 0, 0
	}
	d.compact(s.Slot)
}

// Compacted implements paxos.Storage.
func (d *disk) Compacted() uint64 { return d.compacted }

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
