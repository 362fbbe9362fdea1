package report

import (
	"fmt"
	"slices"
)

// minResolvable is the least n on both sides for a difference to be told: with
// two slices, two equal systems fall apart in one comparison of three.
const minResolvable = 3

// unresolved is said where intervals overlap.
const unresolved = "difference not resolved"

// idleMaster is why failovers under append are not ranked: the master has next
// to nothing to commit, Raft commits a no-op of its own and Paxos waits for a
// command.
const idleMaster = "the master is idle under append"

// finding is what may be said of two intervals.
type finding struct {
	Resolved bool    `json:"resolved"`
	Ratio    float64 `json:"ratio,omitempty"` // of the medians, a to b
	Text     string  `json:"text"`
	// chance is that of two equal systems being found apart; 0 where no comparison
	// was made.
	chance float64
}

// judgePair compares figure f of a and b. why, when it is not empty, forbids any
// ranking and is said instead.
func judgePair(f figure, a, b string, x, y *Interval, why string) finding {
	switch {
	case x == nil && y == nil:
		return finding{Text: "–"}
	case x == nil || y == nil:
		return finding{Text: "not ranked: one side has no value"}
	case why != "":
		return finding{Text: "not ranked: " + why}
	case x.N < minResolvable || y.N < minResolvable:
		return finding{Text: fmt.Sprintf("%s (n = %d and %d; it takes %d)", unresolved, x.N, y.N, minResolvable)}
	case x.Median == nil || y.Median == nil || x.Low == nil || y.Low == nil:
		return finding{Text: unresolved + " (a median never came)"}
	}
	out := finding{Text: unresolved, chance: byChance(x.N, y.N)}
	if *y.Median != 0 {
		out.Ratio = *x.Median / *y.Median
	}
	if !apart(x, y) {
		return out
	}
	out.Resolved = true
	better := a
	if (*x.Median > *y.Median) != f.more {
		better = b
	}
	out.Text = better + " " + f.better
	if factor := out.Ratio; factor > 0 {
		factor = max(factor, 1/factor)
		out.Text += fmt.Sprintf(" by %s×", short(&factor))
	}
	return out
}

// apart reports whether two intervals have no value in common. An open upper end
// reaches as far as it can.
func apart(x, y *Interval) bool {
	below := func(p, q *Interval) bool { return p.High != nil && *p.High < *q.Low }
	return below(x, y) || below(y, x)
}

// kindOfPair says what a difference between two backends is made of. It is never
// called an effect of the protocol.
func kindOfPair(a, b string) string {
	pair := []string{a, b}
	slices.SortFunc(pair, byBackend)
	switch {
	case slices.Contains(pair, "unreplicated"):
		return "price of replication (control)"
	case pair[0] == "multipaxos" && pair[1] == "etcdraft":
		return "implementation and protocol together (not separated in this version)"
	case pair[0] == "etcdraft" && pair[1] == "hashiraft":
		return "product comparison"
	}
	return "product, implementation and protocol together (not separated in this version)"
}

// notRanked says why two cells may not be ranked at all, or "".
func notRanked(a, b *cell) string {
	x, y := a.tally(), b.tally()
	switch {
	case a.Setting != b.Setting:
		return fmt.Sprintf("settings differ (%s, %s)", a.Setting, b.Setting)
	case a.Tier != b.Tier:
		return fmt.Sprintf("tiers differ (%s, %s)", a.Tier, b.Tier)
	case !x.sameShare(y):
		return fmt.Sprintf("excluded runs differ (%s, %s)", x.excluded(), y.excluded())
	}
	for _, c := range []*cell{a, b} {
		for _, m := range c.valid() {
			// Virtual time has no disk: its rows are ranked among themselves.
			if !m.Durable && c.Tier != "virtual" {
				return c.Backend + " is not durable"
			}
		}
	}
	return ""
}

// pair is one line of the table of differences.
type pair struct {
	A        string             `json:"a"`
	B        string             `json:"b"`
	Workload string             `json:"workload"`
	Fault    string             `json:"fault"`
	Kind     string             `json:"kind"`
	Findings map[string]finding `json:"findings"` // by figure key
}

// compared are the figures of which pairs speak.
var compared = []string{"ops_per_s", "p50_us", "p99_us", "unavailable_ms", "failover_ms", "allocs_per_op", "cpu_s_per_100k"}

// pairs compares every two backends of the same workload and fault.
func (b *bench) pairs() []pair {
	var out []pair
	for _, fault := range b.faults() {
		for _, workload := range b.workloads() {
			cells := b.group(workload, fault)
			for i, x := range cells {
				for _, y := range cells[i+1:] {
					out = append(out, comparePair(x, y))
				}
			}
		}
	}
	return out
}

func comparePair(x, y *cell) pair {
	p := pair{A: x.Backend, B: y.Backend, Workload: x.Workload, Fault: x.Fault,
		Kind: kindOfPair(x.Backend, y.Backend), Findings: map[string]finding{}}
	why := notRanked(x, y)
	for _, key := range compared {
		f := figureOf(key)
		reason := why
		if key == "failover_ms" && x.Workload == "append" {
			reason = idleMaster
		}
		p.Findings[key] = judgePair(f, x.Backend, y.Backend, x.over(f), y.over(f), reason)
	}
	return p
}

// byChance is the chance that n and m values of two equal systems have ranges
// with nothing in common: 2 / C(n+m, n). With confidence intervals, from 6 values
// on, it is smaller still.
func byChance(n, m int) float64 {
	c := 1.0
	for i := 1; i <= n; i++ {
		c = c * float64(m+i) / float64(i)
	}
	return 2 / c
}
