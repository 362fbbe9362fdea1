package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gfslab/results/rundir"
)

// byHand is a run whose figures can be worked out on paper.
func byHand() *rundir.Run {
	op := func(id, due, end int64, kind, phase string) rundir.Op {
		o := rundir.Op{ID: id, Due: due * ms, Start: due * ms, End: end * ms, Kind: kind, Phase: phase, Outcome: rundir.OutcomeOK, Reply: &rundir.Reply{Code: "OK", Index: 1}}
		if end < 0 {
			o.End, o.Outcome, o.Reply = -1, rundir.OutcomeUnknown, nil
		}
		return o
	}
	late := op(5, 300, 700, rundir.KindStat, rundir.PhaseRun)
	late.Start = 650 * ms // due long before it could start: its latency is 400 ms, not 50
	failed := op(7, 500, 510, rundir.KindCreate, rundir.PhaseRun)
	failed.Outcome, failed.Reply = rundir.OutcomeFail, nil
	return &rundir.Run{
		Manifest: rundir.Manifest{Plan: rundir.Plan{Backend: "etcdraft", Workload: "create", Fault: "isolate-leader", Seed: 3}},
		Ops: []rundir.Op{
			op(1, 50, 60, rundir.KindCreate, rundir.PhasePreload), op(2, 90, 95, rundir.KindCreate, rundir.PhaseWarmUp),
			op(3, 100, 102, rundir.KindCreate, rundir.PhaseRun), op(4, 110, 114, rundir.KindCreate, rundir.PhaseRun),
			late, op(6, 400, 650, rundir.KindCreate, rundir.PhaseRun), failed, op(8, 510, -1, rundir.KindCreate, rundir.PhaseRun),
			op(9, 520, 780, rundir.KindCreate, rundir.PhaseRun), op(10, 600, 620, rundir.KindStat, rundir.PhaseRun),
		},
		// The create of 400 was invoked before the injection; the stat of 600 is no mutation.
		Faults:  []rundir.Fault{{Inject: 450 * ms, Heal: 800 * ms, Detected: 600 * ms, Elected: 610 * ms, Committed: 640 * ms}},
		Applied: map[string][]rundir.Applied{"m1": nil, "m2": nil, "m3": nil},
		Counters: rundir.Counters{Leader: "m1", Operations: 10, Seconds: 2, CPUSeconds: 0.5, Allocs: 70, Nodes: map[string]map[string]uint64{
			"m1": {"fsyncs": 10, "frames": 20, "bytes": 1000}, "m2": {"fsyncs": 4, "frames": 5, "bytes": 100}, "m3": {"fsyncs": 8, "frames": 5, "bytes": 100},
			"cs1": {"fsyncs": 25, "frames": 999, "bytes": 999}}},
	}
}

func wantNumber(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || math.Abs(*got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s = %s, want %g", what, plain(got), want)
	}
}

func TestFiguresByHand(t *testing.T) {
	m := &measured{}
	m.fill(byHand())
	// In ms: 2 4 20 250 260 400 ∞ ∞; nearest rank.
	wantNumber(t, "p50", m.P50US, 250e3)
	if m.P99US != nil {
		t.Errorf("p99 = %g; it falls among the operations that never ended", *m.P99US)
	}
	wantNumber(t, "ops/s", m.OpsPerSec, 5)
	wantNumber(t, "unavailable", m.UnavailableMS, 330)
	wantNumber(t, "failover", m.FailoverMS, 190)
	wantNumber(t, "detection", m.DetectionMS, 150)
	wantNumber(t, "allocs", m.Allocs, 7)
	wantNumber(t, "CPU", m.CPU, 5000)
	wantNumber(t, "chunkserver fsyncs", m.FsyncsChunk, 2.5)
	for name, v := range map[string]*float64{"leader fsyncs": m.FsyncsLeader, "follower fsyncs": m.FsyncsFollower, "frames": m.Frames, "bytes": m.Bytes} {
		if v != nil {
			t.Errorf("%s = %g under a fault, where the counters of a node mix two roles", name, *v)
		}
	}
	if m.began != 100*ms {
		t.Errorf("the window began at %d", m.began)
	}

	quiet := byHand()
	quiet.Faults = nil
	m = &measured{}
	m.fill(quiet)
	wantNumber(t, "leader fsyncs", m.FsyncsLeader, 1)
	wantNumber(t, "follower fsyncs", m.FsyncsFollower, 0.6)
	wantNumber(t, "frames", m.Frames, 3)
	wantNumber(t, "bytes", m.Bytes, 120)
	if m.FailoverMS != nil || m.UnavailableMS != nil {
		t.Error("a run without a fault has a failover")
	}

	appends := byHand()
	appends.Manifest.Plan.Workload = "append"
	appends.Ops[8].Kind = rundir.KindAllocate // no append: it does not show that appends are served
	m = &measured{}
	m.fill(appends)
	if m.UnavailableMS != nil {
		t.Errorf("unavailable = %g without an append", *m.UnavailableMS)
	}
}

func TestTimeThatNeverCame(t *testing.T) {
	c := &cell{}
	for i := range 3 {
		m := &measured{Row: Row{Verdict: rundir.Valid, OpsPerSec: number(float64(i))}, faults: []faultTimes{{}}}
		if i == 0 {
			m.FailoverMS = number(100)
		}
		c.runs = append(c.runs, m)
	}
	got := c.over(figureOf("failover_ms"))
	if got.N != 3 || got.Median != nil || got.High != nil || *got.Low != 100 {
		t.Errorf("two of three failovers never came: %v", got)
	}
	if s := got.String(); s != "never [100, never] n=3" {
		t.Errorf("it reads %q", s)
	}
	if c.over(figureOf("fsyncs_per_op_leader")) != nil {
		t.Error("a figure that does not apply has a summary")
	}
	c.runs[1].faults, c.runs[2].faults = nil, nil
	if got := c.over(figureOf("failover_ms")); got.N != 1 {
		t.Errorf("runs without a fault count as failovers: %v", got)
	}
	c.runs[0].Verdict = rundir.Invalid
	if got := c.over(figureOf("ops_per_s")); got.N != 2 {
		t.Errorf("an invalid run is in a median: %v", got)
	}
}

func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		values            []float64
		median, low, high float64
	}{
		{[]float64{5}, 5, 5, 5},
		{[]float64{3, 1, 2}, 2, 1, 3},
		{[]float64{4, 1, 3, 2}, 2.5, 1, 4},
		{[]float64{1, 2, 3, 4, 5, 6}, 3.5, 1, 6}, // 96.9 %
		// n = 20: the 6th and the 15th order statistic cover the median with 95.9 %.
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 10.5, 6, 15},
	} {
		i := summarise(c.values)
		if *i.Median != c.median || *i.Low != c.low || *i.High != c.high || i.N != len(c.values) {
			t.Errorf("%v: %v, want %g [%g, %g]", c.values, i, c.median, c.low, c.high)
		}
	}
	if summarise(nil) != nil {
		t.Error("no values have an interval")
	}
	i := summarise([]float64{1, 2, 3, 4, math.Inf(1), math.Inf(1), math.Inf(1)})
	if *i.Median != 4 || i.High != nil || *i.Low != 1 {
		t.Errorf("with values that never came: %v", i)
	}
}

func interval(low, median, high float64, n int) *Interval {
	return &Interval{Median: number(median), Low: number(low), High: number(high), N: n}
}

func TestJudgePair(t *testing.T) {
	ops, p50 := figureOf("ops_per_s"), figureOf("p50_us")
	inf := math.Inf(1)
	for _, c := range []struct {
		name     string
		f        figure
		x, y     *Interval
		why      string
		want     string
		resolved bool
	}{
		{"apart, more is better", ops, interval(90, 100, 110, 3), interval(190, 200, 210, 3), "", "B higher by 2.00×", true},
		{"apart, less is better", p50, interval(90, 100, 110, 3), interval(190, 200, 210, 3), "", "A faster by 2.00×", true},
		{"touching", p50, interval(90, 100, 190, 3), interval(190, 200, 210, 3), "", unresolved, false},
		{"overlapping", p50, interval(90, 100, 195, 3), interval(190, 200, 210, 3), "", unresolved, false},
		{"forbidden", p50, interval(90, 100, 110, 3), interval(190, 200, 210, 3), "not durable", "not ranked: not durable", false},
		{"too few", p50, interval(90, 100, 110, 2), interval(190, 200, 210, 3), "", "difference not resolved (n = 2 and 3; it takes 3)", false},
		{"one missing", p50, nil, interval(190, 200, 210, 3), "", "not ranked: one side has no value", false},
		{"both missing", p50, nil, nil, "not durable", "–", false},
		{"open end", p50, interval(90, 100, inf, 3), interval(190, 200, 210, 3), "", unresolved, false},
		{"open end above", p50, interval(90, 100, 110, 3), interval(190, 200, inf, 3), "", "A faster by 2.00×", true},
		{"never", p50, interval(90, inf, inf, 3), interval(10, 20, 30, 3), "", "difference not resolved (a median never came)", false},
		{"zero", p50, interval(0, 0, 0, 3), interval(1, 1, 1, 3), "", "A faster", true},
	} {
		got := judgePair(c.f, "A", "B", c.x, c.y, c.why)
		if got.Text != c.want || got.Resolved != c.resolved {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
		// The other way round it must say the same.
		turned := judgePair(c.f, "B", "A", c.y, c.x, c.why)
		if turned.Resolved != got.Resolved || c.resolved && turned.Text != got.Text {
			t.Errorf("%s, turned: %+v, was %+v", c.name, turned, got)
		}
	}
}

func cellOf(backend string, durable bool, verdicts ...string) *cell {
	c := &cell{Cell: rundir.Cell{Backend: backend, Workload: "create", Fault: "none", Setting: "matched-3", Tier: "local"}}
	for i, v := range verdicts {
		c.runs = append(c.runs, &measured{Row: Row{Backend: backend, Slice: i, Verdict: v, Durable: durable, OpsPerSec: number(float64(100 + i))}})
	}
	return c
}

func TestNotRanked(t *testing.T) {
	good := cellOf("etcdraft", true, "valid", "valid", "valid")
	other := cellOf("multipaxos", true, "valid", "valid", "valid")
	if why := notRanked(good, other); why != "" {
		t.Errorf("two whole cells are not ranked: %s", why)
	}
	if why := notRanked(cellOf("a", true, "valid", "void"), cellOf("b", true, "valid", "unknown")); why != "" {
		t.Errorf("equal shares are not ranked: %s", why)
	}
	if why := notRanked(good, cellOf("multipaxos", true, "valid", "valid", "unknown")); !strings.Contains(why, "0 of 3, 1 of 3") {
		t.Errorf("different shares: %q", why)
	}
	if why := notRanked(good, cellOf("multipaxos", false, "valid", "valid", "valid")); !strings.Contains(why, "multipaxos is not durable") {
		t.Errorf("not durable: %q", why)
	}
	virtual, twin := cellOf("a", false, "valid"), cellOf("b", false, "valid")
	virtual.Tier, twin.Tier = "virtual", "virtual"
	if why := notRanked(virtual, twin); why != "" {
		t.Errorf("virtual cells are not ranked: %s", why)
	}
	if why := notRanked(virtual, good); !strings.Contains(why, "tiers differ") {
		t.Errorf("a virtual and a local cell: %q", why)
	}
	native := cellOf("multipaxos", true, "valid", "valid", "valid")
	native.Setting = "native"
	if why := notRanked(good, native); !strings.Contains(why, "settings differ") {
		t.Errorf("different settings: %q", why)
	}
}

func TestPairsAreNeverCalledProtocol(t *testing.T) {
	names := append(slices.Clone(known), "raft-mode")
	for _, a := range names {
		for _, b := range names {
			if a == b {
				continue
			}
			kind := kindOfPair(a, b)
			if kind != kindOfPair(b, a) {
				t.Errorf("%s and %s: the order matters", a, b)
			}
			if strings.Contains(kind, "protocol") && !strings.Contains(kind, "implementation and protocol together (not separated") {
				t.Errorf("%s and %s: %s", a, b, kind)
			}
		}
	}
	if kind := kindOfPair("hashiraft", "etcdraft"); kind != "product comparison" {
		t.Errorf("etcdraft and hashiraft: %s", kind)
	}
}

// TestByChance counts over all orders of two sets of equal values how many leave
// one set wholly below the other.
func TestByChance(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for m := 1; m <= 5; m++ {
			all, apart := 0, 0
			for mask := range 1 << (n + m) {
				ones := 0
				for b := mask; b > 0; b &= b - 1 {
					ones++
				}
				if ones != n {
					continue
				}
				all++
				if low := 1<<n - 1; mask == low || mask == low<<m {
					apart++
				}
			}
			if got, want := byChance(n, m), float64(apart)/float64(all); math.Abs(got-want) > 1e-12 {
				t.Errorf("byChance(%d, %d) = %g, counted %g", n, m, got, want)
			}
		}
	}
}

func TestPhasesAddUp(t *testing.T) {
	nan := math.NaN()
	parts, n := phases([]trial{{100, 110, 115, 130}, {200, 230, 235, 220}, {100, nan, 110, 120}})
	// The second client was served before the commit was seen: its part is nothing.
	if want := [4]float64{150, 20, 5, 7.5}; parts != want || n != 2 {
		t.Errorf("parts %v of %d, want %v of 2", parts, n, want)
	}
}

func TestFaultWindows(t *testing.T) {
	a := &measured{faults: []faultTimes{{inject: 100 * ms, heal: 200 * ms}, {inject: 500 * ms, heal: -1}}}
	b := &measured{faults: []faultTimes{{inject: 130 * ms, heal: 260 * ms}}}
	windows := b.shadeFaults(a.shadeFaults(nil, 100*ms), 130*ms)
	if len(windows) != 2 || windows[0].x0 != 0 || windows[0].x1 != 130 || windows[1].x0 != 400 || !math.IsInf(windows[1].x1, 1) {
		t.Errorf("windows %+v; want 0 to 130, and from 400 on, never healed", windows)
	}
}

func TestBins(t *testing.T) {
	m := &measured{began: 120 * ms, seconds: 0.2, done: []int64{99 * ms, 151 * ms, 199 * ms, 200 * ms, 299 * ms, 301 * ms}}
	// Aligned to 100 ms, whole bins of the window: 150-200, 200-250, 250-300.
	got := m.bins(100 * ms)
	want := [][2]float64{{75, 40}, {125, 20}, {175, 20}}
	if len(got) != len(want) {
		t.Fatalf("bins %v, want %v", got, want)
	}
	for i, w := range want {
		if got[i].X != w[0] || got[i].Y != w[1] {
			t.Errorf("bin %d is %v, want %v", i, got[i], w)
		}
	}
	if m.seconds = 0.02; m.bins(100*ms) != nil {
		t.Error("a window shorter than a bin has bins")
	}
}

func TestMedianSlice(t *testing.T) {
	c := cellOf("a", true, "valid", "invalid", "valid", "valid", "valid") // 100, 102, 103, 104
	if m := c.medianSlice(); m.Slice != 2 {
		t.Errorf("slice %d, want the lower one of the two in the middle", m.Slice)
	}
	if cellOf("a", true, "void").medianSlice() != nil {
		t.Error("a cell without a valid run has a median slice")
	}
}

func TestCDF(t *testing.T) {
	const seed = 20261101
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		n := 1 + rng.IntN(5000)
		values := make([]float64, n)
		never := 0
		for i := range values {
			values[i] = rng.ExpFloat64()
			if rng.IntN(50) == 0 {
				values[i] = math.Inf(1)
				never++
			}
		}
		slices.Sort(values)
		points := cdf(values, 0)
		if never == n {
			if points != nil {
				t.Fatal("a line without a finite value")
			}
			continue
		}
		if len(points) > maxPoints+2 {
			t.Fatalf("%d points of %d values", len(points), n)
		}
		for i, p := range points {
			if i > 0 && (p.X < points[i-1].X || p.Y <= points[i-1].Y) {
				t.Fatalf("n %d: the line falls at %d: %v after %v", n, i, p, points[i-1])
			}
			// Y is the share of values at or below X.
			at, found := slices.BinarySearch(values, p.X)
			if !found || i > 0 && math.Abs(p.Y*float64(n)-float64(at+1)) > 1e-6 {
				t.Fatalf("n %d: point %v, but the value is number %d", n, p, at+1)
			}
		}
		if last := points[len(points)-1].Y; math.Abs(last-float64(n-never)/float64(n)) > 1e-9 {
			t.Fatalf("the line ends at %g, %d of %d never came", last, never, n)
		}
	}
	if cdf(nil, 0) != nil {
		t.Error("a line without values")
	}
}

func TestTicks(t *testing.T) {
	const seed = 20261102
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		top := math.Pow(10, rng.Float64()*8-2)
		hi := roundUp(top)
		if hi < top || hi > top*1.6 {
			t.Fatalf("roundUp(%g) = %g", top, hi)
		}
		labelled := niceTicks(6)(0, hi)
		if len(labelled) < 3 || len(labelled) > 7 {
			t.Fatalf("%d ticks up to %g", len(labelled), hi)
		}
		lo := top / math.Pow(10, 0.3+4*rng.Float64())
		lo, hi = roundLog(lo, false), roundLog(top, true)
		if hi < top || hi > top*2.5*1.0001 {
			t.Fatalf("roundLog(%g) = %g", top, hi)
		}
		named := 0
		for _, tick := range logTicks(lo, hi) {
			if tick.Value < lo*0.999 || tick.Value > hi*1.001 {
				t.Fatalf("tick %g outside [%g, %g]", tick.Value, lo, hi)
			}
			if tick.Label != "" {
				named++
			}
		}
		if named < 2 || named > 9 {
			t.Fatalf("%d named ticks on [%g, %g]", named, lo, hi)
		}
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 0.5: "0.500", 1: "1.00", 9.994: "9.99", 12.34: "12.3", 99.96: "100", 1234.5: "1,234", 1234567: "1,234,567", -4321: "−4,321"} {
		if got := short(&v); got != want {
			t.Errorf("short(%g) = %q, want %q", v, got, want)
		}
	}
	if short(nil) != "–" {
		t.Error("no value has a text")
	}
}
