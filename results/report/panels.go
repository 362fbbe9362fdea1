package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is one line of a panel. A backend's name gives it the backend's colour. Low
// and High, if they are there, are the interval around each Y.
type Series struct {
	Name      string
	X, Y      []float64
	Low, High []float64
}

// Panel is one plot of a picture. Times in Shade are marked as a fault's.
type Panel struct {
	Title, X, Y string
	Series      []Series
	Shade       [][2]float64
	// LogX is for counts that double.
	LogX bool
	// Dots marks every point.
	Dots bool
}

// Picture is a figure of panels side by side, for measurements that are no bench.
type Picture struct {
	// Name is that of the files; the endings are added.
	Name, Title, Note string
	Panels            []Panel
}

// Draw writes the picture as SVG and PNG into dir.
func (pic Picture) Draw(dir string) error {
	if len(pic.Panels) == 0 {
		return fmt.Errorf("report: picture %s has no panels", pic.Name)
	}
	s := &sheet{name: pic.Name, title: pic.Title, note: pic.Note}
	var row []*plot.Plot
	shaded := false
	for _, panel := range pic.Panels {
		p := newPlot(panel.Title, panel.X, panel.Y)
		p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = math.Inf(1), math.Inf(-1), 0, 0
		for _, w := range panel.Shade {
			shaded = true
			p.Add(rect{w[0], w[1], math.Inf(-1), math.Inf(1), shade})
		}
		p.Add(grid{false, true})
		for _, series := range panel.Series {
			line := seriesLine(s, series.Name)
			points := make(plotter.XYs, len(series.X))
			for i := range points {
				points[i] = plotter.XY{X: series.X[i], Y: series.Y[i]}
				p.X.Min, p.X.Max, p.Y.Max = min(p.X.Min, points[i].X), max(p.X.Max, points[i].X), max(p.Y.Max, points[i].Y)
			}
			if len(points) == 0 {
				continue
			}
			if len(series.Low) == len(points) && len(series.High) == len(points) {
				for i, at := range points {
					p.Y.Max = max(p.Y.Max, series.High[i])
					p.Add(segment{at.X, series.Low[i], at.X, series.High[i], draw.LineStyle{Color: line.Color, Width: vg.Points(0.8)}})
				}
			}
			p.Add(&plotter.Line{XYs: points, LineStyle: line})
			if panel.Dots {
				p.Add(&plotter.Scatter{XYs: points, GlyphStyle: draw.GlyphStyle{Color: line.Color, Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}})
			}
		}
		switch {
		case p.X.Max < p.X.Min: // nothing is in it
			p.X.Min, p.X.Max = 1, 2
		case p.X.Max == p.X.Min && panel.LogX:
			p.X.Min, p.X.Max = p.X.Min/2, 2*p.X.Max
		case p.X.Max == p.X.Min:
			p.X.Min, p.X.Max = p.X.Min-0.5, p.X.Max+0.5
		}
		p.Y.Max = roundUp(p.Y.Max) * 1.08
		p.X.Tick.Marker, p.Y.Tick.Marker = niceTicks(6), niceTicks(5)
		if panel.LogX {
			p.X.Scale = plot.LogScale{}
			p.X.Tick.Marker = doublings{}
		}
		row = append(row, p)
	}
	if shaded {
		s.legend = append(s.legend, legendEntry{name: "no leader", fill: shade})
	}
	s.panels = [][]*plot.Plot{row}
	s.width, s.height = max(vg.Length(len(row))*3.6*vg.Inch, 5.4*vg.Inch), 3.6*vg.Inch
	d, err := s.draw()
	if err != nil {
		return err
	}
	for ending, data := range map[string][]byte{".svg": d.svg, ".png": d.png} {
		if err := os.WriteFile(filepath.Join(dir, pic.Name+ending), data, 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// seriesLine is the line of a series, the same in all panels; its name goes into the
// legend once.
func seriesLine(s *sheet, name string) draw.LineStyle {
	for _, e := range s.legend {
		if e.name == name {
			return e.line
		}
	}
	line := draw.LineStyle{Color: spare[len(s.legend)%len(spare)], Width: vg.Points(1.5)}
	if p, ok := palette[name]; ok {
		line = draw.LineStyle{Color: p.color, Width: vg.Points(1.5), Dashes: p.dash}
	}
	s.legend = append(s.legend, legendEntry{name: name, line: line})
	return line
}

// doublings are ticks at the powers of two.
type doublings struct{}

// Ticks implements plot.Ticker.
func (doublings) Ticks(low, high float64) (out []plot.Tick) {
	for v := 1.0; v <= high*1.001; v *= 2 {
		if v >= low*0.999 {
			out = append(out, plot.Tick{Value: v, Label: fmt.Sprint(v)})
		}
	}
	return out
}
