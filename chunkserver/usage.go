package chunkserver

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// usageEvery is how often the file system is asked for its size.
	usageEvery = 10 * time.Second
	// countPause is how long a count of what the chunks take holds, for each chunk:
	// each heartbeat to each master tells it, and a million are not counted in no time.
	countPause = 10 * time.Microsecond
)

// usage remembers what the file system said, and what the chunks took.
type usage struct {
	mu       sync.Mutex // never held while anything blocks
	asked    time.Time
	capacity uint64
	counted  time.Time
	chunks   int
	used     uint64
}

// diskUse returns what the chunks take, in bytes, and how much room there is for
// them in all, 0 if that is not known.
func (s *Server) diskUse() (used, capacity uint64) {
	used = s.chunkUse()
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

// chunkUse counts what the chunks take, or says what it counted a short while ago.
func (s *Server) chunkUse() (used uint64) {
	const perChunk = 2 * pageBytes // header and table; the rest of the table is a hole
	now := s.opts.Now()
	u := &s.usage
	u.mu.Lock()
	if !u.counted.IsZero() && now.Sub(u.counted) < time.Duration(u.chunks)*countPause {
		defer u.mu.Unlock()
		return u.used
	}
	u.counted = now // others need not count meanwhile
	u.mu.Unlock()
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.chunks))
	s.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		if c.head.version > 0 {
			used += c.durable + perChunk
		}
		c.mu.Unlock()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used, u.chunks = used, len(all)
	return used
}
