package harness

import (
	"runtime/metrics"
	"syscall"

	"gfslab/harness/cluster"
	"gfslab/results/rundir"
)

// meter takes the difference of all counters over the measured window.
type meter struct {
	cell          *cluster.Cluster
	now           func() int64
	began         int64
	leader        string
	nodes         map[string]map[string]uint64
	cpu           float64
	allocs, bytes uint64
}

func startMeter(cell *cluster.Cluster, now func() int64) *meter {
	m := &meter{cell: cell, now: now, nodes: cell.Counters(), cpu: cpuSeconds()}
	m.leader, _, _ = cell.Leader()
	m.allocs, m.bytes = heapAllocs()
	m.began = now()
	return m
}

// stop returns what was used since the start. done counts the operations that
// completed in the window.
func (m *meter) stop(done func() uint64) rundir.Counters {
	c := rundir.Counters{Leader: m.leader, Operations: done(), Seconds: float64(m.now()-m.began) / 1e9}
	c.CPUSeconds = cpuSeconds() - m.cpu
	allocs, bytes := heapAllocs()
	c.Allocs, c.AllocBytes = allocs-m.allocs, bytes-m.bytes
	c.Nodes = m.cell.Counters()
	for node, counters := range c.Nodes {
		subtract(counters, m.nodes[node])
	}
	return c
}

// subtract turns totals into what was added since. Totals run over all
// incarnations of a node; a figure that can fall (a gauge) ends at 0.
func subtract(totals, before map[string]uint64) {
	for k, v := range totals {
		totals[k] = v - min(v, before[k])
	}
}

// cpuSeconds is the CPU time of the whole process.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// heapAllocs is the number and volume of allocations of the whole process.
func heapAllocs() (objects, bytes uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
