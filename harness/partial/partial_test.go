package partial

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/consensus"
)

// TestMedianInterval: for 20 values the ranks 6 and 15, from the tables of the
// binomial distribution; fewer than six have no such pair.
func TestMedianInterval(t *testing.T) {
	for n, rank := range map[int]int{6: 1, 10: 2, 20: 6, 30: 10, 100: 40} {
		values := make([]float64, n)
		for i := range values {
			values[(i*7)%n] = float64(i + 1) // in disorder
		}
		if n%7 == 0 {
			t.Fatal("the values are not all set")
		}
		if low, high := medianInterval(values); low != float64(rank) || high != float64(n+1-rank) {
			t.Errorf("of %d values the ranks are %v and %v; want %d and %d", n, low, high, rank, n+1-rank)
		}
	}
	if low, high := medianInterval([]float64{1, 2, 3, 4, 5}); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Errorf("five values give the interval %v, %v; there is none", low, high)
	}
}

// TestWilson: two figures of the published formula.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		hits, n   int
		low, high float64
	}{{20, 20, 0.839, 1}, {0, 20, 0, 0.161}, {10, 20, 0.299, 0.701}, {0, 0, 0, 1}} {
		if low, high := wilson(c.hits, c.n); math.Abs(low-c.low) > 0.001 || math.Abs(high-c.high) > 0.001 {
			t.Errorf("%d of %d: %.3f to %.3f; want %.3f to %.3f", c.hits, c.n, low, high, c.low, c.high)
		}
	}
}

// TestAdmits: only what the rules of a mode surely let lead must recover.
func TestAdmits(t *testing.T) {
	want := map[string]string{
		"quorum-loss": "pre-vote with check-quorum", "constrained-election": "pre-vote, any candidate",
		"chained": "all", "hub-current": "pre-vote", "no-hub": "none",
	}
	for _, s := range Scenarios() {
		for _, m := range Modes() {
			must := map[string]bool{"all": true, "none": false, "pre-vote": m.PreVote, "pre-vote, any candidate": m.PreVote && m.AnyCandidate,
				"pre-vote with check-quorum": m.PreVote && m.CheckQuorum}[want[s.Name]]
			if got := Admits(s, m); got != must {
				t.Errorf("%s, %v: %t", s.Name, m, got)
			}
		}
	}
}

// TestCutsLeaveTheHub: after the cuts of each scenario exactly those reach a quorum
// who should.
func TestCutsLeaveTheHub(t *testing.T) {
	for _, s := range Scenarios() {
		for leader := range s.Nodes {
			for offset := 1; offset < s.Nodes; offset++ {
				w := &world{members: make([]*member, s.Nodes)}
				r := w.assign(consensus.NodeID(leader+1), offset)
				if r.leader == r.hub || s.Nobody && (r.pair[0] == r.pair[1] || r.pair[0] == r.hub || r.pair[0] == r.leader || r.pair[1] == r.hub || r.pair[1] == r.leader) {
					t.Fatalf("%s: roles %+v", s.Name, r)
				}
				for a := consensus.NodeID(1); int(a) <= s.Nodes; a++ {
					reach := 1
					for b := consensus.NodeID(1); int(b) <= s.Nodes; b++ {
						if a != b && s.keeps(r, a, b) != s.keeps(r, b, a) {
							t.Fatalf("%s: the link %d-%d is cut one way", s.Name, a, b)
						}
						if a != b && s.keeps(r, a, b) {
							reach++
						}
					}
					connected := !s.Nobody && (a == r.hub || s.LeaderStays && a == r.leader || s.LeaderStays && s.Nodes == 3)
					if (reach > s.Nodes/2) != connected {
						t.Errorf("%s: roles %+v: node %d reaches %d of %d", s.Name, r, a, reach, s.Nodes)
					}
				}
			}
		}
	}
}

// TestBreaches: each way to break conformance is told, and nothing else is.
func TestBreaches(t *testing.T) {
	paxos, raft := mode(t, "multipaxos paxos pv+cq"), mode(t, "multipaxos raft pv+cq")
	good := Trial{Recovered: true, FirstMS: 300, Leader: 1, Hub: 2, Last: []uint64{9, 4, 9}}
	for name, c := range map[string]struct {
		cell Cell
		want string
	}{
		"as it must be":          {Cell{Scenario: "constrained-election", Mode: paxos, Admits: true, Trials: []Trial{good, good}}, ""},
		"never, and need not":    {Cell{Scenario: "constrained-election", Mode: raft, Trials: []Trial{{}, {}}}, ""},
		"never, and must":        {Cell{Scenario: "constrained-election", Mode: paxos, Admits: true, Trials: []Trial{good, {Seed: 7, Hub: 2}}}, "seed 7: nobody committed"},
		"too late":               {Cell{Scenario: "hub-current", Mode: paxos, Admits: true, Trials: []Trial{good, {Recovered: true, FirstMS: 1201}}}, "four election timeouts"},
		"without a quorum":       {Cell{Scenario: "no-hub", Mode: paxos, Trials: []Trial{{}, good}}, "without a quorum"},
		"a void one proves none": {Cell{Scenario: "no-hub", Mode: paxos, Trials: []Trial{{}, {Void: "the lead moved", Recovered: true}}}, ""},
		"too many void":          {Cell{Scenario: "no-hub", Mode: paxos, Trials: []Trial{{Void: "a"}, {Void: "b"}}}, "only 0 of 2"},
		"broken off":             {Cell{Scenario: "no-hub", Mode: paxos, Error: "no disk"}, "no disk"},
	} {
		r := NewResult(Spec{Trials: 2, Seed: 1})
		r.Cells = []Cell{c.cell}
		got := strings.Join(r.Breaches(), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: breaches %q; want %q", name, got, c.want)
		}
		if text := r.Markdown(); (got != "") != strings.Contains(text, "## Breaches") {
			t.Errorf("%s: the tables hide or invent a breach:\n%s", name, text)
		}
	}
}

// TestMarkdown: the row of a cell says what its trials were.
func TestMarkdown(t *testing.T) {
	r := NewResult(Spec{Trials: 4, Seed: 1})
	r.Cells = []Cell{{Scenario: "constrained-election", Mode: mode(t, "etcdraft pv+cq"), Trials: []Trial{
		{Recovered: true, FirstMS: 100, StallMS: 100, Leads: 1, Leader: 3, Hub: 1, Last: []uint64{4, 9, 10, 9, 9}},
		{Recovered: true, FirstMS: 200, StallMS: 150, Leads: 2, Leader: 3, Hub: 1, Last: []uint64{6, 9, 12, 9, 9}},
		{StallMS: 8000, Leader: 3, Hub: 1, Last: []uint64{5, 9, 11, 9, 9}},
		{Void: "the hub did not lag"},
	}}}
	want := "| etcdraft | pv+cq |  | 2 / 3 | 21-94 % | 1 | 200 [-, -] | never | 150 | 1.0 | 11 / 5 / 9 |"
	if text := r.Markdown(); !strings.Contains(text, want) {
		t.Errorf("the tables lack the row %s:\n%s", want, text)
	}
}

func TestPlan(t *testing.T) {
	cells, err := Spec{Trials: 1}.Plan()
	if err != nil || len(cells) != len(Scenarios())*len(Modes()) {
		t.Errorf("%d cells, %v; want every scenario in every mode", len(cells), err)
	}
	for _, bad := range []Spec{{}, {Trials: 1, Scenarios: []string{"moonshine"}}, {Trials: 1, Modes: []string{"multipaxos"}}} {
		if _, err := bad.Plan(); err == nil {
			t.Errorf("the spec %+v is taken", bad)
		}
	}
}

func TestPassKeepsProgressApart(t *testing.T) {
	var progress strings.Builder
	rest := pass(strings.NewReader("noise\n"+ProgressMark+"[1/2] a\nmore\n"+ProgressMark+"[2/2] b\n"), &progress)
	if progress.String() != "[1/2] a\n[2/2] b\n" || strings.Join(rest, ",") != "noise,more" {
		t.Errorf("progress %q, rest %q", progress.String(), rest)
	}
}

func mode(t *testing.T, name string) Mode {
	t.Helper()
	m, err := ModeNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPublished: what is published conforms under today's rules, is drawn as it was,
// and had as many valid trials as it says.
func TestPublished(t *testing.T) {
	dirs, err := filepath.Glob("../../results/published/*-partial-connectivity")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("nothing is published: %v", err)
	}
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, "result.json"))
		if err != nil {
			t.Fatal(err)
		}
		var r Result
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, b := range r.Breaches() {
			t.Errorf("%s: %s", dir, b)
		}
		tables, err := os.ReadFile(filepath.Join(dir, "tables.md"))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Markdown(); got != string(tables) {
			t.Errorf("%s: tables.md is not what result.json gives today", dir)
		}
		if cells, err := r.Spec.Plan(); err != nil || len(cells) != len(r.Cells) || r.Spec.Trials < 20 {
			t.Errorf("%s: %d cells of %d trials; planned %d of at least 20: %v", dir, len(r.Cells), r.Spec.Trials, len(cells), err)
		}
	}
}
