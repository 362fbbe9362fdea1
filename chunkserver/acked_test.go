package chunkserver

import (
	"testing"
	"testing/synctest"
	"time"
)

// A retry gets the first one's answer as long as a client may ask, and nothing is
// kept of it for ever, though nobody comes back to the chunk.
func TestAckedAppendsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.beat = time.Minute
		c.over(c.disks["a"])
		c.grant(1, 10, 5, "a")
		s := c.servers["a"]
		x := s.chunk(handle)
		known := func() int {
			x.mu.Lock()
			defer x.mu.Unlock()
			if len(x.acked.order) != len(x.acked.items) {
				t.Errorf("%d in order of %d", len(x.acked.order), len(x.acked.items))
			}
			return len(x.acked.items)
		}
		again := func(version, seq, offset uint64) {
			t.Helper()
			if r := c.append(version, seq, payload(seq, 50), "a"); r.Offset != offset {
				t.Errorf("record %d again: at %d, not %d", seq, r.Offset, offset)
			}
		}
		first := c.append(1, 1, payload(1, 50), "a").Offset
		<-time.After(ackedFor - 2*time.Minute)
		c.grant(2, 20, 5, "a")
		again(2, 1, first)
		second := c.append(2, 2, payload(2, 50), "a").Offset
		<-time.After(5 * time.Minute) // the first is forgotten
		if n := known(); n != 1 || len(s.acked.chunks) != 1 {
			t.Errorf("%d appends known, of %d chunks", n, len(s.acked.chunks))
		}
		c.grant(3, 30, 5, "a")
		again(3, 2, second)
		<-time.After(ackedFor + 3*time.Minute)
		if n := known(); n != 0 || len(s.acked.chunks) != 0 || x.acked.items != nil || x.acked.order != nil {
			t.Errorf("%d appends known, of %d chunks", n, len(s.acked.chunks))
		}
		c.grant(4, 40, 5, "a")
		c.append(4, 3, payload(3, 50), "a")
		if n := known(); n != 1 || len(s.acked.chunks) != 1 {
			t.Errorf("%d appends known, of %d chunks", n, len(s.acked.chunks))
		}
	})
}

// The oldest goes when there are too many; what is under way stays, however long.
func TestAckedRecordIsBounded(t *testing.T) {
	var r ackedRecord
	m := &mutation{lease: &lease{}}
	open := dataKey{"client", 0}
	_, waiting, _ := r.begin(open)
	for seq := range uint64(maxAcked + 10) {
		key := dataKey{"client", seq + 1}
		a, _, mine := r.begin(key)
		if !mine {
			t.Fatalf("%d is known", seq)
		}
		r.succeed(key, a, m, time.Duration(seq))
	}
	if len(r.items) != maxAcked+1 || len(r.order) != maxAcked || cap(r.order) > 4*maxAcked {
		t.Fatalf("%d known, %d acknowledged, room for %d", len(r.items), len(r.order), cap(r.order))
	}
	if a, done, mine := r.begin(dataKey{"client", 11}); mine || done != nil || !a.ok {
		t.Errorf("the oldest that is kept: %+v", a)
	}
	if r.expire(100); len(r.order) != maxAcked+10-100 {
		t.Errorf("%d left of those since 100", len(r.order))
	}
	if !r.expire(1<<62) || len(r.items) != 1 {
		t.Errorf("%d left besides the one under way", len(r.items)-1)
	}
	select {
	case <-waiting:
		t.Error("the one under way is settled")
	default:
	}
}
