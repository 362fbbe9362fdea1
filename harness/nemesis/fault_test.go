package nemesis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/results/rundir"
)

// world is a Target that writes down what was done to it.
type world struct {
	masters []string
	leader  string
	cuts    map[[2]string]bool
	down    map[string]bool
	rotten  []string
	slow    map[string]time.Duration
	primary string
}

func newWorld(n int) *world {
	w := &world{leader: "m2", cuts: map[[2]string]bool{}, down: map[string]bool{}, slow: map[string]time.Duration{}, primary: "cs2"}
	for i := range n {
		w.masters = append(w.masters, "m"+string(rune('1'+i)))
	}
	return w
}

func (w *world) Masters() []string { return w.masters }
func (w *world) Leader() (string, uint64, bool) {
	return w.leader, 7, w.leader != ""
}
func (w *world) Status(string) (consensus.Status, bool)       { return consensus.Status{}, true }
func (w *world) Felt() uint64                                 { return uint64(len(w.cuts)) }
func (w *world) Cut(from, to string)                          { w.cuts[[2]string{from, to}] = true }
func (w *world) Heal(from, to string)                         { delete(w.cuts, [2]string{from, to}) }
func (w *world) Crash(name string, _ int) error               { w.down[name] = true; return nil }
func (w *world) Restart(_ context.Context, name string) error { delete(w.down, name); return nil }

func (w *world) Chunkservers() []string    { return []string{"cs1", "cs2", "cs3"} }
func (w *world) Clients() []string         { return []string{"client"} }
func (w *world) Primary() (string, bool)   { return w.primary, w.primary != "" }
func (w *world) Rotten(string) uint64      { return uint64(len(w.rotten)) }
func (w *world) Slowed(name string) uint64 { return uint64(w.slow[name]) }
func (w *world) SlowDisk(n string, d time.Duration) {
	if w.slow[n] = d; d == 0 {
		delete(w.slow, n)
	}
}

func (w *world) PowerLoss(int) error {
	for _, n := range append(w.Chunkservers(), w.masters...) {
		w.down[n] = true
	}
	return nil
}

func (w *world) Rot(name string, _ uint64) (string, error) {
	w.rotten = append(w.rotten, name)
	return "chunk 7", nil
}

func TestEveryFaultBreaksAndHeals(t *testing.T) {
	want := map[string][]string{
		"isolate-leader": {"m1>m2", "m2>m1", "m2>m3", "m3>m2"},
		"split-minority": {"m1>m2", "m2>m1", "m2>m3", "m3>m2"},
		"split-majority": {"m1>m2", "m1>m3", "m2>m1", "m3>m1"},
		"one-way-out":    {"m2>m1", "m2>m3"},
		"one-way-in":     {"m1>m2", "m3>m2"},
		"crash-leader":   nil,

		"isolate-chunkserver": {"cs2>m1", "cs2>m2", "cs2>m3", "m1>cs2", "m2>cs2", "m3>cs2"},
		"stop-chunkserver": {
			"client>cs1", "cs1>client", "cs1>cs2", "cs1>cs3", "cs1>m1", "cs1>m2", "cs1>m3",
			"cs2>cs1", "cs3>cs1", "m1>cs1", "m2>cs1", "m3>cs1",
		},
	}
	victims := map[string][]string{
		"crash-leader": {"m2"}, "crash-follower": {"m1"}, "crash-chunkserver": {"cs1"}, "crash-two-chunkservers": {"cs1", "cs2"}, "crash-primary": {"cs2"},
		"power-loss": {"cs1", "cs2", "cs3", "m1", "m2", "m3"},
	}
	for _, f := range Kinds() {
		w := newWorld(3)
		in, err := Inject(context.Background(), w, f.Name, Args{})
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		var got []string
		for c := range w.cuts {
			got = append(got, c[0]+">"+c[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want[f.Name]) {
			t.Errorf("%s cut %v, want %v", f.Name, got, want[f.Name])
		}
		if down := slices.Sorted(maps.Keys(w.down)); !slices.Equal(down, victims[f.Name]) {
			t.Errorf("%s: down are %v, want %v", f.Name, down, victims[f.Name])
		}
		if rot, slow := len(w.rotten) == 1, w.slow["m2"] > 0; rot != (f.Name == "bit-rot") || slow != (f.Name == "slow-disk") || (in.Felt != nil) != (rot || slow) {
			t.Errorf("%s: rotten %v, slow %v", f.Name, w.rotten, w.slow)
		}
		if err := in.Heal(context.Background()); err != nil {
			t.Fatalf("%s: heal: %v", f.Name, err)
		}
		if len(w.cuts)+len(w.down)+len(w.slow) != 0 {
			t.Errorf("%s: after the heal still broken: %v %v", f.Name, w.cuts, w.down)
		}
	}
}

func TestSplitsOfFiveKeepTheLeaderOnTheNamedSide(t *testing.T) {
	for name, leaderReaches := range map[string]int{"split-minority": 1, "split-majority": 2} {
		w := newWorld(5)
		if _, err := Inject(context.Background(), w, name, Args{}); err != nil {
			t.Fatal(err)
		}
		reach := 0
		for _, m := range w.masters {
			if m != w.leader && !w.cuts[[2]string{w.leader, m}] {
				reach++
			}
		}
		if reach != leaderReaches {
			t.Errorf("%s: the leader reaches %d others, want %d", name, reach, leaderReaches)
		}
	}
}

func TestInjectSaysWhatIsWrong(t *testing.T) {
	w := newWorld(3)
	if _, err := Inject(context.Background(), w, "isolate-leadr", Args{}); err == nil || !strings.Contains(err.Error(), `"isolate-leadr" is unknown`) {
		t.Errorf("unknown fault: %v", err)
	}
	w.leader = ""
	if _, err := Inject(context.Background(), w, "crash-leader", Args{}); err == nil {
		t.Error("a crash of no leader was accepted")
	}
}

func TestExplain(t *testing.T) {
	before := Before{Leader: "m2", Term: 7}
	events := []Seen{
		{50, "m1", consensus.Event{Kind: consensus.EventCampaign, Term: 7}}, // before the fault
		{150, "m3", consensus.Event{Kind: consensus.EventCampaign, Term: 8}},
		{160, "m3", consensus.Event{Kind: consensus.EventLeader, Term: 8}},
		{170, "m3", consensus.Event{Kind: consensus.EventCommit, Term: 8}},
		{180, "m2", consensus.Event{Kind: consensus.EventStepDown, Term: 7}},
	}
	f := rundir.Fault{Node: "m2", Inject: 100, Heal: 300}
	Explain(&f, before, events, Felt{}, 0)
	if !f.Observed || f.Detected != 150 || f.Elected != 160 || f.Committed != 170 || len(f.Evidence) != 2 {
		t.Errorf("explained as %+v", f)
	}
	none := rundir.Fault{Node: "m2", Inject: 100, Heal: 140}
	Explain(&none, before, events, Felt{}, 0)
	if none.Observed {
		t.Errorf("a leader elected only after the heal was taken for an effect: %+v", none)
	}
	cut := rundir.Fault{Node: "m1", Inject: 200, Heal: 300}
	Explain(&cut, before, nil, Felt{3, OnNetwork}, 0)
	if !cut.Observed || len(cut.Evidence) != 1 {
		t.Errorf("connections that met a cut were not seen: %+v", cut)
	}
	lagged := rundir.Fault{Node: "m1", Inject: 200, Heal: 300}
	Explain(&lagged, before, nil, Felt{}, 12)
	if !lagged.Observed || len(lagged.Evidence) != 1 {
		t.Errorf("a lagging follower was not seen: %+v", lagged)
	}
}

// A deposed leader may campaign before anybody else does: that is no detection.
func TestDetectionIsByAnotherNode(t *testing.T) {
	events := []Seen{
		{110, "m2", consensus.Event{Kind: consensus.EventCampaign, Term: 8}},
		{130, "m3", consensus.Event{Kind: consensus.EventCampaign, Term: 9}},
	}
	f := rundir.Fault{Node: "m2", Inject: 100, Heal: 300}
	Explain(&f, Before{Leader: "m2", Term: 7}, events, Felt{1, OnNetwork}, 0)
	if f.Detected != 130 {
		t.Errorf("detected at %d, want 130", f.Detected)
	}
}
