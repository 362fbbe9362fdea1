package chunkserver

import (
	"testing"
	"testing/synctest"
	"time"

	faultdisk "gfslab/internal/fault/disk"
)

// addEmpty makes the server believe that it has so many more chunks.
func addEmpty(s *Server, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range uint64(n) {
		c := s.newChunk(1000 + h)
		c.head.version = 1
		s.chunks[c.handle] = c
	}
}

// A full report of many chunks may take a master longer than some heartbeats: else it
// would never be answered, and be sent again for ever.
func TestReportOfManyChunksIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.nextBeats("a")
		const many = 40_000
		addEmpty(c.servers["a"], many)
		c.masterDoes(func(m *fakeMaster) { m.wantFull, m.reads = true, 12*time.Microsecond })
		answered := func() bool {
			all := c.heard("a", 0)
			n := len(all)
			return n > 1 && len(all[n-2].Chunks) == many && !all[n-1].Full
		}
		c.eventually("the full report is answered", answered)
	})
}

// What many chunks take is not counted for each heartbeat, and what few take is.
func TestChunkUseIsCountedNowAndThen(t *testing.T) {
	now := time.Now()
	s := &Server{chunks: make(map[uint64]*chunk), opts: Options{FS: faultdisk.NewMem(testSeed), Now: func() time.Time { return now }}}
	addEmpty(s, 1000) // counted at most every 10 ms
	first := s.chunkUse()
	if first == 0 {
		t.Fatal("they take nothing")
	}
	addEmpty(s, 2000) // a thousand of them are there already
	now = now.Add(9 * time.Millisecond)
	if n := s.chunkUse(); n != first {
		t.Errorf("%d after %d: counted again at once", n, first)
	}
	now = now.Add(2 * time.Millisecond)
	if n := s.chunkUse(); n != 2*first {
		t.Errorf("%d, want twice %d", n, first)
	}
}
