package report

import (
	"fmt"
	"strings"

	"gfslab/results/rundir"
)

// hostFacts are the facts of the machine that bear on the figures.
func hostFacts(h rundir.Host) [][2]string {
	disk := h.FileSystem
	if h.Durable {
		disk += ", durable"
	} else {
		disk += ", NOT durable: no row is ranked"
	}
	sync := fmt.Sprintf("%s µs alone, %s µs with three at once", short(&h.Sync1P50US), short(&h.Sync3P50US))
	if h.Sync1P50US > 0 {
		ratio := h.Sync3P50US / h.Sync1P50US
		sync += fmt.Sprintf(" (%s×: what sharing one disk costs)", short(&ratio))
	}
	return [][2]string{
		{"CPU", fmt.Sprintf("%s, %d cores", h.CPU, h.Cores)},
		{"memory", fmt.Sprintf("%.1f GiB", float64(h.MemoryBytes)/(1<<30))},
		{"system", strings.TrimSpace(h.OS + ", kernel " + h.Kernel + ", " + h.Go)},
		{"file system", fmt.Sprintf("%s, %.0f GiB free", disk, float64(h.FreeBytes)/(1<<30))},
		{"fdatasync p50", sync},
		{"CPU stolen", fmt.Sprintf("%.1f %% while calibrating", h.StealPercent)},
		{"pacer lag p99", fmt.Sprintf("%s µs: open-loop latencies below it cannot be told apart", short(&h.PacerLagP99))},
	}
}

// compared says in one line what stands against what.
func (s *Summary) compared() string {
	var settings, tiers []string
	backends := s.distinct(func(c CellSummary) string { return c.Backend })
	slices := 0
	for _, c := range s.Cells {
		slices = max(slices, c.PlannedSlices)
	}
	settings = s.distinct(func(c CellSummary) string { return c.Setting })
	tiers = s.distinct(func(c CellSummary) string { return c.Tier })
	return fmt.Sprintf("%s under the workloads %s and the faults %s; setting %s, tier %s, up to %d slices a cell, each on a fresh cluster.",
		strings.Join(backends, ", "), strings.Join(s.workloads(), ", "), strings.Join(s.faults(), ", "),
		strings.Join(settings, ", "), strings.Join(tiers, ", "), slices)
}

// figureWords are the words of the figures, as the harness measures them.
var figureWords = [][2]string{
	{"latency", "Response time: from the time an operation was due to its completion. A stall of the system cannot hide by holding the client back. An operation that failed or never ended is slower than any other."},
	{"unavailable", "From the injection of the fault to the completion of the first successful mutation that was invoked after it, by any client. Under append: the first append; under lease-churn: the first grant or revocation."},
	{"failover", "From the injection to the first commit under a new leader at a higher term."},
	{"detection", "From the injection to the first campaign of another node: what the timeouts really came to, whatever the knobs say."},
	{"isolated", "The node's links to its peers are cut both ways; clients still reach it."},
	{"crashed", "Connections cut, the file system frozen and rolled back to what was synced plus a seeded share of the rest, then a restart."},
	{"append and failover", "Appends go on under live chunk leases while the master has no leader: read unavailable (the client's view) beside failover (the master's). Under append the master is idle; an idle Multi-Paxos leader commits nothing before the next command, where Raft commits a no-op, so failover is not ranked there."},
	{"fsyncs, frames, bytes", "Counted at the file-system and network doors over the measured window, an operation. An operation of the workload may be a read, which costs no fsync."},
	{"planned, valid, invalid, unknown, void", "Every planned run is one of the four. Invalid: a checker found a violation. Unknown: the history proves too little, or a checker ran out of time; never a pass. Void: the run does not count, as its fault was not felt, its files are damaged or it is not there."},
	{"virtual", "The whole stack in virtual time on memory disks and links. CPU is free there: it shows the protocol's waits, not the cost of code."},
	{"matched-2, matched-3, native", "Settings: Paxos and etcd-raft exactly equal with the leader's disk in parallel; all three equal with the leader's disk first; each library at its documented best. Figures of different settings are never compared."},
}

// hypotheses says where on this page the evidence for docs/hypotheses.md stands.
var hypotheses = [][2]string{
	{"H1", "Times and Differences: create, none, multipaxos / etcdraft"},
	{"H2", "Costs: allocs and CPU of hashiraft"},
	{"H3", "Bare log: leader and follower fsyncs at one client"},
	{"H4", "Leader failovers, virtual: medians"},
	{"H5", "Leader failovers, virtual: p99 and max"},
	{"H6", "Times: unavailable, isolate-leader against crash-leader"},
	{"H7", "Unavailability by workload and fault"},
	{"H8", "Times: create, none, unreplicated"},
}
