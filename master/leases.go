package master

import (
	"sync"
	"time"

	"gfslab/master/meta"
)

// leases is what a leader knows of the chunks' leases beyond the log: when it
// last answered a claim, by its own monotonic clock. It is worth nothing in
// another term: then other leaders may have extended leases in between.
//
// Three facts make ending a lease safe. A primary acts until its own send time +
// D(1-rho), and that is before our receipt. We count D(1+rho) from our *last*
// granted answer. A lease granted or extended in an earlier term was so before
// that leader lost its authority, hence before our own term's first read barrier
// began: we count from there.
//
// One window is left: LeaseEnd is proposed only while the term is the one in
// which its safety was judged, but a replica that is deposed and elected again
// between that check and its Propose would not notice. Acknowledged data does not
// depend on it: each new grant is fenced by a version at a member of the old one.
type leases struct {
	term0, term1 time.Duration // D(1-rho), D(1+rho)
	now          func() time.Time

	mu      sync.Mutex // never held while anything blocks
	term    uint64
	since   time.Time // when the first barrier of the term had returned
	held    map[uint64]*held
	flights map[uint64]*flight
	copies  map[uint64]bool // handles that a copy in progress was given
	closed  bool
}

// held is what is known of a chunk's active lease.
type held struct {
	epoch uint64
	// start is the latest moment from which the primary may count: our last
	// granted answer, or the grant itself, or the own-term barrier.
	start   time.Time
	claimed bool // a claim was granted in this term
	fresh   bool // granted in this term: no earlier leader extended it
	silent  bool // granted in this term, but the primary did not answer
	untold  bool // inherited, and the primary did not answer
	ending  bool // no claim is granted any more
	ended   bool // the primary has acknowledged that it stopped
}

func newLeases(o Options) *leases {
	return &leases{
		term0: scaled(o.LeaseTerm, 1-o.Rho), term1: scaled(o.LeaseTerm, 1+o.Rho), now: o.Now,
		held: make(map[uint64]*held), flights: make(map[uint64]*flight), copies: make(map[uint64]bool),
	}
}

// enter notes that this replica had authority in term; knowledge of another term
// is thrown away.
func (l *leases) enter(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term != term {
		l.term, l.since = term, l.now()
		clear(l.held)
	}
}

// lookup returns the entry for the chunk's active lease; nil if nothing is known
// in this term. Call with mu held.
func (l *leases) lookup(term uint64, c meta.Chunk) *held {
	h := l.held[c.Handle]
	if l.term != term || h == nil || h.epoch != c.Epoch {
		return nil
	}
	return h
}

// inherit returns the entry, and makes one counted from the own-term barrier if
// there is none. It is nil if the term is over. Call with mu held.
func (l *leases) inherit(term uint64, c meta.Chunk) *held {
	if l.term != term {
		return nil
	}
	h := l.lookup(term, c)
	if h == nil {
		h = &held{epoch: c.Epoch, start: l.since}
		l.held[c.Handle] = h
	}
	return h
}

// live reports whether the primary may still be acting on the chunk's lease and
// nobody is ending it: clients are sent there.
func (l *leases) live(term uint64, c meta.Chunk) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.lookup(term, c)
	return h != nil && !h.ending && (h.claimed || !h.silent) && l.now().Before(h.start.Add(l.term0))
}

// startOf returns the latest moment from which the primary may count its lease, if
// anything is known of it.
func (l *leases) startOf(term uint64, c meta.Chunk) (start time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.lookup(term, c)
	if h == nil {
		return time.Time{}, false
	}
	return h.start, true
}

// known reports whether anything is known of the chunk's lease in this term.
func (l *leases) known(term uint64, c meta.Chunk) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lookup(term, c) != nil
}

// unanswered notes that the primary of a grant of this term did not answer its
// activation. If it learnt of it all the same, its claim says so.
func (l *leases) unanswered(term uint64, c meta.Chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.lookup(term, c); h != nil {
		h.silent = true
	}
}

// adopt makes an entry for an inherited lease; told is whether its primary answered
// when it was told of its grant.
func (l *leases) adopt(term uint64, c meta.Chunk, told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.inherit(term, c); h != nil {
		h.untold = !told
	}
}

// untold reports whether the primary of an inherited lease has neither answered nor
// claimed in this term.
func (l *leases) untold(term uint64, c meta.Chunk) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.lookup(term, c)
	return h != nil && h.untold && !h.claimed
}

// granted notes a grant of this term.
func (l *leases) granted(term, handle, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term != term {
		return
	}
	// The primary may have learnt of it from the log's other readers and claimed
	// already: then the entry stands.
	if h := l.held[handle]; h == nil || h.epoch != epoch {
		l.held[handle] = &held{epoch: epoch, start: l.now(), fresh: true}
	}
}

// claim grants or refuses a claim or an extension. check looks at the applied
// state; it runs under the lock, so that no lease is extended once somebody began
// to end it. until is when the master may end the lease.
func (l *leases) claim(term uint64, check func() (meta.Chunk, bool)) (until time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := check()
	if !ok {
		return time.Time{}, false
	}
	h := l.inherit(term, c)
	if h == nil || h.ending {
		return time.Time{}, false
	}
	h.claimed, h.start = true, l.now()
	return h.start.Add(l.term1), true
}

// end stops extensions of the chunk's lease and returns when it is surely over:
// the zero time if it is already. ok is false if the term is over.
func (l *leases) end(term uint64, c meta.Chunk) (over time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.inherit(term, c)
	if h == nil {
		return time.Time{}, false
	}
	h.ending = true
	if h.ended || (h.fresh && !h.claimed) { // stopped, or never begun
		return time.Time{}, true
	}
	return h.start.Add(l.term1), true
}

// acknowledged notes that the primary has stopped.
func (l *leases) acknowledged(term uint64, c meta.Chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.lookup(term, c); h != nil {
		h.ended = true
	}
}

// forget drops the entry of a lease whose end is in the log.
func (l *leases) forget(term uint64, c meta.Chunk) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lookup(term, c) != nil {
		delete(l.held, c.Handle)
	}
}
