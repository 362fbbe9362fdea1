package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// draw makes every figure for which there are data.
func (b *bench) draw(sets []*failoverSet) ([]drawing, error) {
	var sheets []*sheet
	add := func(s *sheet) {
		if s != nil {
			sheets = append(sheets, s)
		}
	}
	add(b.failoverCDF(sets))
	add(b.anatomy(sets))
	add(b.unavailableCDF(sets))
	add(b.unavailableCells())
	for _, w := range b.workloads() {
		add(b.latencyCDF(w))
	}
	add(b.timelines())
	var out []drawing
	for _, s := range sheets {
		d, err := s.draw()
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// worlds are the panels of failover figures.
var worlds = []struct{ name, title string }{
	{"virtual", "virtual time: CPU is free"},
	{"local", "local: real disk and CPU (cross-check)"},
}

func (b *bench) failoverCDF(sets []*failoverSet) *sheet {
	s := &sheet{name: "failover-cdf", title: "Failover: from the loss of the leader to the first commit under a new one",
		note:  "Share of trials that had failed over after the time below. Valid trials only. Local pools every leader fault under workloads that keep the master busy.",
		width: 9.4 * vg.Inch, height: 4 * vg.Inch}
	return b.failoverPanels(s, sets, "failover [ms]", func(f *failoverSet) []float64 {
		return column(f.trials, func(t trial) float64 { return t.committed })
	})
}

func (b *bench) unavailableCDF(sets []*failoverSet) *sheet {
	s := &sheet{name: "unavailability-cdf", title: "Unavailability: from the loss of the leader to the first mutation served that was invoked after it",
		note:  "Share of trials in which clients of the create workload were served again after the time below. Valid trials only.",
		width: 9.4 * vg.Inch, height: 4 * vg.Inch}
	return b.failoverPanels(s, sets, "unavailable [ms]", func(f *failoverSet) []float64 {
		return column(f.available, func(t trial) float64 { return t.available })
	})
}

// failoverPanels draws a distribution of the trials, a panel a world, on one
// common axis.
func (b *bench) failoverPanels(s *sheet, sets []*failoverSet, axis string, of func(*failoverSet) []float64) *sheet {
	top, most := 0.0, 0
	row := []*plot.Plot{}
	for _, w := range worlds {
		p := newPlot(w.title, axis, "share of trials")
		p.Add(grid{true, true})
		any := false
		for _, f := range sets {
			values := of(f)
			points := cdf(values, 0)
			if f.World != w.name || points == nil {
				continue
			}
			any = true
			most = max(most, len(values))
			top = max(top, points[len(points)-1].X)
			// From 0, so that the line begins on the axis.
			p.Add(steps(append(points[:1:1], points...), b.lineOf(f.Backend)))
			s.addBackend(b, f.Backend)
			s.alt += fmt.Sprintf("%s, %s: median %s ms over %d trials. ", w.name, f.Backend, shortMedian(summarise(values)), len(values))
		}
		if any {
			row = append(row, p)
		}
	}
	if most < 2 { // a single trial has no distribution; the table has its times
		return nil
	}
	if len(row) == 1 {
		s.width = 5.4 * vg.Inch
	}
	for _, p := range row {
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, roundUp(top), 0, 1
		p.X.Tick.Marker, p.Y.Tick.Marker = niceTicks(6), plot.TickerFunc(shareTicks)
	}
	s.panels = [][]*plot.Plot{row}
	return s
}

func shortMedian(i *Interval) string { return short(medianOf(i)) }

// addBackend puts a backend into the legend once.
func (s *sheet) addBackend(b *bench, name string) {
	if !slices.ContainsFunc(s.legend, func(e legendEntry) bool { return e.name == name }) {
		s.legend = append(s.legend, legendEntry{name: name, line: b.lineOf(name)})
		slices.SortStableFunc(s.legend, func(x, y legendEntry) int { return byBackend(x.name, y.name) })
	}
}

// roundUp is the next round value, with a little room.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(v))) / 5
	return math.Ceil(v*1.02/step) * step
}

// phaseFills are the parts of a failover, dark to light, so that they differ in
// grey too.
var phaseFills = []struct {
	name string
	fill color.NRGBA
}{
	{"detection: injection to first campaign", color.NRGBA{R: 0x3b, G: 0x52, B: 0x8b, A: 0xff}},
	{"election: to a new leader", color.NRGBA{R: 0x21, G: 0x91, B: 0x8c, A: 0xff}},
	{"first commit", color.NRGBA{R: 0x8f, G: 0xd1, B: 0x6a, A: 0xff}},
	{"client: to the first mutation served", color.NRGBA{R: 0xf3, G: 0xde, B: 0x6d, A: 0xff}},
}

// anatomy shows what the time to the first mutation served is made of.
func (b *bench) anatomy(sets []*failoverSet) *sheet {
	s := &sheet{name: "failover-anatomy", title: "Failover anatomy: what the time to the first mutation served is made of",
		note: "Means over the valid trials of the create workload in which every part came (n); means, because they add up. Median and tail: see the distributions.",
	}
	for _, f := range phaseFills {
		s.legend = append(s.legend, legendEntry{name: f.name, fill: f.fill})
	}
	p := newPlot("", "since the loss of the leader [ms]", "")
	var ticks []plot.Tick
	p.Add(grid{x: true})
	top := 0.0
	for _, f := range sets {
		parts, n := phases(f.available)
		if n == 0 {
			continue
		}
		y := float64(-len(ticks))
		at := 0.0
		for i, v := range parts {
			p.Add(rect{at, at + v, y - 0.34, y + 0.34, phaseFills[i].fill})
			at += v
		}
		st := style(tickSize, false)
		st.YAlign = text.YCenter
		p.Add(label{at, y, vg.Points(4), st, fmt.Sprintf("%s ms (n=%d)", short(&at), n)})
		top = max(top, at)
		ticks = append(ticks, plot.Tick{Value: y, Label: f.Backend + ", " + f.World})
		s.alt += fmt.Sprintf("%s, %s: detection %.0f, election %.0f, first commit %.0f, client %.0f ms. ", f.Backend, f.World, parts[0], parts[1], parts[2], parts[3])
	}
	if len(ticks) == 0 {
		return nil
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, roundUp(top*1.18), -float64(len(ticks))+0.4, 0.6
	p.X.Tick.Marker, p.Y.Tick.Marker = niceTicks(8), plot.ConstantTicks(ticks)
	p.Y.Tick.Length = 0
	s.width, s.height = 9.4*vg.Inch, vg.Length(len(ticks))*0.32*vg.Inch+1.45*vg.Inch
	s.panels = [][]*plot.Plot{{p}}
	return s
}

// unavailableCells shows every valid slice of every faulted cell as a point, and
// their median as a bar.
func (b *bench) unavailableCells() *sheet {
	s := &sheet{name: "unavailability-cells", title: "Unavailability by workload and fault: every slice, and the median as a bar",
		note:  "Of the workload's own mutations. An append under a live chunk lease needs no master. Valid runs only.",
		width: 9.4 * vg.Inch, height: 3.9 * vg.Inch}
	p := newPlot("", "", "unavailable [ms]")
	p.Add(grid{y: true})
	var ticks []plot.Tick
	top := 0.0
	for _, fault := range b.faults() {
		for _, workload := range b.workloads() {
			cells := b.group(workload, fault)
			if fault == "none" || len(cells) == 0 {
				continue
			}
			centre := float64(len(ticks))
			ticks = append(ticks, plot.Tick{Value: centre, Label: workload + "\n" + fault})
			for i, c := range cells {
				x := centre + (float64(i)-float64(len(cells)-1)/2)*0.8/float64(len(cells))
				top = max(top, b.unavailableColumn(p, c, x))
				if c.over(figureOf("unavailable_ms")) != nil {
					s.addBackend(b, c.Backend)
					s.alt += fmt.Sprintf("%s %s %s: %s. ", workload, fault, c.Backend, c.over(figureOf("unavailable_ms")))
				}
			}
		}
	}
	if len(s.legend) == 0 {
		return nil
	}
	for i, e := range s.legend {
		s.legend[i].fill = e.line.Color
	}
	s.legend = append(s.legend, legendEntry{name: "×  no valid run, or never served again"})
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.6, float64(len(ticks))-0.4, 0, roundUp(top)
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.ConstantTicks(ticks), niceTicks(6)
	p.X.Tick.Length = 0
	s.panels = [][]*plot.Plot{{p}}
	return s
}

func (b *bench) unavailableColumn(p *plot.Plot, c *cell, x float64) (top float64) {
	f := figureOf("unavailable_ms")
	line := b.lineOf(c.Backend)
	i := c.over(f)
	if i == nil || i.Median == nil {
		st := style(labelSize, true)
		st.Color, st.XAlign, st.YAlign = line.Color, text.XCenter, text.YBottom
		p.Add(label{x, 0, 0, st, "×"})
	}
	if i != nil && i.Median != nil {
		bar := draw.LineStyle{Color: line.Color, Width: vg.Points(2.5)}
		p.Add(segment{x - 0.1, *i.Median, x + 0.1, *i.Median, bar})
	}
	for _, m := range c.valid() {
		if v := f.of(&m.Row); v != nil {
			p.Add(dot{x, *v, line.Color})
			top = max(top, *v)
		}
	}
	return top
}

// dot is one measured value.
type dot struct {
	x, y float64
	fill color.Color
}

// Plot implements plot.Plotter.
func (d dot) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.DrawGlyphNoClip(draw.GlyphStyle{Color: d.fill, Radius: vg.Points(2.6), Shape: draw.RingGlyph{}}, vg.Point{X: x(d.x), Y: y(d.y)})
}
