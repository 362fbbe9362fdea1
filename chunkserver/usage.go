package chunkserver

import (
	"sync"
	"time"
)

// usageEvery is how often the file system is asked for its size.
const usageEvery = 10 * time.Second

// usage remembers what the file system said.
type usage struct {
	mu       sync.Mutex // never held while anything blocks
	asked    time.Time
	capacity uint64
}

// diskUse returns what the chunks take, in bytes, and how much room there is for
// them in all, 0 if that is not known.
func (s *Server) diskUse() (used, capacity uint64) {
	const perChunk = 2 * pageBytes // header and table; the rest of the table is a hole
	for _, c := range s.allChunks() {
		c.mu.Lock()
		if c.head.version > 0 {
			used += c.durable + perChunk
		}
		c.mu.Unlock()
	}
	if s.opts.Capacity > 0 {
		return used, s.opts.Capacity
	}
	now := s.opts.Now()
	u := &s.usage
	u.mu.Lock()
	ask := u.asked.IsZero() || now.Sub(u.asked) >= usageEvery
	if ask {
		u.asked = now
	}
	capacity = u.capacity
	u.mu.Unlock()
	if !ask {
		return used, capacity
	}
	// What others have on the same disk is no room for chunks.
	if info, err := s.opts.FS.GetDiskUsage(s.opts.Dir); err == nil {
		capacity = used + info.AvailBytes
	}
	u.mu.Lock()
	u.capacity = capacity
	u.mu.Unlock()
	return used, capacity
}
