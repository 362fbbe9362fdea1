package chunkserver

import "container/list"

// maxAcked bounds the acknowledged appends that a primary remembers a chunk.
const maxAcked = 4096

// ackedRecord answers a replayed append with the first one's offset. The
// chunk's mu guards it.
type ackedRecord struct {
	items map[dataKey]*attempt
	order *list.List // keys of acknowledged ones, oldest first
}

// attempt is one append under way or acknowledged.
type attempt struct {
	done    chan struct{} // closed when settled
	ok      bool          // acknowledged: the fields below hold
	offset  uint64
	version uint64
	serial  uint64
}

func newAckedRecord() *ackedRecord {
	return &ackedRecord{items: make(map[dataKey]*attempt), order: list.New()}
}

// begin returns the attempt with this key and whether the caller started it.
func (r *ackedRecord) begin(key dataKey) (*attempt, bool) {
	if a, ok := r.items[key]; ok {
		return a, false
	}
	a := &attempt{done: make(chan struct{})}
	r.items[key] = a
	return a, true
}

// fail forgets the attempt: a retry gets a new offset.
func (r *ackedRecord) fail(key dataKey, a *attempt) {
	delete(r.items, key)
	close(a.done)
}

// succeed remembers the attempt and forgets the oldest above the bound.
func (r *ackedRecord) succeed(key dataKey, a *attempt, m *mutation) {
	a.ok, a.offset, a.version, a.serial = true, m.offset, m.lease.version, m.serial
	close(a.done)
	r.order.PushBack(key)
	if r.order.Len() > maxAcked {
		delete(r.items, r.order.Remove(r.order.Front()).(dataKey))
	}
}
