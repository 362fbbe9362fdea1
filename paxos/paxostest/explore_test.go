package paxostest

import (
	"os"
	"slices"
	"testing"

	"gfslab/paxos"
)

// TestExplore walks every state of small worlds. With GFSLAB_EXPLORE=full it
// walks all that are published (minutes, and up to 8 GiB), with a name only that
// one.
func TestExplore(t *testing.T) {
	var total Exploration
	for _, w := range selected(t) {
		e := Explore(w)
		t.Log(e)
		if c := e.Counterexample; c != nil {
			t.Errorf("%s: %s: %s", w.Name, c.Monitor, c.Detail)
			for _, line := range c.Trace {
				t.Log("    ", line)
			}
			continue
		}
		if !e.Complete {
			t.Errorf("%s was not walked to its end", w.Name)
		}
		total.States += e.States
		total.Edges += e.Edges
		total.Idle += e.Idle
		total.Took += e.Took
		if want := bounds(w); e.Reached != want {
			t.Errorf("%s reaches %+v; its bounds are %+v", w.Name, e.Reached, want)
		}
	}
	t.Logf("in all %d states, %d edges (+%d idle deliveries), %.1f s", total.States, total.Edges, total.Idle, total.Took.Seconds())
}

func selected(t *testing.T) []World {
	name := os.Getenv("GFSLAB_EXPLORE")
	if name == "full" {
		return Worlds()
	}
	names := []string{name}
	if name == "" {
		names = []string{"small", "ticks", "take-over", "seal"}
	}
	var ws []World
	for _, name := range names {
		w, ok := WorldNamed(name)
		if !ok {
			t.Fatalf("GFSLAB_EXPLORE is %q: no such world", name)
		}
		ws = append(ws, w)
	}
	return ws
}

// bounds are what some run of w must get to: all its ballots, each with a
// leader, all its slots and crashes.
func bounds(w World) (c Coverage) {
	for _, n := range w.Campaigns {
		c.Ballots += n
	}
	c.Leaders, c.Chosen, c.Crashes = c.Ballots, int(w.Slots), w.MaxCrashes
	return c
}

// TestPublishedBounds: the largest world has what was promised.
func TestPublishedBounds(t *testing.T) {
	if !slices.ContainsFunc(Worlds(), func(w World) bool {
		c := bounds(w)
		return c.Ballots >= 4 && c.Leaders >= 4 && c.Chosen >= 2 && c.Crashes >= 1
	}) {
		t.Error("no world has 4 ballots, 3 changes of leader, 2 slots and a crash")
	}
}

// TestPruningForgetsNothing: with nothing forgotten there are more states, and
// no more of what the nodes are in.
func TestPruningForgetsNothing(t *testing.T) {
	w, _ := WorldNamed("small")
	w.Crashes, w.MaxCrashes = [nodes]int{1, 0, 0}, 1
	kept := w
	kept.KeepAll = true
	a, b := reachedCores(w), reachedCores(kept)
	if !slices.Equal(a, b) {
		t.Errorf("%d vectors of node states with pruning, %d without", len(a), len(b))
	}
}

// reachedCores returns every vector of node states, without histories.
func reachedCores(w World) []string {
	x := &search{catalog: newCatalog(w)}
	x.run()
	names := make([]string, len(x.cores.items))
	for key, i := range x.cores.at {
		names[i] = key
	}
	seen := map[string]bool{}
	for i := range x.visited.len() {
		key := ""
		for _, l := range x.visited.at(uint32(i)) {
			key += names[x.locals[l].core] + "|"
		}
		seen[key] = true
	}
	out := make([]string, 0, len(seen))
	for key := range seen {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}

// TestEqualStatesAnswerAlike: the encoding of states leaves out only what makes
// no difference. Where two ways led to one state, the node that came the other
// way answers every event as the one that was kept did.
func TestEqualStatesAnswerAlike(t *testing.T) {
	type double struct {
		core int32
		peer *peer
	}
	for _, name := range []string{"small", "ticks"} {
		w, _ := WorldNamed(name)
		x := &search{catalog: newCatalog(w)}
		var doubles []double
		met := 0
		x.again = func(core int32, p *peer) {
			if met++; met%5 == 0 {
				doubles = append(doubles, double{core, p})
			}
		}
		x.run()
		x.again = nil
		compared := 0
		same := func(core int32, p *peer) {
			s := x.cores.items[core]
			for e, tried := range s.row {
				if tried == 0 {
					continue
				}
				want := x.outcomes[tried-1]
				if got := x.perform(&coreState{peer: p, used: s.used}, event(e)); got.to != want.to || !slices.Equal(got.facts, want.facts) {
					t.Fatalf("%s: core state %d: %s leads to %+v, and to %+v on another way", name, core, x.name(int(p.id)-1, event(e)), want, got)
				}
				compared++
			}
		}
		for _, d := range doubles {
			same(d.core, d.peer)
		}
		// Nor does a leader look at the notice in an Accepted, which is cut off.
		for _, ms := range x.mail {
			for _, m := range ms {
				if m.Kind == paxos.MsgAccepted {
					m.Chosen = 1
				}
			}
		}
		for i, s := range x.cores.items {
			same(int32(i), s.peer)
		}
		if t.Logf("%s: %d doubles, %d answers compared", name, len(doubles), compared); compared < 1000 {
			t.Errorf("%s: too few to tell", name)
		}
	}
}
