package harness

import (
	"math"
	"slices"
	"time"

	"gfslab/results/rundir"
)

// LeaseThroughputPlan is one run of the measurement of appends through a failover:
// clients append and ask the master for nothing but leases, the leader is killed.
func LeaseThroughputPlan(backend string, term time.Duration, seed uint64) rundir.Plan {
	p := DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed = backend, "gfs-append-N", "crash-leader", seed
	p.Clients, p.Files, p.Chunkservers = 8, 4, 3
	p.LeaseTerm, p.Fencing = rundir.Duration(term), true
	p.ChunkBytes, p.RecordBytes = 64<<20, 64<<10
	p.WarmUp, p.Duration = rundir.Duration(500*time.Millisecond), rundir.Duration(5*time.Second)
	p.FaultAt, p.FaultFor = rundir.Duration(2*time.Second), rundir.Duration(1500*time.Millisecond)
	p.OpTimeout = rundir.Duration(5 * time.Second)
	return p
}

// Timeline is the rate of acknowledged appends over time around a fault.
type Timeline struct {
	// BinMS is the width of a bin; MS are the bins' middles from the injection on,
	// MBs (10⁶ bytes a second) the rates in them.
	BinMS float64   `json:"bin_ms"`
	MS    []float64 `json:"ms"`
	MBs   []float64 `json:"mb_per_s"`
	// GapMS is from the injection to the election of the next leader. (With nothing to
	// write into the log, its first commit may come much later.)
	GapMS float64 `json:"gap_ms"`
	// Before is the median rate of the bins in the 1.5 s before the injection, Gap the
	// rate over the whole gap, After that of the second behind it. Empty are the
	// gap's bins without any append; Longest the longest time without one in ms.
	Before  float64 `json:"before_mb_per_s"`
	Gap     float64 `json:"gap_mb_per_s"`
	After   float64 `json:"after_mb_per_s"`
	Empty   int     `json:"empty_bins"`
	Longest float64 `json:"longest_pause_ms"`
}

// timelineBin is the width of a bin.
const timelineBin = 50 * time.Millisecond

// AppendTimeline reads the timeline of a run's first fault; ok is false if it had
// none that another leader followed.
func AppendTimeline(run *rundir.Run) (t Timeline, ok bool) {
	if len(run.Faults) == 0 || run.Faults[0].Elected <= run.Faults[0].Inject {
		return t, false
	}
	f := run.Faults[0]
	t.BinMS = float64(timelineBin) / 1e6
	first, last := -int64(1500*time.Millisecond/timelineBin), int64(2500*time.Millisecond/timelineBin)
	bins := make([]float64, last-first)
	gapBytes, afterBytes := 0.0, 0.0
	for _, op := range run.Ops {
		if !appended(&op) {
			continue
		}
		if i := floorDiv(op.End-f.Inject, int64(timelineBin)) - first; i >= 0 && i < int64(len(bins)) {
			bins[i] += float64(op.Length)
		}
		switch at := op.End; {
		case at >= f.Inject && at < f.Elected:
			gapBytes += float64(op.Length)
		case at >= f.Elected && at < f.Elected+int64(time.Second):
			afterBytes += float64(op.Length)
		}
	}
	gap := f.Elected - f.Inject
	t.GapMS, t.Gap, t.After = float64(gap)/1e6, gapBytes/1e6/(float64(gap)/1e9), afterBytes/1e6
	var before []float64
	for i, n := range bins {
		middle := (float64(int64(i)+first) + 0.5) * t.BinMS
		rate := n / 1e6 / timelineBin.Seconds()
		t.MS, t.MBs = append(t.MS, middle), append(t.MBs, rate)
		switch {
		case middle < 0:
			before = append(before, rate)
		case n == 0 && middle+t.BinMS/2 <= t.GapMS:
			t.Empty++
		}
	}
	t.Before = medianOf(before)
	t.Longest = float64(rundir.LongestGap(run.Ops, f.Inject, f.Elected+int64(time.Second))) / 1e6
	return t, true
}

func appended(op *rundir.Op) bool {
	return op.Kind == rundir.KindAppend && op.Outcome == rundir.OutcomeOK && op.Reply.Code == "OK" && (op.Phase == rundir.PhaseRun || op.Phase == rundir.PhaseWarmUp)
}

func floorDiv(a, b int64) int64 { return int64(math.Floor(float64(a) / float64(b))) }

// medianOf is the median, the mean of the middle two; NaN of nothing.
func medianOf(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return math.NaN()
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

// MedianTimeline puts runs together bin by bin.
func MedianTimeline(all []Timeline) Timeline {
	out := Timeline{BinMS: all[0].BinMS, MS: all[0].MS}
	over := func(of func(Timeline) float64) float64 {
		var values []float64
		for _, t := range all {
			values = append(values, of(t))
		}
		return medianOf(values)
	}
	for i := range out.MS {
		out.MBs = append(out.MBs, over(func(t Timeline) float64 { return t.MBs[i] }))
	}
	out.GapMS, out.Before = over(func(t Timeline) float64 { return t.GapMS }), over(func(t Timeline) float64 { return t.Before })
	out.Gap, out.After = over(func(t Timeline) float64 { return t.Gap }), over(func(t Timeline) float64 { return t.After })
	out.Longest = over(func(t Timeline) float64 { return t.Longest })
	for _, t := range all {
		out.Empty += t.Empty
	}
	return out
}

// Spread is the lowest, the median and the highest of some runs.
type Spread struct {
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

// TimelineSpread are the figures of several timelines; Share is the rate in the gap
// in percent of the one before, run by run.
type TimelineSpread struct {
	GapMS   Spread `json:"gap_ms"`
	Before  Spread `json:"before_mb_per_s"`
	Gap     Spread `json:"gap_mb_per_s"`
	After   Spread `json:"after_mb_per_s"`
	Share   Spread `json:"share_percent"`
	Longest Spread `json:"longest_pause_ms"`
}

// SpreadOf summarises at least one timeline.
func SpreadOf(all []Timeline) TimelineSpread {
	over := func(of func(Timeline) float64) Spread {
		var v []float64
		for _, t := range all {
			v = append(v, of(t))
		}
		return Spread{slices.Min(v), medianOf(v), slices.Max(v)}
	}
	return TimelineSpread{
		GapMS: over(func(t Timeline) float64 { return t.GapMS }), Before: over(func(t Timeline) float64 { return t.Before }),
		Gap: over(func(t Timeline) float64 { return t.Gap }), After: over(func(t Timeline) float64 { return t.After }),
		Share: over(func(t Timeline) float64 { return 100 * t.Gap / t.Before }), Longest: over(func(t Timeline) float64 { return t.Longest }),
	}
}
