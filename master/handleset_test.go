package master

import (
	"math/rand/v2"
	"testing"
)

// TestHandleSetIsAMap: against a plain map.
func TestHandleSetIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		set, want := newHandleSet(), make(map[uint64]bool)
		for range 3000 {
			handle := 1 + rng.Uint64N(20_000)
			if rng.IntN(20) == 0 {
				handle = rng.Uint64()
			}
			in := rng.IntN(3) > 0
			set.set(handle, in)
			if in {
				want[handle] = true
			} else {
				delete(want, handle)
			}
			if rng.IntN(100) == 0 {
				lo := rng.Uint64N(20_000)
				hi := lo + rng.Uint64N(9000)
				if rng.IntN(4) == 0 {
					hi = 0
				}
				even := func(handle uint64) bool { return handle%2 == 0 }
				set.keep(lo, hi, even)
				for h := range want {
					if h >= lo && (hi == 0 || h < hi) && !even(h) {
						delete(want, h)
					}
				}
			}
			if set.count != len(want) {
				t.Fatalf("seed %d: %d handles, want %d", seed, set.count, len(want))
			}
		}
		set.keep(0, 0, func(handle uint64) bool {
			if !want[handle] {
				t.Fatalf("seed %d: %d is in the set", seed, handle)
			}
			return false
		})
		if set.count != 0 {
			t.Fatalf("seed %d: %d handles are left", seed, set.count)
		}
	}
}
