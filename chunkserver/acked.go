package chunkserver

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// maxAcked bounds the acknowledged mutations that a primary remembers a chunk: at
	// some 200 bytes each, 0.8 MB.
	maxAcked = 4096
	// ackedFor is how long it remembers one: longer than a client goes on asking. All
	// chunks together take what was acknowledged in that time.
	ackedFor = 10 * time.Minute
)

// ackedRecord answers a replayed append with the first one's offset. The chunk's mu
// guards it. The zero value is ready for use.
type ackedRecord struct {
	items map[dataKey]*attempt
	order []dataKey // acknowledged ones, oldest first
}

// attempt is one append under way or acknowledged.
type attempt struct {
	done    chan struct{} // closed when settled, and then nil
	ok      bool          // acknowledged: the fields below hold
	offset  uint64
	version uint64
	serial  uint64
	at      time.Duration // since the chunkserver's start
}

// begin returns the attempt with this key and whether the caller started it; done is
// closed, or nil, when it is settled.
func (r *ackedRecord) begin(key dataKey) (a *attempt, done chan struct{}, mine bool) {
	if a, ok := r.items[key]; ok {
		return a, a.done, false
	}
	if r.items == nil {
		r.items = make(map[dataKey]*attempt)
	}
	a = &attempt{done: make(chan struct{})}
	r.items[key] = a
	return a, a.done, true
}

// fail forgets the attempt: a retry gets a new offset.
func (r *ackedRecord) fail(key dataKey, a *attempt) {
	delete(r.items, key)
	a.settle()
}

func (a *attempt) settle() {
	close(a.done)
	a.done = nil
}

// succeed remembers the attempt and forgets the oldest above the bound.
func (r *ackedRecord) succeed(key dataKey, a *attempt, m *mutation, at time.Duration) {
	a.ok, a.offset, a.version, a.serial, a.at = true, m.offset, m.lease.version, m.serial, at
	a.settle()
	r.order = append(r.order, key)
	if len(r.order) > maxAcked {
		r.forgetOldest()
	}
}

func (r *ackedRecord) forgetOldest() {
	delete(r.items, r.order[0])
	r.order[0] = dataKey{} // the client's name
	r.order = r.order[1:]
}

// expire forgets what was acknowledged before a time, and reports whether nothing
// acknowledged is left.
func (r *ackedRecord) expire(before time.Duration) (empty bool) {
	for len(r.order) > 0 && r.items[r.order[0]].at < before {
		r.forgetOldest()
	}
	if len(r.order) > 0 {
		return false
	}
	r.order = nil
	if len(r.items) == 0 {
		r.items = nil // a map keeps the room that it once took
	}
	return true
}

// ackedChunks are the chunks that remember something, so that it can be forgotten
// while nothing is done to them.
type ackedChunks struct {
	mu     sync.Mutex // never held while anything blocks; taken with a chunk's mu held
	chunks map[*chunk]struct{}
	swept  time.Time
}

func (k *ackedChunks) add(c *chunk) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chunks == nil {
		k.chunks = make(map[*chunk]struct{})
	}
	k.chunks[c] = struct{}{}
}

func (k *ackedChunks) drop(c *chunk) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.chunks, c)
}

// due lists the chunks if it is time to look through them.
func (k *ackedChunks) due(now time.Time) []*chunk {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.chunks) == 0 || now.Sub(k.swept) < ackedFor/10 {
		return nil
	}
	k.swept = now
	return slices.Collect(maps.Keys(k.chunks))
}

// age is the time since the chunkserver's start.
func (s *Server) age(now time.Time) time.Duration { return now.Sub(s.begun) }

// forgetAcked forgets, now and then, the mutations that nobody asks for any more.
func (s *Server) forgetAcked() {
	now := s.opts.Now()
	for _, c := range s.acked.due(now) {
		c.mu.Lock()
		if c.acked.expire(s.age(now) - ackedFor) {
			s.acked.drop(c)
		}
		c.mu.Unlock()
	}
}
