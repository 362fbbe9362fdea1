package report

import (
	"math"
	"slices"
	"sort"

	"github.com/montanaflynn/stats"

	"gfslab/results/rundir"
)

// trial is one failover; times in milliseconds from the injection, NaN when it
// never came.
type trial struct {
	detected, elected, committed, available float64
}

// failoverSet are the failovers of one backend in one world.
type failoverSet struct {
	Backend string `json:"backend"`
	World   string `json:"world"` // "virtual" or "local"
	Trials  tally  `json:"trials"`
	// Never counts valid trials in which no new leader committed.
	Never       int       `json:"never_committed"`
	Detection   *Interval `json:"detection_ms"`
	Failover    *Interval `json:"failover_ms"`
	P90         *float64  `json:"failover_p90_ms"`
	P99         *float64  `json:"failover_p99_ms"`
	Max         *float64  `json:"failover_max_ms"`
	Unavailable *Interval `json:"unavailable_ms"`
	// UnavailableOf says which clients the unavailability is of.
	UnavailableOf string `json:"unavailable_of"`

	trials    []trial // valid ones
	available []trial // those of which Unavailable speaks
	reasons   []string
}

// failoverSets are the virtual sets, then the local ones, in order of backends.
// A set made of runs pools every leader fault of the workloads that keep the master busy:
// under append its log is all but idle, and the first commit waits for a command.
// Unavailability depends on the workload, so it is of create alone.
func (b *bench) failoverSets() []*failoverSet {
	var out []*failoverSet
	for _, backend := range b.backends() {
		if trials, ok := b.failovers.Backends[backend]; ok {
			out = append(out, virtualSet(backend, trials))
		}
	}
	for _, world := range worlds {
		for _, backend := range b.backends() {
			s := &failoverSet{Backend: backend, World: world.name, UnavailableOf: "create"}
			for _, c := range b.cells {
				if c.Backend == backend && c.Fault != "none" && c.Workload != "append" && (c.Tier == "virtual") == (world.name == "virtual") {
					s.addCell(c)
				}
			}
			if s.Trials.Planned > 0 {
				s.finish()
				out = append(out, s)
			}
		}
	}
	return out
}

func virtualSet(backend string, trials []rundir.Failover) *failoverSet {
	s := &failoverSet{Backend: backend, World: "virtual", UnavailableOf: "create"}
	never := func(ms float64) float64 {
		if ms == 0 {
			return math.NaN()
		}
		return ms
	}
	for _, t := range trials {
		s.Trials.add(t.Verdict)
		if t.Verdict != rundir.Valid {
			reason := t.Verdict + ": " + t.Reason
			if t.Reason == "" {
				reason = t.Verdict + ": see the runs of the virtual failovers below"
			}
			if !slices.Contains(s.reasons, reason) {
				s.reasons = append(s.reasons, reason)
			}
			continue
		}
		s.trials = append(s.trials, trial{never(t.DetectionMS), never(t.ElectedMS), never(t.FailoverMS), never(t.UnavailableMS)})
	}
	s.available = s.trials
	s.finish()
	return s
}

func (s *failoverSet) addCell(c *cell) {
	for _, m := range c.runs {
		n := max(1, len(m.faults))
		for range n {
			s.Trials.add(m.Verdict)
		}
		if m.Verdict != rundir.Valid {
			continue
		}
		for _, f := range m.faults {
			t := trial{f.detected, f.elected, f.committed, f.available}
			s.trials = append(s.trials, t)
			if c.Workload == "create" {
				s.available = append(s.available, t)
			}
		}
	}
}

func (s *failoverSet) finish() {
	failover := column(s.trials, func(t trial) float64 { return t.committed })
	for _, v := range failover {
		if math.IsInf(v, 1) {
			s.Never++
		}
	}
	s.Failover = summarise(failover)
	s.Detection = summarise(column(s.trials, func(t trial) float64 { return t.detected }))
	s.Unavailable = summarise(column(s.available, func(t trial) float64 { return t.available }))
	at := func(p float64) *float64 {
		v, err := stats.PercentileNearestRank(failover, p)
		if err != nil {
			return nil
		}
		return number(v)
	}
	s.P90, s.P99, s.Max = at(90), at(99), at(100)
}

// column takes one time of all trials, sorted; what never came is infinite.
func column(trials []trial, of func(trial) float64) []float64 {
	var out []float64
	for _, t := range trials {
		v := of(t)
		if math.IsNaN(v) {
			v = math.Inf(1)
		}
		out = append(out, v)
	}
	sort.Float64s(out)
	return out
}

// phases are the parts of the time from injection to the first mutation served:
// detection, election, first commit, client. Each is a mean over the trials in
// which all came; n is their number. A part that went backwards (a client may be
// served before the harness sees the commit) counts as nothing.
func phases(trials []trial) (parts [4]float64, n int) {
	for _, t := range trials {
		at := [5]float64{0, t.detected, t.elected, t.committed, t.available}
		if math.IsNaN(t.detected + t.elected + t.committed + t.available) {
			continue
		}
		n++
		for i := range parts {
			at[i+1] = max(at[i+1], at[i])
			parts[i] += at[i+1] - at[i]
		}
	}
	for i := range parts {
		parts[i] /= float64(max(n, 1))
	}
	return parts, n
}
