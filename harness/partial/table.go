package partial

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Markdown returns the result as tables, one a scenario.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Partial connectivity\n\n%s. %d trials a cell, paired seeds from %d; election timeout T = %.0f ms, drawn from [T, 2T).\n\n", r.Label, r.Spec.Trials, r.Spec.Seed, r.ElectionTimeoutMS)
	b.WriteString("Recovered: a proposal made after the cut was applied; the interval is Wilson's, 95 %. First commit: from the cut, a trial that never recovered counted as the longest; the\n" +
		"interval of the median is of order statistics (ranks 6 and 15 of 20, 95.9 %), so no distribution is assumed. A void trial is one whose cut did not meet what it was meant for.\n" +
		"*must*: the mode's own rules let a connected node lead, so conformance demands that every valid trial recovers within four of the longest timeouts.\n")
	fmt.Fprintf(&b, "Columns of the last index at the cut: L / H / the others, medians.\n")
	for _, sc := range Scenarios() {
		rows := r.rows(sc.Name)
		if len(rows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s (%d nodes)\n\n%s.\n\n", sc.Name, sc.Nodes, sc.Recipe)
		b.WriteString("| Backend | Mode | Must | Recovered / valid | 95 % | Void | First commit ms, median [interval] | Worst ms | Longest stall ms, median | Became leader, mean | Last index at the cut |\n")
		b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, row := range rows {
			b.WriteString(row)
		}
	}
	if breaches := r.Breaches(); len(breaches) > 0 {
		b.WriteString("\n## Breaches of conformance\n\n")
		for _, s := range breaches {
			b.WriteString("- " + s + "\n")
		}
	} else {
		b.WriteString("\nNo breach of conformance.\n")
	}
	return b.String()
}

func (r *Result) rows(scenario string) (rows []string) {
	for i := range r.Cells {
		c := &r.Cells[i]
		if c.Scenario != scenario {
			continue
		}
		if c.Error != "" {
			rows = append(rows, fmt.Sprintf("| %s | %s | | error: %s | | | | | | | |\n", c.Backend, c.Name, c.Error))
			continue
		}
		valid := c.valid()
		var first, stall []float64
		recovered, leads := 0, 0
		for _, t := range valid {
			stall = append(stall, t.StallMS)
			leads += t.Leads
			if t.Recovered {
				recovered++
				first = append(first, t.FirstMS)
			} else {
				first = append(first, math.Inf(1))
			}
		}
		must := ""
		if c.Admits {
			must = "must"
		}
		lo, hi := wilson(recovered, len(valid))
		low, high := medianInterval(first)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %d / %d | %.0f-%.0f %% | %d | %s [%s, %s] | %s | %s | %.1f | %s |\n", c.Backend, c.Name, must,
			recovered, len(valid), 100*lo, 100*hi, len(c.Trials)-len(valid), text(median(first)), text(low), text(high), text(worst(first)), text(median(stall)),
			float64(leads)/float64(max(len(valid), 1)), lastAtCut(valid)))
	}
	return rows
}

// lastAtCut is the median last index of the leader, the hub and the others.
func lastAtCut(trials []Trial) string {
	var l, h, o []float64
	for _, t := range trials {
		for i, last := range t.Last {
			switch uint64(i + 1) {
			case uint64(t.Leader):
				l = append(l, float64(last))
			case uint64(t.Hub):
				h = append(h, float64(last))
			default:
				o = append(o, float64(last))
			}
		}
	}
	return fmt.Sprintf("%s / %s / %s", text(median(l)), text(median(h)), text(median(o)))
}

func text(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.IsInf(v, 1):
		return "never"
	}
	return fmt.Sprintf("%.0f", v)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func worst(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return slices.Max(values)
}

// medianInterval returns two order statistics between which the median of the
// distribution lies with a chance of at least 95 %: the innermost such pair of equal
// ranks from both ends. With fewer than six values there is none.
func medianInterval(values []float64) (low, high float64) {
	n := len(values)
	s := slices.Sorted(slices.Values(values))
	// The chance that k or fewer of n values lie below the median is a binomial tail.
	tail, term, rank := 0.0, math.Pow(0.5, float64(n)), 0
	for k := 0; k < n/2; k++ {
		if tail += term; tail > 0.025 {
			break
		}
		rank = k + 1
		term *= float64(n-k) / float64(k+1)
	}
	if rank == 0 {
		return math.NaN(), math.NaN()
	}
	return s[rank-1], s[n-rank]
}

// wilson returns Wilson's 95 % interval of a share.
func wilson(hits, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.96
	p, N := float64(hits)/float64(n), float64(n)
	middle := (p + z*z/(2*N)) / (1 + z*z/N)
	half := z / (1 + z*z/N) * math.Sqrt(p*(1-p)/N+z*z/(4*N*N))
	return max(middle-half, 0), min(middle+half, 1)
}
