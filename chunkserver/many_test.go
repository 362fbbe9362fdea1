package chunkserver

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"gfslab/api"
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

// A full report of many chunks goes in parts, each far below what a message may
// have, one after the other without a pause. A master may take longer for one than
// some heartbeats: else it would never be answered, and be sent again for ever.
func TestReportOfManyChunksGoesInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.scrub = -1
		c.crash("a", 0)
		c.nextBeats("a")
		many := 10_000
		if os.Getenv("GFSLAB_REPORT_CHUNKS") != "" {
			var err error
			many, err = strconv.Atoi(os.Getenv("GFSLAB_REPORT_CHUNKS"))
			c.must(err)
		}
		addEmpty(c.servers["a"], many)
		n := len(c.heard("a", 0))
		c.masterDoes(func(m *fakeMaster) { m.parts, m.wantFull, m.reads = true, true, 290*time.Microsecond })
		time.Sleep(150 * time.Millisecond) // it is asked
		for last := false; !last; time.Sleep(time.Second) {
			beats := c.heard("a", n)
			last = slices.ContainsFunc(beats, func(b *api.HeartbeatRequest) bool { return b.Part != nil && b.Part.Below == 0 })
			if len(beats) > many {
				t.Fatal("there is no last part")
			}
		}
		told, from, largest, total := 0, uint64(0), 0, 0
		for _, b := range c.heard("a", n) {
			if b.Part == nil {
				continue
			}
			size := proto.Size(b)
			told, largest, total = told+len(b.Chunks), max(largest, size), total+size
			if b.Full || b.Part.From != from || len(b.Chunks) == 0 || b.Chunks[0].Handle < from || b.Part.Below != 0 && b.Chunks[len(b.Chunks)-1].Handle >= b.Part.Below {
				t.Fatalf("part from %d after one below %d, %d chunks, full %v", b.Part.From, from, len(b.Chunks), b.Full)
			}
			from = b.Part.Below
		}
		if told != many || from != 0 || largest > 32<<10 {
			t.Errorf("%d of %d chunks were told, in messages of at most %d bytes", told, many, largest)
		}
		t.Logf("%d chunks, in messages of at most %d bytes, %d in all", told, largest, total)
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
