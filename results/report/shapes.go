package report

import (
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// rect is a filled box in data coordinates. An infinite side reaches to the edge
// of the panel.
type rect struct {
	x0, x1, y0, y1 float64
	fill           color.Color
}

// Plot implements plot.Plotter.
func (r rect) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	at := func(v, lo, hi float64, to func(float64) vg.Length) vg.Length { return to(min(max(v, lo), hi)) }
	x0, x1 := at(r.x0, p.X.Min, p.X.Max, x), at(r.x1, p.X.Min, p.X.Max, x)
	y0, y1 := at(r.y0, p.Y.Min, p.Y.Max, y), at(r.y1, p.Y.Min, p.Y.Max, y)
	c.FillPolygon(r.fill, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// segment is a straight line in data coordinates.
type segment struct {
	x0, y0, x1, y1 float64
	line           draw.LineStyle
}

// Plot implements plot.Plotter.
func (s segment) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.StrokeLine2(s.line, x(s.x0), y(s.y0), x(s.x1), y(s.y1))
}

// label is a text at a point, shifted by points of the page.
type label struct {
	x, y  float64
	dx    vg.Length
	style text.Style
	txt   string
}

// Plot implements plot.Plotter.
func (l label) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.FillText(l.style, vg.Point{X: x(l.x) + l.dx, Y: y(l.y)}, l.txt)
}

// grid draws faint lines at the labelled ticks.
type grid struct{ x, y bool }

// Plot implements plot.Plotter.
func (g grid) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	line := draw.LineStyle{Color: faint, Width: vg.Points(0.4)}
	if g.x {
		for _, t := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
			if t.Label != "" {
				c.StrokeLine2(line, x(t.Value), c.Min.Y, x(t.Value), c.Max.Y)
			}
		}
	}
	if g.y {
		for _, t := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
			if t.Label != "" {
				c.StrokeLine2(line, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
			}
		}
	}
}

// maxPoints bounds the points of a distribution's line.
const maxPoints = 400

// cdf is the distribution of sorted values as a line from the first value to the
// last finite one. Shares are of all values: with infinite ones the line ends
// below 1. With many values, points are thinned evenly, more of them in the tail.
func cdf(values []float64, xmin float64) plotter.XYs {
	n := len(values)
	finite := n
	for finite > 0 && math.IsInf(values[finite-1], 1) {
		finite--
	}
	if finite == 0 {
		return nil
	}
	var out plotter.XYs
	add := func(i int) {
		out = append(out, plotter.XY{X: max(values[i], xmin), Y: float64(i+1) / float64(n)})
	}
	out = append(out, plotter.XY{X: max(values[0], xmin), Y: 0})
	last := -1
	for k := range maxPoints {
		// The distance to the top shrinks evenly on a log scale in the second half.
		share := 2 * float64(k) / maxPoints
		i := int(share * 0.5 * float64(finite))
		if share > 1 {
			i = finite - int(math.Ceil(0.5*float64(finite)*math.Pow(float64(finite), 1-share)))
		}
		if finite <= maxPoints {
			i = k
		}
		if i = min(i, finite-1); i > last {
			add(i)
			last = i
		}
	}
	if last < finite-1 {
		add(finite - 1)
	}
	return out
}

// steps is a line through points, as a stair.
func steps(points plotter.XYs, style draw.LineStyle) *plotter.Line {
	return &plotter.Line{XYs: points, StepStyle: plotter.PostStep, LineStyle: style}
}

// tail is a scale of shares that gives each further nine the same room.
type tail struct{}

// tailEnd is the share at which the scale ends: 99.9 %.
const tailEnd = 0.999

// Normalize implements plot.Normalizer.
func (tail) Normalize(lo, hi, x float64) float64 {
	nines := func(s float64) float64 { return -math.Log10(1 - min(s, tailEnd)) }
	return (nines(x) - nines(lo)) / (nines(hi) - nines(lo))
}

func tailTicks(_, hi float64) []plot.Tick {
	var out []plot.Tick
	for _, t := range []plot.Tick{{Value: 0, Label: "0 %"}, {Value: 0.5, Label: "50 %"}, {Value: 0.75}, {Value: 0.9, Label: "90 %"}, {Value: 0.95},
		{Value: 0.99, Label: "99 %"}, {Value: 0.995}, {Value: 0.999, Label: "99.9 %"}} {
		if t.Value <= hi {
			out = append(out, t)
		}
	}
	return out
}

func shareTicks(_, _ float64) []plot.Tick {
	return []plot.Tick{{Value: 0, Label: "0 %"}, {Value: 0.25, Label: "25 %"}, {Value: 0.5, Label: "50 %"}, {Value: 0.75, Label: "75 %"}, {Value: 1, Label: "100 %"}}
}
