package storage

import "testing"

// TestWindowGivesRoomBack: what compaction takes from a long window does not
// stay allocated until the window has grown again.
func TestWindowGivesRoomBack(t *testing.T) {
	const n = 1 << 20
	for _, keep := range []uint64{0, 1, 1000, n / 3} {
		var w window[slot]
		for i := uint64(1); i <= n; i++ {
			w.reach(i).stamp = i
		}
		w.dropTo(n - keep)
		if got := uint64(len(w.items)); got != keep || w.end() != n+1 {
			t.Fatalf("%d of %d are left, up to %d", got, keep, w.end())
		}
		if c := cap(w.items); c > 2*int(keep)+keepItems {
			t.Errorf("room for %d is kept for %d", c, keep)
		}
		for i := n - keep + 1; i <= n; i++ {
			if w.at(i).stamp != i {
				t.Fatalf("index %d holds %d", i, w.at(i).stamp)
			}
		}
	}
}
