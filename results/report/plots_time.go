package report

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// latencyCDF is the distribution of response times of one workload, a panel a
// fault. Slices are pooled.
func (b *bench) latencyCDF(workload string) *sheet {
	s := &sheet{name: "latency-" + workload, title: "Latency under " + workload + ": share of operations answered within the time below",
		note: "From the due time; an operation that failed or never ended was not answered. The scale gives each further nine the same height. Valid slices pooled.",
	}
	var row []*plot.Plot
	lo, hi := math.Inf(1), 0.0
	for _, fault := range b.faults() {
		p := newPlot("fault: "+fault, "response time [ms]", "share of operations")
		p.Add(grid{true, true})
		drawn := false
		for _, c := range b.group(workload, fault) {
			values := c.pooled()
			points := cdf(values, 1e-3)
			if points == nil {
				continue
			}
			drawn = true
			lo = min(lo, points[0].X)
			// The scale ends at 99.9 %: so does the line.
			cut := slices.IndexFunc(points, func(q plotter.XY) bool { return q.Y >= tailEnd })
			if cut >= 0 {
				points = points[:cut+1]
				points[cut].Y = tailEnd
			}
			hi = max(hi, points[len(points)-1].X)
			p.Add(steps(points, b.lineOf(c.Backend)))
			s.addBackend(b, c.Backend)
			s.alt += fmt.Sprintf("%s, %s: p50 %s µs, p99 %s µs. ", fault, c.Backend, shortMedian(c.over(figureOf("p50_us"))), shortMedian(c.over(figureOf("p99_us"))))
		}
		if drawn {
			row = append(row, p)
		}
	}
	if len(row) == 0 {
		return nil
	}
	lo, hi = roundLog(lo, false), roundLog(hi, true)
	for _, p := range row {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = lo, hi, 0, tailEnd
		p.X.Scale, p.Y.Scale = plot.LogScale{}, tail{}
		p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(logTicks), plot.TickerFunc(tailTicks)
	}
	s.panels = [][]*plot.Plot{row}
	s.width, s.height = vg.Length(len(row))*3.1*vg.Inch+0.2*vg.Inch, 4*vg.Inch
	s.width = max(s.width, 5.4*vg.Inch)
	return s
}

// roundLog is the next of 1, 2, 5 in its decade.
func roundLog(v float64, up bool) float64 {
	d := math.Pow(10, math.Floor(math.Log10(v)))
	marks := []float64{1, 2, 5, 10}
	if up {
		for _, m := range marks {
			if d*m >= v {
				return d * m
			}
		}
	}
	slices.Reverse(marks)
	for _, m := range marks {
		if d*m <= v {
			return d * m
		}
	}
	return d
}

// pooled are the sorted latencies of all valid slices.
func (c *cell) pooled() []float64 {
	var out []float64
	for _, m := range c.valid() {
		out = append(out, m.latencies...)
	}
	sort.Float64s(out)
	return out
}

// binMS is the width of a bin of the timelines.
const binMS = 50

// timelines shows throughput over time, a panel a workload and fault, of each
// backend's median slice.
func (b *bench) timelines() *sheet {
	s := &sheet{name: "throughput-time", title: "Throughput over time, the fault window shaded",
		note: fmt.Sprintf("Answered operations in bins of %d ms, each backend's median slice by throughput. Under a fault, time counts from its injection. Valid runs only.", binMS)}
	shaded := false
	workloads := b.workloads()
	for _, fault := range b.faults() {
		var row []*plot.Plot
		for _, workload := range workloads {
			p, window := b.timeline(s, workload, fault)
			shaded = shaded || window
			row = append(row, p)
		}
		if slices.ContainsFunc(row, func(p *plot.Plot) bool { return p != nil }) {
			s.panels = append(s.panels, row)
		}
	}
	if len(s.panels) == 0 {
		return nil
	}
	if shaded {
		s.legend = append(s.legend, legendEntry{name: "fault", fill: shade})
	}
	s.width = max(vg.Length(len(workloads))*3.1*vg.Inch+0.2*vg.Inch, 5.4*vg.Inch)
	s.height = vg.Length(len(s.panels))*2.3*vg.Inch + 0.9*vg.Inch
	return s
}

// timeline is one panel, nil without a valid run; shaded says that a fault is on
// it.
func (b *bench) timeline(s *sheet, workload, fault string) (p *plot.Plot, shaded bool) {
	p = newPlot(workload+", fault: "+fault, "time [ms]", "operations a second")
	p.X.Min, p.X.Max, p.Y.Min = math.Inf(1), math.Inf(-1), 0
	var windows []rect
	var lines []plot.Plotter
	for _, c := range b.group(workload, fault) {
		m := c.medianSlice()
		if m == nil {
			continue
		}
		zero := m.began
		if len(m.faults) > 0 {
			zero = m.faults[0].inject
		}
		points := m.bins(zero)
		if len(points) == 0 {
			continue
		}
		windows = m.shadeFaults(windows, zero)
		p.X.Min = min(p.X.Min, points[0].X-binMS/2)
		p.X.Max = max(p.X.Max, points[len(points)-1].X+binMS/2)
		for _, q := range points {
			p.Y.Max = max(p.Y.Max, q.Y)
		}
		line := b.lineOf(c.Backend)
		line.Width = vg.Points(1.1)
		lines = append(lines, &plotter.Line{XYs: points, LineStyle: line})
		s.addBackend(b, c.Backend)
		s.alt += fmt.Sprintf("%s under %s, %s: slice %d. ", workload, fault, c.Backend, m.Slice)
	}
	if len(lines) == 0 {
		return nil, false
	}
	// A little more than a round value, so that no tick sits at the very top.
	p.Y.Max = roundUp(p.Y.Max) * 1.08
	p.X.Tick.Marker, p.Y.Tick.Marker = niceTicks(6), niceTicks(5)
	for _, w := range windows {
		p.Add(w)
	}
	p.Add(grid{false, true})
	p.Add(lines...)
	return p, len(windows) > 0
}

// shadeFaults widens the windows, the i-th of the i-th fault, so that they cover
// this run's faults too. Backends heal a little apart.
func (m *measured) shadeFaults(windows []rect, zero int64) []rect {
	for i, f := range m.faults {
		from, to := float64(f.inject-zero)/1e6, math.Inf(1)
		if f.heal >= f.inject {
			to = float64(f.heal-zero) / 1e6
		}
		if i == len(windows) {
			windows = append(windows, rect{from, to, math.Inf(-1), math.Inf(1), shade})
			continue
		}
		windows[i].x0, windows[i].x1 = min(windows[i].x0, from), max(windows[i].x1, to)
	}
	return windows
}

// medianSlice is the valid run with the median throughput, the lower one of two.
func (c *cell) medianSlice() *measured {
	runs := slices.DeleteFunc(c.valid(), func(m *measured) bool { return m.OpsPerSec == nil })
	if len(runs) == 0 {
		return nil
	}
	slices.SortStableFunc(runs, func(x, y *measured) int {
		switch {
		case *x.OpsPerSec < *y.OpsPerSec:
			return -1
		case *x.OpsPerSec > *y.OpsPerSec:
			return 1
		}
		return x.Slice - y.Slice
	})
	return runs[(len(runs)-1)/2]
}

// bins counts the answered operations of the measured window in bins that are
// aligned to zero. Bins that the window covers in part are left out.
func (m *measured) bins(zero int64) plotter.XYs {
	const width = int64(binMS) * 1e6
	first := int64(math.Ceil(float64(m.began-zero) / float64(width)))
	last := int64(math.Floor((float64(m.began-zero) + m.seconds*1e9) / float64(width)))
	if last <= first {
		return nil
	}
	counts := make([]float64, last-first)
	for _, at := range m.done {
		i := int64(math.Floor(float64(at-zero)/float64(width))) - first
		if i >= 0 && i < int64(len(counts)) {
			counts[i]++
		}
	}
	out := make(plotter.XYs, len(counts))
	for i, n := range counts {
		out[i] = plotter.XY{X: (float64(first+int64(i)) + 0.5) * binMS, Y: n * 1000 / binMS}
	}
	return out
}
