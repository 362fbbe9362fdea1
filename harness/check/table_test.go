package check

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTable changes tables at random, each from one made before, and holds them to
// plain maps: no table may be changed by what was made of it.
func TestTable(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 2))
	type pair struct {
		made table[nsNode]
		want map[string]uint64
	}
	pairs := []pair{{table[nsNode]{}, map[string]uint64{}}}
	for step := range 4000 {
		from := pairs[max(0, len(pairs)-1-rng.IntN(3))]
		next := pair{from.made, maps.Clone(from.want)}
		path := fmt.Sprint("/", rng.IntN(400))
		if rng.IntN(3) > 0 {
			next.made, next.want[path] = next.made.with(nsNode{path: path, id: uint64(step % 7)}), uint64(step%7)
		} else {
			next.made = next.made.without(path)
			delete(next.want, path)
		}
		pairs = append(pairs, next)
	}
	equal := 0
	for i, p := range pairs {
		var paths []string
		for n := range p.made.from("") {
			if n.id != p.want[n.path] {
				t.Fatalf("seed %d: table %d has %+v, want id %d", seed, i, n, p.want[n.path])
			}
			paths = append(paths, n.path)
		}
		if !slices.Equal(paths, slices.Sorted(maps.Keys(p.want))) {
			t.Fatalf("seed %d: table %d has %v, want %v", seed, i, paths, p.want)
		}
		other := pairs[max(0, i-rng.IntN(6))]
		same := maps.Equal(p.want, other.want)
		if equalTables(p.made.blocks, other.made.blocks) != same {
			t.Fatalf("seed %d: table %d is said to be equal to another: %v", seed, i, !same)
		}
		if same {
			equal++
		}
		if afresh := newTable(slices.Collect(p.made.from(""))); !equalTables(p.made.blocks, afresh.blocks) {
			t.Fatalf("seed %d: table %d differs from one with the same entries in other blocks", seed, i)
		}
	}
	if equal < 500 || equal == len(pairs) {
		t.Errorf("%d of %d pairs were equal", equal, len(pairs))
	}
}
