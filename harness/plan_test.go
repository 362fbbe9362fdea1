package harness

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

func TestPlanRoundTrip(t *testing.T) {
	p := DefaultPlan()
	p.Backend, p.Fault, p.Seed, p.FaultFor = "hashiraft", "one-way-in", 42, rundir.Duration(321*time.Millisecond)
	text, err := EncodePlan(p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePlan(text)
	if err != nil {
		t.Fatal(err)
	}
	if back != p {
		t.Errorf("wrote %+v\nread  %+v", p, back)
	}
}

func TestPlanRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"backend = \"etcdraft\"\nclinets = 4\n":              "clinets = 4",
		"duration = \"1.5 parsecs\"\n":                       "duration",
		"backend = \"zab\"\n":                                `backend is "zab"; it must be one of multipaxos, etcdraft`,
		"fault = \"meteor\"\n":                               `fault is "meteor"`,
		"workload = \"\"\n":                                  `workload is ""`,
		"clients = 0\n":                                      "clients is 0; it must be 1 to 4096",
		"arrival = \"open\"\n":                               "rate is 0; open arrival needs",
		"fault = \"crash-leader\"\nreplicas = 1\n":           "needs at least 3 replicas",
		"fault = \"crash-leader\"\nfault_for = \"10s\"\n":    "leave time to recover",
		"fault = \"crash-leader\"\nfault_repeat = 9\n":       "leave time to recover",
		"record_bytes = 300000\n":                            "record_bytes is 300000",
		"tier = \"cloud\"\n":                                 `tier is "cloud"; it must be one of local, virtual`,
		"= 3\n":                                              "cannot be read",
		"limits.oldslots = \"keep\"\n":                       "oldslots",
		"limits.old_slots = \"hoard\"\n":                     `switches.old_slots is "hoard"; it must be one of "re-propose" "keep"`,
		"limits.old_slots = \"keep\"\n":                      "rule 14",
		"limits.phase1_quorum = 1\n":                         "rule 18",
		"backend = \"etcdraft\"\nlimits.number = \"vote\"\n": "switches.number is set; only multipaxos has it",
		"limits.read_mode = \"psychic\"\n":                   `read mode is "psychic"`,
		"limits.pre_vote = \"maybe\"\n":                      "pre_vote is \"maybe\"; it must be on or off",
	} {
		_, err := ParsePlan([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want it to say %q", text, err, want)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	text, err := EncodePlan(DefaultPlan())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("backend = \"x\""))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParsePlan(text)
		if err != nil {
			return
		}
		if err := ValidatePlan(p); err != nil {
			t.Errorf("a plan was read that does not validate: %v", err)
		}
	})
}

func TestBenchCoversTheComparison(t *testing.T) {
	o := BenchOptions{Slices: 3}
	cells, plans := o.Cells(), o.Plans()
	if len(cells) != 3*3*3+3 || len(plans) != 3*len(cells) {
		t.Fatalf("%d cells and %d plans, want 30 and 90", len(cells), len(plans))
	}
	names := map[string]bool{}
	for _, p := range plans {
		if err := ValidatePlan(p); err != nil {
			t.Errorf("%s: %v", RunName(p), err)
		}
		if names[RunName(p)] {
			t.Errorf("%s is planned twice", RunName(p))
		}
		names[RunName(p)] = true
	}
	// The backends of a cell run one after another, on one seed, and each of
	// them is first in one slice.
	first := map[string]bool{}
	for i, p := range plans {
		if p.Workload != "create" || p.Fault != "crash-leader" || i > 0 && plans[i-1].Workload == "create" && plans[i-1].Fault == p.Fault {
			continue
		}
		first[p.Backend] = true
		group := []string{p.Backend, plans[i+1].Backend, plans[i+2].Backend}
		slices.Sort(group)
		if want := slices.Sorted(slices.Values(node.Replicated())); !slices.Equal(group, want) {
			t.Errorf("slice %d: the group is %v", p.Slice, group)
		}
		if plans[i+1].Seed != p.Seed || plans[i+2].Seed != p.Seed {
			t.Errorf("slice %d: compared runs have different seeds", p.Slice)
		}
	}
	if len(first) != 3 {
		t.Errorf("first of their groups were only %v", first)
	}
}

func TestScheduleRepeatsWithinTheHeartbeat(t *testing.T) {
	p := FailoverPlan("etcdraft", "matched-3", 5, 20)
	if err := ValidatePlan(p); err != nil {
		t.Fatal(err)
	}
	const heartbeat = 30 * time.Millisecond
	a, b := Schedule(p, heartbeat), Schedule(p, heartbeat)
	if len(a) != 20 || !slices.Equal(a, b) {
		t.Fatalf("%d steps, equal %v", len(a), slices.Equal(a, b))
	}
	moved := map[time.Duration]bool{}
	for i, s := range a {
		shift := s.At - time.Duration(p.FaultAt) - time.Duration(i)*time.Duration(p.FaultEvery)
		if shift < 0 || shift >= heartbeat {
			t.Errorf("step %d is moved by %v", i, shift)
		}
		moved[shift] = true
	}
	if len(moved) < 10 {
		t.Errorf("only %d different moments within the heartbeat interval", len(moved))
	}
	if p.Fault = "none"; Schedule(p, heartbeat) != nil {
		t.Error("no fault, but a schedule")
	}
}

func TestReplayCommandNamesThePlan(t *testing.T) {
	p := DefaultPlan()
	p.Seed, p.Backend, p.Arrival, p.Rate = 77, "hashiraft", "open", 12.5
	for _, want := range []string{"--seed 77", "--backend hashiraft", "--arrival open", "--rate 12.5", "--fault-for 600ms"} {
		if line := ReplayCommand(p); !strings.Contains(line, want) {
			t.Errorf("%q does not say %q", line, want)
		}
	}
}

// What differs from the setting survives being typed, printed and read again.
func TestLimitsOfAPlan(t *testing.T) {
	p := DefaultPlan()
	for _, l := range []string{"read_mode=lease", "snapshot_every=500", "tick=5ms", "pre_vote=off", "max_clock_drift=0.02"} {
		if err := SetLimit(&p.Limits, l); err != nil {
			t.Fatal(err)
		}
	}
	text, err := EncodePlan(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePlan(text)
	if err != nil || again != p {
		t.Fatalf("%v\n%+v\n%+v", err, p, again)
	}
	l, err := PlanLimits(p)
	if err != nil || l.ReadMode != consensus.ReadLease || l.SnapshotEvery != 500 || l.Tick != 5*time.Millisecond || l.PreVote || !l.CheckQuorum || l.MaxClockDrift != 0.02 {
		t.Fatalf("%v %+v", err, l)
	}
	for _, want := range []string{"--limit read_mode=lease", "--limit snapshot_every=500", "--limit tick=5ms", "--limit pre_vote=off", "--limit max_clock_drift=0.02"} {
		if line := ReplayCommand(p); !strings.Contains(line, want) {
			t.Errorf("%s lacks %s", line, want)
		}
	}
	for _, bad := range []string{"read_mode", "nonsense=1", "window=many"} {
		if err := SetLimit(&rundir.Limits{}, bad); err == nil {
			t.Errorf("limit %s passes", bad)
		}
	}
	p.Limits.ReadMode = "stale"
	if err := ValidatePlan(p); err == nil || !strings.Contains(err.Error(), "only workload register") {
		t.Errorf("stale reads of a GFS cell pass: %v", err)
	}
	p.Limits.ReadMode, p.Limits.PreVote = "", "perhaps"
	if err := ValidatePlan(p); err == nil || !strings.Contains(err.Error(), "pre_vote") {
		t.Errorf("pre_vote perhaps passes: %v", err)
	}
}

// TestPlanSwitches: a plan in Raft mode is read, kept in what is written of it, and
// reaches the limits.
func TestPlanSwitches(t *testing.T) {
	const text = `
limits = {eligibility = "up-to-date", number = "vote", old_slots = "keep", acceptance = "contiguous", catch_up = "leader", phase1_quorum = 2, snapshot_every = 500, trailing_entries = 50}
`
	p, err := ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l, err := PlanLimits(p)
	if err != nil || l.Switches != consensus.RaftMode() || l.Phase1Quorum != 2 || l.SnapshotEvery != 500 || l.TrailingEntries != 50 {
		t.Errorf("the limits are %+v, %v", l, err)
	}
	written, err := EncodePlan(p)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParsePlan(written); err != nil || back != p {
		t.Errorf("wrote %+v\nread  %+v, %v", p, back, err)
	}
}
