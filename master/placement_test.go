package master

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestSpread: racks come first, then disk use and recent creations; the seed
// decides among equals.
func TestSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	gib := uint64(1) << 30
	racks := []candidate{
		{name: "a1", rack: "a", capacity: 100 * gib, used: 10 * gib},
		{name: "a2", rack: "a", capacity: 100 * gib, used: 11 * gib},
		{name: "b1", rack: "b", capacity: 100 * gib, used: 90 * gib},
		{name: "b2", rack: "b", capacity: 100 * gib, used: 80 * gib},
		{name: "c1", rack: "c", capacity: 100 * gib, used: 94 * gib},
	}
	for _, test := range []struct {
		want  int
		taken map[string]int
		names []string
	}{
		{3, nil, []string{"a1", "b2", "c1"}},
		{4, nil, []string{"a1", "b2", "c1", "a2"}},
		{1, map[string]int{"a": 1}, []string{"b2"}},
		{1, map[string]int{"a": 1, "b": 1}, []string{"c1"}},
		{9, nil, []string{"a1", "b2", "c1", "a2", "b1"}},
		{0, nil, []string{}},
	} {
		if got := spread(racks, test.taken, test.want, rng); !slices.Equal(got, test.names) {
			t.Errorf("%d beside %v: %v, want %v", test.want, test.taken, got, test.names)
		}
	}
	// An empty chunkserver does not get all that is new.
	busy := []candidate{{name: "new", capacity: 100 * gib, recent: 40}, {name: "old", capacity: 100 * gib, used: 30 * gib}}
	if got := spread(busy, nil, 1, rng); got[0] != "old" {
		t.Errorf("the new chunkserver gets chunk after chunk")
	}
	busy[0].recent = 0
	if got := spread(busy, nil, 1, rng); got[0] != "new" {
		t.Errorf("the empty chunkserver is passed over")
	}
	equal := []candidate{{name: "a"}, {name: "b"}, {name: "c"}, {name: "d"}}
	seen := make(map[string]int)
	for seed := range uint64(400) {
		one := spread(equal, nil, 2, rand.New(rand.NewPCG(seed, 1)))
		two := spread(equal, nil, 2, rand.New(rand.NewPCG(seed, 1)))
		if !slices.Equal(one, two) {
			t.Fatalf("seed %d: %v, then %v", seed, one, two)
		}
		seen[one[0]]++
	}
	for name, n := range seen {
		if n < 50 || len(seen) != 4 {
			t.Fatalf("%s is first %d times of 400: %v", name, n, seen)
		}
	}
}

// TestPlacementEvens: many chunks in a row land evenly, and a full disk gets none.
func TestPlacementEvens(t *testing.T) {
	c := newCell(t, 1)
	defer c.stop()
	names := []string{"cs1", "cs2", "cs3", "cs4", "cs5"}
	for _, name := range names {
		r := report(1, true)
		r.Chunkserver, r.CapacityBytes = name, 1<<40
		if name == "cs5" {
			r.UsedBytes = 1<<40 - 1<<30
		}
		if _, err := c.masters[0].Heartbeat(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]int)
	for range 400 {
		replicas, err := c.masters[0].servers.place(t.Context(), 3)
		if err != nil || len(replicas) != 3 {
			t.Fatal(replicas, err)
		}
		for _, name := range replicas {
			got[name]++
		}
	}
	for _, name := range names[:4] {
		if got[name] < 290 || got[name] > 310 {
			t.Errorf("%s got %d of 1200 replicas, want some 300", name, got[name])
		}
	}
	if got["cs5"] != 0 {
		t.Errorf("the full one got %d", got["cs5"])
	}
}

// TestDecaying: half after half.
func TestDecaying(t *testing.T) {
	begin := time.Unix(1, 0)
	d := decaying{half: time.Second}
	d.add(8, begin)
	for i, want := range []float64{8, 4, 2, 1} {
		if got := fmt.Sprintf("%.6f", d.get(begin.Add(time.Duration(i)*time.Second))); got != fmt.Sprintf("%.6f", want) {
			t.Errorf("after %d s: %s, want %v", i, got, want)
		}
	}
}
