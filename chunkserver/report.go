package chunkserver

import (
	"cmp"
	"slices"
	"sync"

	"gfslab/api"
)

// reports knows which chunks changed since each master last answered. A change
// is a number; what it was is looked up when it is reported.
type reports struct {
	mu      sync.Mutex // never held while anything blocks
	last    uint64
	changes map[uint64]uint64 // handle to its last change
	masters map[string]*reported
}

// reported is what one master has heard since this start.
type reported struct {
	sequence uint64
	upTo     uint64 // changes that it has answered
	full     bool   // it wants everything
	// begun is the last change when the report under way was begun, and whole says
	// that it is of everything.
	begun uint64
	whole bool
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

// next begins a report to a master: the handles that changed, or nil and full.
// done is called with the master's answer, upTo as it was returned.
func (r *reports) next(master string) (handles []uint64, sequence, upTo uint64, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.masters == nil {
		r.masters = make(map[string]*reported)
	}
	m := r.masters[master]
	if m == nil {
		m = &reported{full: true}
		r.masters[master] = m
	}
	m.sequence++
	m.begun, m.whole = r.last, m.full
	if m.full {
		return nil, m.sequence, r.last, true
	}
	for h, n := range r.changes {
		if n > m.upTo {
			handles = append(handles, h)
		}
	}
	slices.Sort(handles)
	return handles, m.sequence, r.last, false
}

func (r *reports) done(master string, upTo uint64, wantFull bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.masters[master]
	if m == nil {
		return // it is no master any more
	}
	// Fallen behind while the report was under way, it still needs everything.
	behind := m.full && !m.whole
	m.upTo, m.full = max(m.upTo, upTo), wantFull || behind
	r.trim()
}

// forget drops a master that is none any more.
func (r *reports) forget(master string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.masters, master)
	r.trim()
}

// trim drops changes that all masters have heard of, or will hear of with everything:
// what changed since a report of that was begun is not in it.
func (r *reports) trim() {
	if len(r.changes) > maxChanges {
		for _, m := range r.masters {
			if m.upTo+maxChanges/2 < r.last {
				m.full = true
			}
		}
	}
	heard := r.last
	for _, m := range r.masters {
		if m.full {
			heard = min(heard, m.begun)
		} else {
			heard = min(heard, m.upTo)
		}
	}
	for h, n := range r.changes {
		if n <= heard {
			delete(r.changes, h)
		}
	}
}

// allChunks lists the replicas by handle.
func (s *Server) allChunks() []*chunk {
	s.mu.Lock()
	all := make([]*chunk, 0, len(s.chunks))
	for _, c := range s.chunks {
		all = append(all, c)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *chunk) int { return cmp.Compare(a.handle, b.handle) })
	return all
}

// report describes all replicas, by handle.
func (s *Server) report() []*api.ChunkReport {
	all := s.allChunks()
	out := make([]*api.ChunkReport, 0, len(all))
	for _, c := range all {
		if r := c.report(); r != nil {
			out = append(out, r)
		}
	}
	return out
}

// reportOn describes those of the handles that are here, and lists the others.
func (s *Server) reportOn(handles []uint64) (there []*api.ChunkReport, gone []uint64) {
	for _, h := range handles {
		var r *api.ChunkReport
		if c := s.chunk(h); c != nil {
			r = c.report()
		}
		if r == nil {
			gone = append(gone, h)
			continue
		}
		there = append(there, r)
	}
	return there, gone
}

// report describes the durable replica; nil if there is none, or its disk failed.
func (c *chunk) report() *api.ChunkReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head.version == 0 || c.failed != nil {
		return nil
	}
	return &api.ChunkReport{Handle: c.handle, Version: c.head.version, Length: c.durable, Kind: c.head.kind, Corrupt: c.corrupt}
}
