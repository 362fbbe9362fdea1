package chunkserver

import (
	"sync"
	"time"

	"gfslab/internal/disk"
)

// syncTime adds up the syncs of something: how many there were, how long each one
// took, and for how long there was at least one. It counts up to the moment at which
// it is asked, those that are in flight included. The zero value has seen none.
type syncTime struct {
	count    uint64 // ended
	inFlight int
	at       time.Time     // when the figures below were last brought up to date
	busy     time.Duration // with one or more in flight
	sum      time.Duration // of all of them: busy, times how many were in flight
}

// advance brings the figures up to now. A clock that went back counts for nothing.
func (t *syncTime) advance(now time.Time) {
	if d := now.Sub(t.at); t.inFlight > 0 && d > 0 {
		t.busy += d
		t.sum += time.Duration(t.inFlight) * d
	}
	t.at = now
}

func (t *syncTime) begin(now time.Time) {
	t.advance(now)
	t.inFlight++
}

func (t *syncTime) end(now time.Time) {
	t.advance(now)
	t.inFlight--
	t.count++
}

// syncMeter is the syncTime of a chunkserver.
type syncMeter struct {
	mu   sync.Mutex // never held while anything blocks
	time syncTime
}

func (m *syncMeter) read(now time.Time) syncTime {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.time.advance(now)
	return m.time
}

// timed runs one sync, of whatever the chunkserver keeps.
func (s *Server) timed(sync func() error) error {
	m := &s.syncs
	m.mu.Lock()
	m.time.begin(s.opts.Now())
	m.mu.Unlock()
	err := sync()
	m.mu.Lock()
	m.time.end(s.opts.Now())
	m.mu.Unlock()
	return err
}

// syncChunk makes a chunk's file durable; c's worker calls it.
func (s *Server) syncChunk(c *chunk, f disk.File) error {
	c.mu.Lock()
	c.syncs.begin(s.opts.Now())
	c.mu.Unlock()
	err := s.timed(f.SyncData)
	c.mu.Lock()
	c.syncs.end(s.opts.Now())
	c.mu.Unlock()
	return err
}

// syncFolder makes the entries of a folder durable.
func (s *Server) syncFolder(dir string) error {
	d, err := s.opts.FS.OpenDir(dir)
	if err != nil {
		return err
	}
	err = s.timed(d.Sync)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
