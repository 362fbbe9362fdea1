package chunkserver

import (
	"cmp"
	"slices"
	"sync"
)

// reports knows which chunks changed since each master last answered. A change
// is a number; what it was is looked up when it is reported.
type reports struct {
	mu      sync.Mutex // never held while anything blocks
	last    uint64
	changes map[uint64]uint64 // handle to its last change
	masters map[string]*reported
	// highest is the highest sequence of a master that was one and is none now: the
	// count goes on, should it become one again, or what it hears then looks late.
	highest uint64
}

// reported is what one master has heard since this start.
type reported struct {
	sequence uint64
	// upTo are the changes that it has answered, or will hear of with everything.
	upTo uint64
	full bool // it wants everything
	run  *fullReport
}

// fullReport is what is left of a full report to one master. One that does not fit
// in a message goes in parts, by handle. Each message tells of changes too, so that
// all that the master was told stays as true as it was then.
type fullReport struct {
	from uint64 // all below is told and answered
	// left are the handles from there on, as they were in the beginning, and more
	// those that changed since and are not among them; both in order.
	left, more []uint64
}

// tidings is one report to a master, as handles that are yet to be looked up.
type tidings struct {
	sequence uint64
	handles  []uint64 // in order
	upTo     uint64   // changes that are told when this is answered
	rest     bool     // others wait
	run      *fullReport
	full     bool   // the handles are all there are
	below    uint64 // else, with a run: all there are in [run.from, below); 0: to the end
}

// maxChanges bounds the changes kept for masters that do not answer; beyond it
// they are sent everything.
const maxChanges = 1 << 16

// changed notes that a chunk's report would differ now. It may be called with
// the chunk's mu held.
func (s *Server) changed(handle uint64) {
	r := &s.reports
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	if r.changes == nil {
		r.changes = make(map[uint64]uint64)
	}
	r.changes[handle] = r.last
}

// next makes the next report to a master, of about limit handles at most; all
// lists the chunks by handle. done is called when it was answered.
func (r *reports) next(master string, limit int, all func() []uint64) tidings {
	if run := r.begin(master); run != nil {
		run.left = all() // it may block, and nobody else looks at a run yet
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.masters[master]
	if m == nil {
		return tidings{} // it was forgotten just now
	}
	m.sequence++
	t := tidings{sequence: m.sequence, run: m.run, upTo: r.last}
	changed, room := r.changedSince(m.upTo), limit
	if m.run != nil {
		m.run.add(changed)
		if len(m.run.left)+len(m.run.more) <= room && m.run.from == 0 {
			t.full, t.handles = true, m.run.first(room)
			return t
		}
		limit -= limit / 4 // the rest is for what is left
	}
	if len(changed) > limit {
		slices.SortFunc(changed, func(a, b uint64) int { return cmp.Compare(r.changes[a], r.changes[b]) })
		changed = changed[:limit]
		t.upTo, t.rest = r.changes[changed[limit-1]], true
	}
	t.handles = changed
	if m.run != nil {
		page := m.run.first(room - len(changed))
		t.below = m.run.after(page)
		t.handles = append(t.handles, page...)
	}
	slices.Sort(t.handles)
	t.handles = slices.Compact(t.handles)
	return t
}

// begin begins a full report to a master that wants one, unless one is under way.
// What changed until now will be seen when its turn comes.
func (r *reports) begin(master string) *fullReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.masters == nil {
		r.masters = make(map[string]*reported)
	}
	m := r.masters[master]
	if m == nil {
		m = &reported{full: true, sequence: r.highest}
		r.masters[master] = m
	}
	if !m.full || m.run != nil {
		return nil
	}
	m.run, m.upTo = new(fullReport), r.last
	return m.run
}

// changedSince lists what changed after a change, in no order. Call with mu held.
func (r *reports) changedSince(upTo uint64) (handles []uint64) {
	for h, n := range r.changes {
		if n > upTo {
			handles = append(handles, h)
		}
	}
	return handles
}

// add adds what changed and was not told yet: it may be new.
func (f *fullReport) add(changed []uint64) {
	known := len(f.more)
	for _, h := range changed {
		_, left := slices.BinarySearch(f.left, h)
		_, more := slices.BinarySearch(f.more[:known], h)
		if h >= f.from && !left && !more {
			f.more = append(f.more, h)
		}
	}
	slices.Sort(f.more)
}

// first returns the first handles that are left, at most n, in order.
func (f *fullReport) first(n int) []uint64 {
	page := append(slices.Clone(f.left[:min(n, len(f.left))]), f.more[:min(n, len(f.more))]...)
	slices.Sort(page)
	return page[:min(n, len(page))]
}

// after returns the first handle that is left behind a page, 0 if none is.
func (f *fullReport) after(page []uint64) uint64 {
	var last uint64
	if len(page) > 0 {
		last = page[len(page)-1]
	}
	next := uint64(0)
	for _, list := range [][]uint64{f.left, f.more} {
		i, found := slices.BinarySearch(list, last)
		if found {
			i++
		}
		if i < len(list) && (next == 0 || list[i] < next) {
			next = list[i]
		}
	}
	return next
}

// goOn goes on from a handle: what is below is answered.
func (f *fullReport) goOn(from uint64) {
	i, _ := slices.BinarySearch(f.left, from)
	j, _ := slices.BinarySearch(f.more, from)
	f.from, f.left, f.more = from, f.left[i:], f.more[j:]
}

// done takes a master's answer over, and says whether there is more to tell at once.
func (r *reports) done(master string, t tidings, wantFull bool, fullFrom uint64) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.masters[master]
	if m == nil {
		return false // it is no master any more
	}
	defer r.trim()
	if m.full && (t.run == nil || t.run != m.run) {
		return true // fallen behind while the report was under way, it still needs everything
	}
	m.upTo = max(m.upTo, t.upTo)
	between := t.run != nil && !t.full && t.below != 0
	switch {
	case between && (!wantFull || fullFrom == t.below):
		m.run.goOn(t.below)
		return true
	case wantFull:
		m.full, m.run = true, nil
		return false
	}
	m.full, m.run = false, nil
	return t.rest
}

// forget drops a master that is none any more.
func (r *reports) forget(master string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.masters[master]; m != nil {
		r.highest = max(r.highest, m.sequence)
	}
	delete(r.masters, master)
	r.trim()
}

// trim drops changes that all masters have heard of, or will hear of with everything.
// Call with mu held.
func (r *reports) trim() {
	if len(r.changes) > maxChanges {
		for _, m := range r.masters {
			if m.upTo+maxChanges/2 < r.last {
				m.full, m.run, m.upTo = true, nil, r.last
			}
		}
	}
	heard := r.last
	for _, m := range r.masters {
		heard = min(heard, m.upTo)
	}
	for h, n := range r.changes {
		if n <= heard {
			delete(r.changes, h)
		}
	}
}
