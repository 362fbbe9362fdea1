package report

import (
	"fmt"
	"slices"
	"strings"
)

// Sentences that stand under tables and figures.
const (
	intervalNote = "With fewer than 6 values the interval is the range of the n slices; from 6 on it is the distribution-free 95 % confidence interval of the median. Only valid runs are in it."
	costNote     = "Frames and bytes are of all replicas of the master together; CPU and allocations of the whole process, clients and chunkservers included. " +
		"Under a fault the counters of single nodes are left out: leadership moves and a restarted node counts from 0."
	failoverNote = "From injection. Virtual: the full stack in virtual time on memory disks, where CPU is free; schedules replay, interleavings do not. " +
		"Local: real files and loopback TCP; it pools every leader fault of the workloads that keep the master busy, and is the cross-check. " +
		"Append is left out: its master is idle, and an idle Multi-Paxos leader commits nothing before the next command comes, where Raft commits a no-op. Unavailability is of the create workload alone, in both."
	bareLogNote = "The consensus layer alone: three replicas in one process, a no-op state machine, real files and loopback TCP, no master and no fault wrapper."
)

// provenance is one line on where the data come from.
func (s *Summary) provenance() string {
	line := fmt.Sprintf("%s, %s, `%s`", s.Created.UTC().Format("2006-01-02 15:04 UTC"), s.Version, s.Command)
	if s.WallSeconds > 0 {
		line += fmt.Sprintf(", %.0f s", s.WallSeconds)
	}
	if s.Interrupted {
		line += ", INTERRUPTED: the bench did not run to its end"
	}
	return line
}

// pairNote states the rule of the table of differences, and how often it would
// speak of two equal systems.
func pairNote(pairs []pair) string {
	made, resolved, chance := 0, 0, 0.0
	for _, p := range pairs {
		for _, f := range p.Findings {
			if f.Resolved {
				resolved++
			}
			if f.chance > 0 {
				made++
			}
			chance += f.chance
		}
	}
	note := "A difference is said only where the intervals have no value in common, and never where the shares of excluded runs differ or a row is not durable. " +
		fmt.Sprintf("With 3 slices a side, two equal systems look different in %.0f of 100 comparisons", 100*byChance(3, 3))
	if made == 0 {
		return note + "."
	}
	return note + fmt.Sprintf(": of the %d comparisons made here %d are resolved, and about %.0f would be by chance alone.", made, resolved, chance)
}

// answers are the report's three sentences: failover, the normal case, what a
// fault costs.
func (s *Summary) answers() []string {
	return []string{s.failoverAnswer(), s.steadyAnswer(), s.faultAnswer()}
}

func (s *Summary) failoverAnswer() string {
	var parts []string
	var sets []*failoverSet
	world := "virtual"
	for _, w := range []string{"virtual", "local"} {
		if len(sets) > 0 {
			break
		}
		world = w
		for _, f := range s.Failovers {
			if f.World == w && f.Failover != nil {
				sets = append(sets, f)
				parts = append(parts, fmt.Sprintf("%s %s ms [%s, %s] (n=%d)", f.Backend, short(f.Failover.Median), short(f.Failover.Low), short(f.Failover.High), f.Failover.N))
			}
		}
	}
	if len(parts) == 0 {
		return "Failover: no valid failover was measured."
	}
	where := "in virtual time, where CPU is free"
	if world == "local" {
		where = "on this machine"
	}
	return fmt.Sprintf("Failover after the loss of the leader, median %s: %s; %s.", where, strings.Join(parts, ", "), setFindings(sets))
}

func setFindings(sets []*failoverSet) string {
	f := figureOf("failover_ms")
	var out []string
	for i, x := range sets {
		for _, y := range sets[i+1:] {
			why := ""
			if !x.Trials.sameShare(y.Trials) {
				why = fmt.Sprintf("excluded trials differ (%s, %s)", x.Trials.excluded(), y.Trials.excluded())
			}
			out = append(out, say(x.Backend, y.Backend, judgePair(f, x.Backend, y.Backend, x.Failover, y.Failover, why)))
		}
	}
	if len(out) == 0 {
		return "nothing to compare it with"
	}
	return strings.Join(out, "; ")
}

// say is one finding as a clause, with what the difference is made of.
func say(a, b string, f finding) string {
	if !f.Resolved {
		return fmt.Sprintf("%s and %s: %s", a, b, f.Text)
	}
	kind, _, _ := strings.Cut(kindOfPair(a, b), " (")
	return fmt.Sprintf("%s than %s (%s)", f.Text, other(f.Text, a, b), kind)
}

// other is the backend that a finding does not begin with.
func other(text, a, b string) string {
	if strings.HasPrefix(text, a+" ") {
		return b
	}
	return a
}

func (s *Summary) steadyAnswer() string {
	workload := s.headWorkload("none")
	if workload == "" {
		return "Without faults: no such cell was planned."
	}
	var parts []string
	for _, c := range s.cellsOf(workload, "none") {
		parts = append(parts, fmt.Sprintf("%s %s ops/s", c.Backend, short(medianOf(c.Figures["ops_per_s"]))))
	}
	var found []string
	for _, p := range s.Pairs {
		if p.Workload == workload && p.Fault == "none" && p.A != "unreplicated" && p.B != "unreplicated" {
			found = append(found, say(p.A, p.B, p.Findings["ops_per_s"]))
		}
	}
	line := fmt.Sprintf("Without faults, %s at a median of %s", workload, strings.Join(parts, ", "))
	if len(found) > 0 {
		line += "; " + strings.Join(found, "; ")
	}
	return line + "."
}

func (s *Summary) faultAnswer() string {
	var parts []string
	for _, workload := range s.workloads() {
		var values []float64
		for _, c := range s.Cells {
			if m := medianOf(c.Figures["unavailable_ms"]); c.Workload == workload && c.Fault != "none" && m != nil {
				values = append(values, *m)
			}
		}
		if len(values) > 0 {
			low, high := slices.Min(values), slices.Max(values)
			parts = append(parts, fmt.Sprintf("%s %s to %s ms", workload, short(&low), short(&high)))
		}
	}
	if len(parts) == 0 {
		return "What a fault costs the clients: no valid faulted run."
	}
	var found []string
	resolved, made := 0, 0
	for _, p := range s.Pairs {
		f := p.Findings["unavailable_ms"]
		if f.chance > 0 {
			made++
		}
		if f.Resolved {
			resolved++
			found = append(found, fmt.Sprintf("%s under %s: %s", p.Workload, p.Fault, say(p.A, p.B, f)))
		}
	}
	line := fmt.Sprintf("A lost leader leaves clients without a served mutation for a median, over backends and faults, of %s; ", strings.Join(parts, ", "))
	switch {
	case made == 0:
		return line + "no two backends could be compared."
	case resolved == 0:
		return line + fmt.Sprintf("of %d comparisons between backends none is resolved.", made)
	}
	line += fmt.Sprintf("of %d comparisons between backends %d resolved: %s", made, resolved, strings.Join(found, "; "))
	if resolved < made {
		line += "; in the others the difference is not resolved"
	}
	return line + "."
}

// headWorkload is the workload of which the first screen speaks: create, or else
// the first.
func (s *Summary) headWorkload(fault string) string {
	first := ""
	for _, c := range s.Cells {
		if c.Fault != fault {
			continue
		}
		if c.Workload == "create" {
			return "create"
		}
		if first == "" {
			first = c.Workload
		}
	}
	return first
}

func (s *Summary) cellsOf(workload, fault string) []CellSummary {
	var out []CellSummary
	for _, c := range s.Cells {
		if c.Workload == workload && c.Fault == fault {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(x, y CellSummary) int { return byBackend(x.Backend, y.Backend) })
	return out
}

func (s *Summary) workloads() []string {
	return s.distinct(func(c CellSummary) string { return c.Workload })
}

func (s *Summary) faults() []string {
	return s.distinct(func(c CellSummary) string { return c.Fault })
}

func (s *Summary) distinct(of func(CellSummary) string) []string {
	var out []string
	for _, c := range s.Cells {
		if v := of(c); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func medianOf(i *Interval) *float64 {
	if i == nil {
		return nil
	}
	return i.Median
}
