package disk

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestRot: the flipped bits are there for every reader, survive a crash, and a
// later write of the byte mends them.
func TestRot(t *testing.T) {
	both(t, func(t *testing.T, fs *FS) {
		put(t, fs, "a", "hello", true)
		check(t, fs.Rot("a", 1, 0x01))
		if got := get(t, fs, "a"); got != "hdllo" {
			t.Errorf("after the rot: %q", got)
		}
		check(t, fs.SyncAll())
		fs = fs.Crash(0)
		if got := get(t, fs, "a"); got != "hdllo" {
			t.Errorf("after the crash: %q", got)
		}
		for name, offset := range map[string]int64{"a": 5, "b": 0, "": 0} {
			if err := fs.Rot(name, offset, 1); err == nil {
				t.Errorf("rot of %q at %d was taken", name, offset)
			}
		}
		put(t, fs, "a", "hello", true)
		if got := get(t, fs, "a"); got != "hello" {
			t.Errorf("after a new write: %q", got)
		}
	})
}

// TestSlowSyncs: a sync takes as much longer, and one that was begun before the
// end of it is not cut short.
func TestSlowSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := NewMem(1)
		fs.StallSyncs(time.Millisecond)
		fs.SlowSyncs(300 * time.Millisecond)
		start := time.Now()
		put(t, fs, "a", "x", true)
		slow := time.Since(start)
		fs.SlowSyncs(0)
		start = time.Now()
		put(t, fs, "b", "x", true)
		if quick := time.Since(start); slow-quick < 300*time.Millisecond || slow%(301*time.Millisecond) != 0 {
			t.Errorf("slow %v, quick %v", slow, quick)
		}
	})
}
