package report

import (
	"math"
	"sort"

	"github.com/montanaflynn/stats"

	"gfslab/results/rundir"
)

// Row is one run in summary.json: one slice of one cell. A figure that does not
// apply, or that the run did not leave, is null.
type Row struct {
	Backend  string  `json:"backend"`
	Workload string  `json:"workload"`
	Fault    string  `json:"fault"`
	Setting  string  `json:"setting"`
	Tier     string  `json:"tier"`
	Seed     *uint64 `json:"seed"`
	Slice    int     `json:"slice"`
	Verdict  string  `json:"verdict"`
	// Ops are the operations completed in the measured window.
	Ops       *float64 `json:"ops"`
	OpsPerSec *float64 `json:"ops_per_s"`
	// P50US and P99US are response times from the due time, in microseconds. An
	// operation that failed or never ended is slower than any other; null means
	// that the percentile falls among those.
	P50US *float64 `json:"p50_us"`
	P99US *float64 `json:"p99_us"`
	// UnavailableMS, FailoverMS and DetectionMS count from the injection, the
	// median over the run's faults; null without a fault, or when it never came.
	UnavailableMS *float64 `json:"unavailable_ms"`
	FailoverMS    *float64 `json:"failover_ms"`
	DetectionMS   *float64 `json:"detection_ms"`
	// The leader is the node that led when the window began. Null when the fault
	// moved the leadership or restarted a node: the counters then mix two roles,
	// or lost what came before the restart.
	FsyncsLeader   *float64 `json:"fsyncs_per_op_leader"`
	FsyncsFollower *float64 `json:"fsyncs_per_op_follower"` // mean of the followers
	FsyncsChunk    *float64 `json:"fsyncs_per_op_chunkservers"`
	// Frames and Bytes were sent by all replicas of the master together.
	Frames *float64 `json:"frames_per_op"`
	Bytes  *float64 `json:"bytes_per_op"`
	// Allocs and CPU are of the whole process, clients included.
	Allocs *float64 `json:"allocs_per_op"`
	CPU    *float64 `json:"cpu_s_per_100k"`

	Durable bool   `json:"durable"`
	Reason  string `json:"reason"`
	// Dir is the run directory relative to the report, empty if there is none.
	Dir string `json:"dir"`
}

// measured is a run with what the plots and the page need of it.
type measured struct {
	Row
	checks  []rundir.CheckResult
	command string
	files   []string // what the checkers left, relative to Dir
	// latencies are response times in milliseconds, sorted; +Inf: never answered.
	latencies []float64
	// done are the completions of answered operations, nanoseconds of the run.
	done      []int64
	began     int64 // start of the measured window, nanoseconds of the run
	seconds   float64
	faults    []faultTimes
	effective map[string]string
}

// faultTimes are one fault's times in milliseconds from its injection; NaN when
// it never came.
type faultTimes struct {
	inject, heal                            int64 // nanoseconds of the run
	detected, elected, committed, available float64
}

// fill computes every figure of a run that was read whole.
func (m *measured) fill(run *rundir.Run) {
	p := run.Manifest.Plan
	m.Backend, m.Workload, m.Fault, m.Setting, m.Tier = p.Backend, p.Workload, p.Fault, p.Setting, p.Tier
	m.Seed, m.Slice, m.Durable = &p.Seed, p.Slice, run.Manifest.Host.Durable
	m.command, m.effective = run.Manifest.Command, run.Manifest.Effective
	m.times(run)
	c := run.Counters
	m.seconds = c.Seconds
	if c.Operations > 0 {
		ops := float64(c.Operations)
		m.Ops = &ops
		m.OpsPerSec = number(ops / c.Seconds)
		m.Allocs = number(float64(c.Allocs) / ops)
		m.CPU = number(c.CPUSeconds / ops * 1e5)
		m.counters(run, ops)
	}
	m.P50US, m.P99US = m.percentile(50), m.percentile(99)
	m.FailoverMS = m.overFaults(func(f faultTimes) float64 { return f.committed })
	m.DetectionMS = m.overFaults(func(f faultTimes) float64 { return f.detected })
	m.UnavailableMS = m.overFaults(func(f faultTimes) float64 { return f.available })
}

// times reads latencies, completions and faults.
func (m *measured) times(run *rundir.Run) {
	m.began = math.MaxInt64
	for _, op := range run.Ops {
		answered := op.Outcome == rundir.OutcomeOK
		if answered && op.Phase != rundir.PhasePreload && op.Phase != rundir.PhaseFinal {
			m.done = append(m.done, op.End)
		}
		if op.Phase != rundir.PhaseRun {
			continue
		}
		m.began = min(m.began, op.Due)
		latency := math.Inf(1)
		if answered {
			latency = float64(op.End-op.Due) / 1e6
		}
		m.latencies = append(m.latencies, latency)
	}
	sort.Float64s(m.latencies)
	since := func(f rundir.Fault, at int64) float64 {
		if at == 0 {
			return math.NaN()
		}
		return float64(at-f.Inject) / 1e6
	}
	for _, f := range run.Faults {
		t := faultTimes{inject: f.Inject, heal: f.Heal, detected: since(f, f.Detected),
			elected: since(f, f.Elected), committed: since(f, f.Committed), available: math.NaN()}
		if ns, ok := rundir.Unavailable(mutations(run), f); ok {
			t.available = float64(ns) / 1e6
		}
		m.faults = append(m.faults, t)
	}
}

// mutations leaves out what is not the workload's own mutation: under append,
// only an append says that appends are served.
func mutations(run *rundir.Run) []rundir.Op {
	if run.Manifest.Plan.Workload != "append" {
		return run.Ops
	}
	var out []rundir.Op
	for _, op := range run.Ops {
		if op.Kind == rundir.KindAppend {
			out = append(out, op)
		}
	}
	return out
}

// counters computes the figures of single nodes, where they mean something.
func (m *measured) counters(run *rundir.Run, ops float64) {
	c := run.Counters
	var fsyncs, chunk, frames, bytes float64
	followers := 0
	for name, n := range c.Nodes {
		if _, master := run.Applied[name]; !master {
			chunk += float64(n["fsyncs"])
			continue
		}
		frames += float64(n["frames"])
		bytes += float64(n["bytes"])
		if name != c.Leader {
			fsyncs += float64(n["fsyncs"])
			followers++
		}
	}
	m.FsyncsChunk = number(chunk / ops)
	if len(run.Faults) > 0 {
		return
	}
	m.Frames, m.Bytes = number(frames/ops), number(bytes/ops)
	if leader, ok := c.Nodes[c.Leader]; ok {
		m.FsyncsLeader = number(float64(leader["fsyncs"]) / ops)
	}
	if followers > 0 {
		m.FsyncsFollower = number(fsyncs / float64(followers) / ops)
	}
}

// percentile is the nearest-rank percentile of the latencies in microseconds.
func (m *measured) percentile(p float64) *float64 {
	v, err := stats.PercentileNearestRank(m.latencies, p)
	if err != nil {
		return nil
	}
	return number(v * 1e3)
}

// overFaults is the median of a time over the run's faults. A time that never
// came is longer than any other.
func (m *measured) overFaults(of func(faultTimes) float64) *float64 {
	var values []float64
	for _, f := range m.faults {
		v := of(f)
		if math.IsNaN(v) {
			v = math.Inf(1)
		}
		values = append(values, v)
	}
	v, err := stats.Median(values)
	if err != nil {
		return nil
	}
	return number(v)
}

// number is v for JSON, which knows neither NaN nor infinity.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
