package harness

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gfslab/results/rundir"
)

const msec = int64(time.Millisecond)

// appends makes a run with an append of 1000 bytes acknowledged at each of the
// milliseconds.
func appends(at ...int64) *rundir.Run {
	run := &rundir.Run{}
	for i, ms := range at {
		run.Ops = append(run.Ops, rundir.Op{
			ID: int64(i + 1), Kind: rundir.KindAppend, Length: 1000, Start: ms*msec - msec, End: ms * msec, Phase: rundir.PhaseRun,
			Outcome: rundir.OutcomeOK, Reply: &rundir.Reply{Code: "OK"},
		})
	}
	return run
}

// TestTimeline: one append each 10 ms but for 100 ms of the gap of 200 ms.
func TestTimeline(t *testing.T) {
	var at []int64
	for ms := int64(1005); ms < 6000; ms += 10 {
		if ms < 3050 || ms >= 3150 {
			at = append(at, ms)
		}
	}
	run := appends(at...)
	if _, ok := AppendTimeline(run); ok {
		t.Error("a run without a fault has a timeline")
	}
	run.Faults = []rundir.Fault{{Inject: 3000 * msec, Elected: 3200 * msec, Heal: 4000 * msec}}
	got, ok := AppendTimeline(run)
	if !ok || got.GapMS != 200 || got.Empty != 2 || math.Abs(got.Before-0.1) > 1e-9 || math.Abs(got.Gap-0.05) > 1e-9 || math.Abs(got.After-0.1) > 1e-9 || got.Longest != 110 {
		t.Errorf("%v %+v", ok, got)
	}
	if first, n := got.MS[0], len(got.MS); first != -1475 || n != 80 || got.MBs[31] != 0 || math.Abs(got.MBs[30]-0.1) > 1e-9 {
		t.Errorf("bins from %v, %d of them: %v", first, n, got.MBs)
	}
	two := got
	two.Gap, two.MBs = 0.07, append([]float64(nil), got.MBs...)
	two.MBs[0] = 0.3
	if m := MedianTimeline([]Timeline{got, two}); math.Abs(m.Gap-0.06) > 1e-9 || math.Abs(m.MBs[0]-0.2) > 1e-9 || m.Empty != 4 {
		t.Errorf("median %+v", m)
	}
	if s := SpreadOf([]Timeline{two, got}); math.Abs(s.Gap.Low-0.05) > 1e-9 || math.Abs(s.Gap.High-0.07) > 1e-9 || math.Abs(s.Share.Median-60) > 1e-6 || s.GapMS.High != 200 {
		t.Errorf("spread %+v", s)
	}
}

func TestAppendRates(t *testing.T) {
	run := appends(1000, 1500, 2000)
	run.Ops[0].Phase = rundir.PhaseWarmUp
	run.Ops[2].Reply.Code = "NOT_FOUND"
	run.Manifest.Plan = AppendScalingPlan("multipaxos", 2, 1, 1<<20, "", 1)
	// Over 2 s: cs1 100 syncs of 5 ms, two at a time; cs2 300 of 1 ms, one after the other.
	run.Counters = rundir.Counters{Seconds: 2, CPUSeconds: 3, Nodes: map[string]map[string]uint64{
		"m1":  {"syncs": 999, "sync_us": 999, "fsyncs": 999},
		"cs1": {"syncs": 100, "sync_us": 500_000, "sync_busy_us": 250_000, "acknowledged": 1, "sync_wait_us": 250},
		"cs2": {"syncs": 300, "sync_us": 300_000, "sync_busy_us": 300_000},
	}}
	got := MeasureAppends(run)
	want := AppendRate{MBs: 0.0005, Appends: 0.5, P50MS: 1, Syncs: 100, SyncMS: 2, Busy: 0.1375, InFlight: 0.2, Wait: 0.25, CPUs: 1.5}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	slower := want
	slower.MBs, slower.Busy = 0.0003, 0.5
	var row AppendRow
	row.spread([]AppendRate{want, slower, slower})
	if row.Valid != 3 || row.MBs != (Spread{0.0003, 0.0003, 0.0005}) || row.Busy != (Spread{0.1375, 0.5, 0.5}) || row.Wait != (Spread{0.25, 0.25, 0.25}) {
		t.Errorf("row %+v", row)
	}
}

// TestRepairs: two chunks lose replicas; the one that has more left is begun first,
// which is an inversion.
func TestRepairs(t *testing.T) {
	event := func(ms int64, kind string, handle uint64, live int) rundir.ReplicaEvent {
		return rundir.ReplicaEvent{At: ms * msec, Kind: kind, Handle: handle, Live: live, Goal: 3, Bytes: 1e6}
	}
	run := &rundir.Run{
		Faults: []rundir.Fault{{Name: "crash-two-chunkservers", Inject: 1000 * msec, Heal: 9000 * msec}},
		Replicas: map[string][]rundir.ReplicaEvent{"m1": {
			event(500, rundir.ReplicaQueued, 9, 2), // before the fault
			event(1100, rundir.ReplicaQueued, 1, 2), event(1100, rundir.ReplicaQueued, 2, 1),
			event(1200, rundir.ReplicaClone, 1, 2), event(1250, rundir.ReplicaClone, 2, 1),
			event(1300, rundir.ReplicaCloned, 1, 2), event(3200, rundir.ReplicaCloned, 2, 1),
			event(9500, rundir.ReplicaCloned, 3, 1), // after the heal
		}},
		Leases: map[string][]rundir.LeaseEvent{"cs1": {{At: 900 * msec, Kind: rundir.LeaseCorrupt}, {At: 1700 * msec, Kind: rundir.LeaseCorrupt}}},
	}
	want := Repair{Fault: "crash-two-chunkservers", Queued: 2, Single: 1, Cloned: 2, MB: 2, FirstMS: 200, SingleMS: 2200, DoneMS: 2200, PerSecond: 1, MBs: 1, Inversions: 1, CorruptMS: 700}
	if got := MeasureRepair(run); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestInversions: a chunk with one replica waits while one with two is begun. That
// is an inversion unless it was not due, its chunkserver was busy, or it was decided
// first.
func TestInversions(t *testing.T) {
	event := func(ms int64, kind string, handle uint64, live int, source string) rundir.ReplicaEvent {
		return rundir.ReplicaEvent{At: ms * msec, Kind: kind, Handle: handle, Live: live, Goal: 3, Source: source, Server: "target of " + source}
	}
	queued := event(100, rundir.ReplicaQueued, 1, 1, "")
	other := event(400, rundir.ReplicaClone, 2, 2, "b")
	late := event(900, rundir.ReplicaClone, 1, 1, "a")
	decided := late
	decided.Begun = 350 * msec
	busyUntil := event(500, rundir.ReplicaCloned, 3, 1, "a")
	busyUntil.Begun = 310 * msec
	for name, c := range map[string]struct {
		events           []rundir.ReplicaEvent
		inverted, passed int
	}{
		"could have been begun": {[]rundir.ReplicaEvent{queued, other, late}, 1, 0},
		"never begun":           {[]rundir.ReplicaEvent{queued, other}, 1, 0},
		"not due":               {[]rundir.ReplicaEvent{event(350, rundir.ReplicaQueued, 1, 1, ""), other, late}, 0, 0},
		"decided first":         {[]rundir.ReplicaEvent{queued, other, decided}, 0, 0},
		"busy": {[]rundir.ReplicaEvent{queued, event(310, rundir.ReplicaClone, 3, 1, "a"), event(320, rundir.ReplicaClone, 4, 1, "a"), other,
			busyUntil, late}, 0, 1},
		"busy no more": {[]rundir.ReplicaEvent{queued, event(110, rundir.ReplicaClone, 3, 1, "a"), event(120, rundir.ReplicaClone, 4, 1, "a"),
			event(200, rundir.ReplicaCloned, 3, 1, "a"), other, late}, 1, 0},
	} {
		if inverted, passed := inversions(c.events, 200*msec); inverted != c.inverted || passed != c.passed {
			t.Errorf("%s: %d inversions and %d passed over, want %d and %d", name, inverted, passed, c.inverted, c.passed)
		}
	}
}

// TestMeasurementPlansCanRun: every plan that a command makes is one that runs.
func TestMeasurementPlansCanRun(t *testing.T) {
	plans := []rundir.Plan{
		LeaseThroughputPlan("etcdraft", time.Minute, 1), AppendScalingPlan("multipaxos", 16, 16, 64<<10, "gfs-y", 1),
		ReplicationPlan("hashiraft", "crash-two-chunkservers", 5, 300, 200<<10, 0, 1), RotPlan("multipaxos", 5, 1), ScrubbedPlan("multipaxos", 5, 40, 200<<10, 1),
		PowerLossPlan("multipaxos", "register", 7),
	}
	for n, w := range []string{"create", "append", "overwrite", "bigdir", "delete-gc"} {
		plans = append(plans, ProfilePlan("multipaxos", w, FaultFor(w, []string{"crash-primary", "power-loss"}, n), 1), PowerLossPlan("multipaxos", w, 9))
	}
	for _, p := range plans {
		if err := ValidatePlan(p); err != nil {
			t.Errorf("%s: %v", RunName(p), err)
		}
	}
	if f := FaultFor("create", []string{"crash-primary", "power-loss"}, 0); f != "power-loss" {
		t.Errorf("%s for a workload without primaries", f)
	}
	if f := FaultFor("create", []string{"crash-primary"}, 0); f != "none" {
		t.Errorf("%s for a workload without primaries", f)
	}
}

// TestReplayKeepsProfileKeys: what a plan sets stands in its replay line.
func TestReplayKeepsProfileKeys(t *testing.T) {
	p := ProfilePlan("multipaxos", "bigdir", "power-loss", 3)
	p.Strict, p.Racks, p.CloneRate = true, 2, 5
	line := ReplayCommand(p)
	for _, want := range []string{"--files=400", "--strict=true", "--racks=2", "--clone-rate=5", "--fencing=true", "--settle=15s", "--orphan-age=300ms"} {
		if !strings.Contains(line, want) {
			t.Errorf("%s is not in %s", want, line)
		}
	}
	if line := ReplayCommand(DefaultPlan()); strings.Contains(line, "=") {
		t.Errorf("a plain plan is replayed by %s", line)
	}
}

// TestSweepTellsOfPlansThatCannotRun before anything runs.
func TestSweepTellsOfPlansThatCannotRun(t *testing.T) {
	p := DefaultPlan()
	p.Workload = "gfs-z"
	o := SweepOptions{Tier: "local", Dir: filepath.Join(t.TempDir(), "sweep"), Plans: []rundir.Plan{DefaultPlan(), p}}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "gfs-z") {
		t.Errorf("error %v", err)
	}
}
