package storage

// position says where the record that holds an entry starts: segment number
// and offset in it, 32 bits each. 0 = no entry.
type position uint64

func makePosition(segment uint64, offset int64) position {
	return position(segment<<32 | uint64(offset))
}

func (p position) segment() uint64 { return uint64(p >> 32) }
func (p position) offset() int64   { return int64(p & 0xffffffff) }

// slot is what the index knows of one entry. It has no pointers, so that the
// garbage collector does not walk a long log.
type slot struct {
	stamp uint64
	pos   position
	size  uint32
}

// index is the in-memory picture of the durable log: stamp and place of every
// entry, and the data of the newest ones.
type index struct {
	slots     window[slot]
	tail      window[[]byte] // nil = not kept
	tailBytes int64
	tailLimit int64
	compacted uint64
	count     int
	live      map[uint64]int // entries per segment
	hardState []byte
	stable    map[string][]byte
}

func newIndex(tailLimit int64) *index {
	return &index{tailLimit: tailLimit, live: map[uint64]int{}, stable: map[string][]byte{}}
}

// apply puts a batch that became durable at pos. keepData says that the
// entries' bytes may be kept as they are; otherwise they are copied.
func (x *index) apply(b *Batch, pos position, keepData bool) {
	if b.HardState != nil {
		x.hardState = append(make([]byte, 0, len(b.HardState)), b.HardState...)
	}
	if b.TruncateFrom > 0 {
		x.truncate(b.TruncateFrom)
	}
	if b.CompactTo > 0 {
		x.compact(b.CompactTo)
	}
	for i := range b.Entries {
		x.put(&b.Entries[i], pos, keepData)
	}
	for _, kv := range b.Stable {
		if kv.Value == nil {
			delete(x.stable, kv.Key)
		} else {
			x.stable[kv.Key] = append([]byte{}, kv.Value...)
		}
	}
	x.evict()
}

func (x *index) put(e *Entry, pos position, keepData bool) {
	s := x.slots.reach(e.Index)
	if s.pos != 0 {
		x.forget(e.Index, s)
	}
	*s = slot{stamp: e.Stamp, pos: pos, size: uint32(len(e.Data))}
	x.live[pos.segment()]++
	x.count++
	if int64(len(e.Data)) > x.tailLimit {
		return
	}
	data := e.Data
	if !keepData || data == nil {
		data = append(make([]byte, 0, len(data)), data...)
	}
	if len(x.tail.items) > 0 {
		if e.Index+maxTailGap < x.tail.base {
			return
		}
		if e.Index > x.tail.end()+maxTailGap {
			x.tail, x.tailBytes = window[[]byte]{}, 0
		}
	}
	*x.tail.reach(e.Index) = data
	x.tailBytes += int64(len(data))
}

// forget takes an entry out of the counts, before its slot is overwritten.
func (x *index) forget(i uint64, s *slot) {
	seg := s.pos.segment()
	if x.live[seg]--; x.live[seg] == 0 {
		delete(x.live, seg)
	}
	x.count--
	if d := x.tail.at(i); d != nil && *d != nil {
		x.tailBytes -= int64(len(*d))
		*d = nil
	}
	s.pos = 0
}

func (x *index) truncate(from uint64) {
	for i := max(from, x.slots.base); i < x.slots.end(); i++ {
		if s := x.slots.at(i); s.pos != 0 {
			x.forget(i, s)
		}
	}
	x.slots.dropFrom(from)
	x.tail.dropFrom(from)
	// A gap in front of the cut is no longer inside the log.
	for n := len(x.slots.items); n > 0 && x.slots.items[n-1].pos == 0; n-- {
		x.slots.items = x.slots.items[:n-1]
	}
}

func (x *index) compact(to uint64) {
	for i := x.slots.base; i <= to && i < x.slots.end(); i++ {
		if s := x.slots.at(i); s.pos != 0 {
			x.forget(i, s)
		}
	}
	x.slots.dropTo(to)
	x.tail.dropTo(to)
	for len(x.slots.items) > 0 && x.slots.items[0].pos == 0 {
		x.slots.dropTo(x.slots.base)
	}
	x.compacted = max(x.compacted, to)
}

// evict drops the lowest entries' bytes until the tail fits its limit.
func (x *index) evict() {
	if x.tailBytes <= x.tailLimit {
		return
	}
	n := 0
	for ; x.tailBytes > x.tailLimit; n++ {
		x.tailBytes -= int64(len(x.tail.items[n]))
	}
	x.tail.dropTo(x.tail.base + uint64(n) - 1)
}

// bounds are the lowest and highest index present, 0, 0 when there is none.
// The ends of the slot window are always present entries.
func (x *index) bounds() (first, last uint64) {
	if x.count == 0 {
		return 0, 0
	}
	return x.slots.base, x.slots.end() - 1
}

// oldest is the oldest segment that holds an entry, or none.
func (x *index) oldest(none uint64) uint64 {
	for seg := range x.live {
		none = min(none, seg)
	}
	return none
}
