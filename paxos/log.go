package paxos

import (
	"fmt"
	"maps"
	"slices"
)

const (
	// recentBytes bounds the values of durable entries kept in memory.
	recentBytes = 8 << 20
	// readRun bounds the slots asked of Storage at once, so that a page over a
	// mostly remembered range reads little too much.
	readRun = 512
)

// record is an accepted entry in memory. It becomes durable with token; 0 says
// that it is.
type record struct {
	Entry
	token uint64
}

// slotLog is what this node has accepted: entries that are not yet durable and
// a bounded number of recent ones in memory, the others in Storage.
type slotLog struct {
	storage Storage
	recent  map[uint64]record
	// settled are durable slots in the order in which they leave memory.
	settled      []settledSlot
	settledBytes int
	keep         int
	// dirty are the slots changed since the last Ready.
	dirty []uint64
	last  uint64
	// whole is a slot up to which no slot is missing, as far as was looked.
	whole uint64
	// compacted: every slot through it is chosen, and only a snapshot holds it. It
	// is no gap, and must never be read as one. base is its ballot.
	compacted uint64
	base      Ballot
	// err is the first error of Storage. Nothing leaves the core after it.
	err error
}

type settledSlot struct {
	slot uint64
	size int
}

func newSlotLog(s Storage, keep int) slotLog {
	l := slotLog{storage: s, recent: map[uint64]record{}, keep: keep, compacted: s.Compacted()}
	_, l.last = s.Bounds()
	l.last = max(l.last, l.compacted)
	return l
}

// compact forgets every slot through to, what waits to be written included. The
// entry at to has the ballot base.
func (l *slotLog) compact(to uint64, base Ballot) {
	if to >= l.compacted {
		l.compacted, l.base = to, base
	}
	l.last = max(l.last, to)
	maps.DeleteFunc(l.recent, func(slot uint64, _ record) bool { return slot <= to })
	l.dirty = slices.DeleteFunc(l.dirty, func(slot uint64) bool { return slot <= to })
}

// get returns the entry accepted at slot.
func (l *slotLog) get(slot uint64) (Entry, bool) {
	if slot > l.last || slot <= l.compacted {
		return Entry{}, false
	}
	if r, ok := l.recent[slot]; ok {
		return r.Entry, true
	}
	es := l.stored(slot, slot+1, 0)
	if len(es) == 0 {
		return Entry{}, false
	}
	return es[0], true
}

// prefix returns the end of the gap-free prefix; every slot through chosen is
// part of it.
func (l *slotLog) prefix(chosen uint64) uint64 {
	l.whole = max(l.whole, chosen)
	for l.whole < l.last {
		if _, ok := l.get(l.whole + 1); !ok {
			break
		}
		l.whole++
	}
	return l.whole
}

// put records e; it is durable once token is.
func (l *slotLog) put(e Entry, token uint64) {
	l.recent[e.Slot] = record{e, token}
	l.dirty = append(l.dirty, e.Slot)
	l.last = max(l.last, e.Slot)
}

// truncate drops every slot from the given one on.
func (l *slotLog) truncate(from uint64) {
	gone := func(slot uint64) bool { return slot >= from }
	maps.DeleteFunc(l.recent, func(slot uint64, _ record) bool { return gone(slot) })
	l.dirty = slices.DeleteFunc(l.dirty, gone)
	l.last, l.whole = from-1, min(l.whole, from-1)
}

// takeDirty returns the entries changed since it was last called, by slot.
func (l *slotLog) takeDirty() []Entry {
	if len(l.dirty) == 0 {
		return nil
	}
	slices.Sort(l.dirty)
	l.dirty = slices.Compact(l.dirty)
	es := make([]Entry, len(l.dirty))
	for i, slot := range l.dirty {
		es[i] = l.recent[slot].Entry
	}
	l.dirty = l.dirty[:0]
	return es
}

// settle notes that token is durable. It reports whether the entry at slot is
// the one that token carried; a later one may have replaced it.
func (l *slotLog) settle(slot, token uint64) (Entry, bool) {
	r, ok := l.recent[slot]
	if !ok || r.token != token {
		return Entry{}, false
	}
	r.token = 0
	l.recent[slot] = r
	l.settled = append(l.settled, settledSlot{slot, len(r.Value)})
	l.settledBytes += len(r.Value)
	l.evict()
	return r.Entry, true
}

// evict forgets the oldest durable entries beyond the bounds.
func (l *slotLog) evict() {
	drop := 0
	for len(l.settled)-drop > l.keep || l.settledBytes > recentBytes {
		old := l.settled[drop]
		drop++
		l.settledBytes -= old.size
		if r, ok := l.recent[old.slot]; ok && r.token == 0 {
			delete(l.recent, old.slot)
		}
	}
	// The queue moves to the front only now and then, to stay cheap.
	if drop > 0 {
		l.settled = l.settled[drop:]
	}
}

// read returns the accepted entries of [lo, hi) in slot order until their
// values exceed maxBytes (at least one, if there is one), and the first slot
// that it did not look at.
func (l *slotLog) read(lo, hi uint64, maxBytes int) (es []Entry, next uint64) {
	if lo <= l.compacted {
		panic(fmt.Sprintf("paxos: the log breaks rule 5: slot %d is compacted (through %d), and no gap", lo, l.compacted))
	}
	hi = min(hi, l.last+1)
	size := 0
	add := func(e Entry) bool {
		if size += len(e.Value); size > maxBytes && len(es) > 0 {
			return false
		}
		if es == nil {
			es = make([]Entry, 0, min(hi-lo, 64))
		}
		es = append(es, e)
		return true
	}
	for lo < hi {
		if r, ok := l.recent[lo]; ok {
			if !add(r.Entry) {
				return es, lo
			}
			lo++
			continue
		}
		end := lo + 1
		for end < hi && end < lo+readRun && !l.remembers(end) {
			end++
		}
		stored := l.stored(lo, end, maxBytes-size)
		if len(stored) == 0 {
			lo = end
			continue
		}
		for _, e := range stored {
			if !add(e) {
				return es, e.Slot
			}
			lo = e.Slot + 1
		}
	}
	return es, max(lo, hi)
}

func (l *slotLog) remembers(slot uint64) bool {
	_, ok := l.recent[slot]
	return ok
}

func (l *slotLog) stored(lo, hi uint64, maxBytes int) []Entry {
	if l.err != nil {
		return nil
	}
	es, err := l.storage.Entries(lo, hi, max(maxBytes, 0))
	if err != nil {
		l.err = fmt.Errorf("paxos: reading slots [%d, %d): %w", lo, hi, err)
		return nil
	}
	return es
}
