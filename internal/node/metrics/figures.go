package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"gfslab/consensus"
)

// Figure is one number that is read when Prometheus asks.
type Figure struct {
	// Name follows gfslab_<subsystem>_; that of a counter ends with _total.
	Name, Help string
	Counter    bool
	Value      float64
	// Label and By tell figures of one name apart; both may be empty.
	Label, By string
}

// Gauge returns a figure that goes up and down.
func Gauge[N int | int64 | uint64 | float64](name, help string, value N) Figure {
	return Figure{Name: name, Help: help, Value: float64(value)}
}

// Counter returns a figure that only grows while the daemon runs.
func Counter[N int | int64 | uint64 | float64](name, help string, value N) Figure {
	return Figure{Name: name, Help: help, Value: float64(value), Counter: true}
}

// Add shows what read returns, which is called for every request of Prometheus,
// from any goroutine. It must not block for long.
func (s *Set) Add(subsystem string, read func() []Figure) {
	s.registry.MustRegister(figures{subsystem, read})
}

// figures is a collector whose metrics are known only when they are read: the
// backends count different things.
type figures struct {
	subsystem string
	read      func() []Figure
}

// Describe implements prometheus.Collector: it says nothing beforehand.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (f figures) Collect(out chan<- prometheus.Metric) {
	for _, g := range f.read() {
		kind := prometheus.GaugeValue
		if g.Counter {
			kind = prometheus.CounterValue
		}
		var labels, values []string
		if g.Label != "" {
			labels, values = []string{g.Label}, []string{g.By}
		}
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, f.subsystem, g.Name), g.Help, labels, nil)
		m, err := prometheus.NewConstMetric(desc, kind, g.Value, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		out <- m
	}
}

// Replica is what a replica of the log says of itself.
func Replica(r consensus.Replica) func() []Figure {
	return func() []Figure {
		st := r.Status()
		out := []Figure{
			Gauge("term", "Raft term, or Paxos ballot.", st.Term),
			Gauge("leader", "Node id of the leader, 0 if none is known.", uint64(st.Leader)),
			Gauge("committed_index", "Highest log index known to be committed.", st.Committed),
			Gauge("applied_index", "Highest log index applied.", st.Applied),
			Gauge("last_index", "Highest log index stored, committed or not.", st.Last),
			Gauge("snapshot_index", "Log index of the newest snapshot on disk.", st.Snapshot),
			Gauge("first_index", "Lowest log index that the log may still hold.", st.First),
		}
		for _, role := range []consensus.Role{consensus.Follower, consensus.Candidate, consensus.Leader} {
			is := 0
			if st.Role == role {
				is = 1
			}
			g := Gauge("role", "1 for the role that the replica has, 0 for the others.", is)
			g.Label, g.By = "role", role.String()
			out = append(out, g)
		}
		for name, value := range st.Counters {
			out = append(out, counted(name, value))
		}
		return out
	}
}

// counted turns one of a replica's own counters into a figure: what tells of the
// restart, and the segments that are open, are facts, the rest are totals.
func counted(name string, value uint64) Figure {
	fact := strings.HasPrefix(name, "restart_") || name == "segments"
	f := Figure{Value: float64(value), Counter: !fact, Help: "The replica's counter " + name + "."}
	if base, micro := strings.CutSuffix(name, "_us"); micro {
		name, f.Value = base+"_seconds", f.Value/1e6
	}
	if !fact {
		name += "_total"
	}
	f.Name = name
	return f
}
