package master

import (
	"testing"
	"time"
)

// TestSlowClones: a clone that takes long because it is throttled is not given up
// half-way again and again.
func TestSlowClones(t *testing.T) {
	const rate = 64 << 10 // for each clone
	throttled := func(o *Options) { o.CloneLimit, o.CloneBytesPerSecond = 2, 2*rate }
	upkeepBubble(t, throttled, 1, four, func(t *testing.T, u *upkeepCell) {
		handles := u.fill(1)
		c, _, _ := u.masters[0].machine.chunk(handles[0])
		took := time.Duration(1<<20) * time.Second / rate
		if took < u.o.CloneTimeout {
			t.Fatalf("a clone takes %v, which is no test of a timeout of %v", took, u.o.CloneTimeout)
		}
		for _, s := range u.servers {
			s.store.cloning = took
		}
		u.servers[c.Members[0]].store.kill()
		u.await(2*took, "the clone", func() string {
			if good := u.good(handles[0]); len(good) < 3 {
				return "there are too few replicas"
			}
			return ""
		})
	})
}
