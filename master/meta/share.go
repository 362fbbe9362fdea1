package meta

import (
	"encoding/binary"

	"gfslab/master/meta/metapb"
)

// copied is a file or directory that a snapshot copies.
type copied struct {
	above int // what it is in: an index among the others
	name  string
	node  node
	used  usage // at or below it
	id    uint64
}

// snapshot copies a file or a tree: names, attributes and extents. The chunks are
// shared from then on. What is hidden is not copied.
func (s *State) snapshot(at position, from, to string) reply {
	_, n, p, code := s.endpoints(from, to)
	if code != OK {
		return reply{code: code}
	}
	all, within := s.collect(n)
	if !within {
		return reply{code: TooLarge}
	}
	if !s.fits(p.dir, all[0].used) {
		return reply{code: Quota}
	}
	if handle := s.firstBusy(all); handle != 0 {
		return reply{code: LeaseHeld, handle: handle}
	}
	for i := range all {
		s.copyNode(at, p, all, i)
	}
	s.charge(p.dir, all[0].used)
	if p.shallow {
		s.deepen(to, len(to)+int(n.below))
	}
	return reply{id: all[0].id, count: uint64(len(all))}
}

// collect lists what is to be copied, directories before what is in them, unless
// it is too much for one command.
func (s *State) collect(n node) (all []copied, within bool) {
	all = []copied{{node: n}}
	entries := 0
	for i := 0; i < len(all); i++ {
		if all[i].node.dir {
			s.eachChild(all[i].node.id, func(name []byte, child node) bool {
				all = append(all, copied{above: i, name: string(name), node: child})
				return len(all)+entries <= maxEntries
			})
		} else {
			all[i].used = usage{files: 1, chunks: int64(s.countSlots(all[i].node.id))}
			entries += int(all[i].used.chunks)
		}
		if len(all)+entries > maxEntries {
			return nil, false
		}
	}
	for i := len(all) - 1; i > 0; i-- {
		above := &all[all[i].above].used
		above.files += all[i].used.files
		above.chunks += all[i].used.chunks
	}
	return all, true
}

// firstBusy is a chunk of these that has a lease or an intent, 0 if there is none.
func (s *State) firstBusy(all []copied) uint64 {
	for i := range all {
		if all[i].node.dir {
			continue
		}
		s.handles = s.handlesOf(s.handles[:0], all[i].node.id)
		for _, handle := range s.handles {
			var room [8]byte
			value, _ := s.chunks.Get(idKey(room[:0], handle))
			if c, _ := decodeChunk(handle, value); c.lease.epoch != 0 || c.intent.index != 0 {
				return handle
			}
		}
	}
	return 0
}

// copyNode makes the i-th copy, of which p is the place if it is the first.
func (s *State) copyNode(at position, p place, all []copied, i int) {
	c := &all[i]
	parent, name := p.dir, p.name
	if i == 0 {
		c.id = FileID(at.index, at.offset)
	} else {
		parent, name = all[c.above].id, c.name
		c.id = copyID(s.nextCopy)
		s.nextCopy++
	}
	n := node{id: c.id, dir: c.node.dir, below: c.node.below}
	s.setChild(parent, name, nil, &n)
	if a, found := s.loadAttributes(c.node.id); found {
		if a.limited() {
			a.used = c.used
			s.quotas++
		}
		a.hash = digest{}
		s.storeAttributes(n.id, &a)
	}
	if n.dir {
		s.setParent(n.id, parent)
		return
	}
	s.handles = s.handlesOf(s.handles[:0], c.node.id)
	s.addSlots(n.id, s.handles)
	for _, handle := range s.handles {
		shared, _ := s.loadChunk(handle)
		shared.refs++
		s.storeChunk(&shared)
	}
}

// copyLimit bounds the handles taken for copies that were never made: beyond it
// the oldest is forgotten, and can no more be used.
const copyLimit = 1 << 16

// privateCopy is what a handle was taken for.
type privateCopy struct {
	file   uint64
	slot   uint32
	handle uint64 // of the shared chunk
}

func (p privateCopy) encode(b []byte) []byte {
	return appendUints(b, p.file, uint64(p.slot), p.handle)
}

func decodeCopy(value []byte) (p privateCopy, ok bool) {
	d := decoder{b: value}
	p.file = d.uint()
	slot := d.uint()
	p.slot, p.handle = uint32(slot), d.uint()
	return p, d.ok() && slot < 1<<32
}

// shared looks up the chunk of a file in a slot: OK if it is the given one and in
// other slots too.
func (s *State) shared(file uint64, slot uint32, handle uint64) (c chunk, r reply) {
	if s.handleAt(file, slot) != handle || handle == 0 {
		return c, reply{code: Stale, handle: handle}
	}
	c, _ = s.loadChunk(handle)
	switch {
	case c.sealed: // no write will ever ask for a copy
		return c, reply{code: Sealed, handle: handle, version: c.version}
	case c.refs < 2:
		return c, reply{code: Stale, handle: handle, version: c.version}
	}
	return c, reply{}
}

// copyBegin takes a handle for a private copy of a shared chunk.
func (s *State) copyBegin(op *metapb.CopyBeginOp) reply {
	c, r := s.shared(op.File, op.Slot, op.Handle)
	if r.code != OK {
		return r
	}
	for s.copies.Len() >= copyLimit {
		for key := range s.copies.From(nil) {
			s.dropCopy(binary.BigEndian.Uint64(key))
			break
		}
	}
	var room [8]byte
	key := idKey(room[:0], s.nextHandle)
	s.scratch = privateCopy{op.File, op.Slot, op.Handle}.encode(s.scratch[:0])
	s.sum.add(itemHash('p', key, s.scratch))
	s.copies.Set(key, s.scratch)
	s.nextHandle++
	return reply{handle: s.nextHandle - 1, version: c.version}
}

// dropCopy forgets what a handle was taken for.
func (s *State) dropCopy(handle uint64) {
	var room [8]byte
	key := idKey(room[:0], handle)
	if value, found := s.copies.Get(key); found {
		s.sum.remove(itemHash('p', key, value))
		s.copies.Delete(key)
	}
}

// copyCommit puts a private copy in the place of a shared chunk.
func (s *State) copyCommit(op *metapb.CopyCommitOp) reply {
	c, r := s.shared(op.File, op.Slot, op.Handle)
	if r.code != OK {
		return r
	}
	var room [8]byte
	value, taken := s.copies.Get(idKey(room[:0], op.Copy))
	if p, _ := decodeCopy(value); !taken || p != (privateCopy{op.File, op.Slot, op.Handle}) ||
		op.Version != c.version || !s.within(op.Members, c.members) || (len(op.Members) == 0) != (c.version == 0) {
		return reply{code: Stale, handle: c.handle, version: c.version}
	}
	s.dropCopy(op.Copy)
	own := chunk{
		handle: op.Copy, kind: c.kind, refs: 1, goal: c.goal, version: c.version, reserved: c.version,
		members: s.addServers(op.Members),
	}
	s.storeChunk(&own)
	s.replaceSlot(op.File, op.Slot, c.handle, own.handle)
	s.dropChunk(&c)
	return reply{handle: own.handle, version: own.version}
}
