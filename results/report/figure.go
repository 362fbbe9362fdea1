package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/montanaflynn/stats"
	"golang.org/x/perf/benchmath"

	"gfslab/results/rundir"
)

// figure is one column of the tables.
type figure struct {
	key, name, unit string
	// better is the word for a better value; more says that the greater is better.
	better string
	more   bool
	cost   bool // in the table of costs, not of times
	// endless: where a run has no value, the time never came, and counts as longer
	// than any other. Elsewhere it does not apply, and does not count.
	endless bool
	of      func(*Row) *float64
}

// figures are all columns, in order.
var figures = []figure{
	{key: "ops_per_s", name: "throughput", unit: "ops/s", better: "higher", more: true, of: func(r *Row) *float64 { return r.OpsPerSec }},
	{key: "p50_us", name: "p50 latency", unit: "µs", better: "faster", endless: true, of: func(r *Row) *float64 { return r.P50US }},
	{key: "p99_us", name: "p99 latency", unit: "µs", better: "faster", endless: true, of: func(r *Row) *float64 { return r.P99US }},
	{key: "unavailable_ms", name: "unavailable", unit: "ms", better: "shorter", endless: true, of: func(r *Row) *float64 { return r.UnavailableMS }},
	{key: "failover_ms", name: "failover", unit: "ms", better: "shorter", endless: true, of: func(r *Row) *float64 { return r.FailoverMS }},
	{key: "detection_ms", name: "detection", unit: "ms", better: "shorter", endless: true, of: func(r *Row) *float64 { return r.DetectionMS }},
	{key: "fsyncs_per_op_leader", name: "leader fsyncs", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.FsyncsLeader }},
	{key: "fsyncs_per_op_follower", name: "follower fsyncs", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.FsyncsFollower }},
	{key: "fsyncs_per_op_chunkservers", name: "chunkserver fsyncs", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.FsyncsChunk }},
	{key: "frames_per_op", name: "frames", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.Frames }},
	{key: "bytes_per_op", name: "bytes", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.Bytes }},
	{key: "allocs_per_op", name: "allocs", unit: "/op", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.Allocs }},
	{key: "cpu_s_per_100k", name: "CPU", unit: "s/100k", better: "cheaper", cost: true, of: func(r *Row) *float64 { return r.CPU }},
}

// ofFault reports whether the figure counts from an injection.
func (f figure) ofFault() bool { return f.better == "shorter" }

func figureOf(key string) figure {
	for _, f := range figures {
		if f.key == key {
			return f
		}
	}
	panic("report: no figure " + key)
}

// minBenchmath is the least n for which a distribution-free interval at 95 %
// exists; below it the interval is the range.
const minBenchmath = 6

// Interval is a median with what is known of its spread. With n >= 6 it is the
// distribution-free confidence interval of the median at 95 % or more, below
// that the range of all n values. A bound that never came is null.
type Interval struct {
	Median *float64 `json:"median"`
	Low    *float64 `json:"low"`
	High   *float64 `json:"high"`
	N      int      `json:"n"`
}

// summarise returns nil for no values. Values may be +Inf.
func summarise(values []float64) *Interval {
	median, err := stats.Median(values)
	if err != nil {
		return nil
	}
	low, _ := stats.Min(values)
	high, _ := stats.Max(values)
	if len(values) >= minBenchmath {
		s := benchmath.AssumeNothing.Summary(benchmath.NewSample(values, &benchmath.DefaultThresholds), 0.95)
		low, high = s.Lo, s.Hi
	}
	return &Interval{Median: number(median), Low: number(low), High: number(high), N: len(values)}
}

// over summarises a figure over the valid runs of a cell.
func (c *cell) over(f figure) *Interval {
	var values []float64
	for _, m := range c.valid() {
		switch v := f.of(&m.Row); {
		case v != nil:
			values = append(values, *v)
		case f.endless && (len(m.faults) > 0 || !f.ofFault()):
			values = append(values, math.Inf(1))
		}
	}
	return summarise(values)
}

// tally counts verdicts.
type tally struct {
	Planned int `json:"planned"`
	Valid   int `json:"valid"`
	Invalid int `json:"invalid"`
	Unknown int `json:"unknown"`
	Void    int `json:"void"`
}

func (t *tally) add(verdict string) {
	t.Planned++
	switch verdict {
	case rundir.Valid:
		t.Valid++
	case rundir.Invalid:
		t.Invalid++
	case rundir.Void:
		t.Void++
	default:
		t.Unknown++
	}
}

// sameShare reports whether the same share of both was excluded.
func (t tally) sameShare(o tally) bool {
	return (t.Planned-t.Valid)*o.Planned == (o.Planned-o.Valid)*t.Planned
}

func (t tally) excluded() string { return fmt.Sprintf("%d of %d", t.Planned-t.Valid, t.Planned) }

func (c *cell) tally() tally {
	var t tally
	for _, m := range c.runs {
		t.add(m.Verdict)
	}
	return t
}

func (b *bench) tally() tally {
	var t tally
	for _, c := range b.cells {
		for _, m := range c.runs {
			t.add(m.Verdict)
		}
	}
	return t
}

// short is a value with three significant digits and its thousands parted.
func short(v *float64) string {
	if v == nil {
		return "–"
	}
	x := *v
	switch a := math.Abs(x); {
	case a == 0:
		return "0"
	case a >= 99.95:
		return thousands(x)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", x)
	case a >= 0.995:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func thousands(x float64) string {
	s := fmt.Sprintf("%.0f", math.Abs(x))
	var parts []string
	for len(s) > 3 {
		parts = append([]string{s[len(s)-3:]}, parts...)
		s = s[:len(s)-3]
	}
	s = strings.Join(append([]string{s}, parts...), ",")
	if x < 0 {
		s = "−" + s
	}
	return s
}

// String is "median [low, high] n".
func (i *Interval) String() string {
	if i == nil {
		return "–"
	}
	return fmt.Sprintf("%s [%s, %s] n=%d", never(i.Median), never(i.Low), never(i.High), i.N)
}

// never is short for a bound of an interval, where no value means that it never
// came.
func never(v *float64) string {
	if v == nil {
		return "never"
	}
	return short(v)
}
