package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawing is one figure in both forms.
type drawing struct {
	name  string // of the file, without its ending
	title string
	// alt says in words what is seen, for those who do not see it.
	alt      string
	svg, png []byte
}

// sheet is a figure before it is drawn: panels in rows under one title and one
// legend.
type sheet struct {
	name, title, note, alt string
	legend                 []legendEntry
	panels                 [][]*plot.Plot // nil leaves the place empty
	width, height          vg.Length
}

type legendEntry struct {
	name string
	line draw.LineStyle
	fill color.Color // a box instead of a line
}

const (
	titleSize = 11
	labelSize = 9
	tickSize  = 8
	pngDPI    = 144
)

var (
	ink   = color.NRGBA{R: 0x22, G: 0x22, B: 0x22, A: 0xff}
	faint = color.NRGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
	// shade marks the time while a fault lasts.
	shade = color.NRGBA{R: 0xf3, G: 0xe3, B: 0xc8, A: 0xff}
)

func style(size vg.Length, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = 3 // x/image/font.WeightBold
	}
	return text.Style{Color: ink, Font: f, Handler: plot.DefaultTextHandler}
}

// newPlot is an empty panel in the report's style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(3)
	at := func(s *text.Style, to text.Style) {
		to.Rotation, to.XAlign, to.YAlign = s.Rotation, s.XAlign, s.YAlign
		*s = to
	}
	at(&p.Title.TextStyle, style(labelSize, true))
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		at(&a.Label.TextStyle, style(labelSize, false))
		at(&a.Tick.Label, style(tickSize, false))
		a.LineStyle = draw.LineStyle{Color: ink, Width: vg.Points(0.6)}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = vg.Points(4)
		a.Padding = 0
	}
	return p
}

// draw renders the sheet as SVG and PNG.
func (s *sheet) draw() (drawing, error) {
	out := drawing{name: s.name, title: s.title, alt: s.alt}
	vector := vgsvg.New(s.width, s.height)
	s.paint(draw.New(vector))
	var b bytes.Buffer
	if _, err := vector.WriteTo(&b); err != nil {
		return out, fmt.Errorf("report: plot %s: %w", s.name, err)
	}
	// Where the Liberation fonts are not installed, Arial has the same widths.
	out.svg = []byte(strings.ReplaceAll(b.String(), "font-family:Liberation Sans;", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
	raster := vgimg.NewWith(vgimg.UseWH(s.width, s.height), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))
	s.paint(draw.New(raster))
	b = bytes.Buffer{}
	if _, err := (vgimg.PngCanvas{Canvas: raster}).WriteTo(&b); err != nil {
		return out, fmt.Errorf("report: plot %s: %w", s.name, err)
	}
	out.png = b.Bytes()
	return out, nil
}

func (s *sheet) paint(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	margin := vg.Points(8)
	y := c.Max.Y - margin
	line := func(st text.Style, txt string) {
		st.YAlign = text.YTop
		c.FillText(st, vg.Point{X: c.Min.X + margin, Y: y}, txt)
		y -= st.Font.Size * 1.45
	}
	for _, part := range wrap(s.title, style(titleSize, true), c.Max.X-c.Min.X-2*margin) {
		line(style(titleSize, true), part)
	}
	for _, part := range wrap(s.note, style(tickSize, false), c.Max.X-c.Min.X-2*margin) {
		line(style(tickSize, false), part)
	}
	y = s.paintLegend(c, y, margin)
	area := draw.Crop(c, margin, -margin, margin, y-c.Max.Y-vg.Points(2))
	rows, cols := len(s.panels), len(s.panels[0])
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: vg.Points(10), PadY: vg.Points(10)}
	canvases := plot.Align(s.panels, tiles, area)
	for i, row := range s.panels {
		for j, p := range row {
			if p != nil {
				p.Draw(canvases[i][j])
			}
		}
	}
}

// paintLegend draws the entries side by side, over as many lines as they need,
// and returns where the next thing may begin.
func (s *sheet) paintLegend(c draw.Canvas, y, margin vg.Length) vg.Length {
	if len(s.legend) == 0 {
		return y
	}
	const sample = 22
	st := style(labelSize, false)
	st.YAlign = text.YCenter
	height := st.Font.Size * 1.5
	x := c.Min.X + margin
	y -= height / 2
	for _, e := range s.legend {
		icon := vg.Points(sample + 5)
		if e.fill == nil && e.line.Width == 0 {
			icon = 0 // the name carries its own sign
		}
		need := icon + st.Width(e.name) + vg.Points(14)
		if x+need > c.Max.X-margin && x > c.Min.X+margin {
			x, y = c.Min.X+margin, y-height
		}
		if e.fill != nil {
			h := st.Font.Size * 0.42
			c.FillPolygon(e.fill, []vg.Point{{X: x, Y: y - h}, {X: x + sample, Y: y - h}, {X: x + sample, Y: y + h}, {X: x, Y: y + h}})
		} else if icon > 0 {
			c.StrokeLine2(e.line, x, y, x+vg.Points(sample), y)
		}
		c.FillText(st, vg.Point{X: x + icon, Y: y}, e.name)
		x += need
	}
	return y - height/2 - vg.Points(2)
}

// wrap breaks a text into lines no wider than width.
func wrap(s string, st text.Style, width vg.Length) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		next := strings.TrimSpace(line + " " + word)
		if line != "" && st.Width(next) > width {
			lines = append(lines, line)
			next = word
		}
		line = next
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// palette are Okabe and Ito's colours, which the colour-blind can tell apart;
// the dashes tell them apart in grey.
var palette = map[string]struct {
	color color.NRGBA
	dash  []vg.Length
}{
	"multipaxos":   {color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}, nil},
	"etcdraft":     {color.NRGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, []vg.Length{6, 2}},
	"hashiraft":    {color.NRGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, []vg.Length{6, 2, 1.5, 2}},
	"unreplicated": {color.NRGBA{R: 0x77, G: 0x77, B: 0x77, A: 0xff}, []vg.Length{1.5, 2}},
}

// spare colours serve backends that are not in the palette, in order.
var spare = []color.NRGBA{{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, {R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, {R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}}

// lineOf is the line of a backend, the same on every plot of the bench.
func (b *bench) lineOf(backend string) draw.LineStyle {
	if p, ok := palette[backend]; ok {
		return draw.LineStyle{Color: p.color, Width: vg.Points(1.5), Dashes: p.dash}
	}
	n := 0
	for _, name := range b.backends() {
		if name == backend {
			break
		}
		if _, ok := palette[name]; !ok {
			n++
		}
	}
	return draw.LineStyle{Color: spare[n%len(spare)], Width: vg.Points(1.5), Dashes: []vg.Length{2, 1}}
}

// niceTicks marks about n round values.
func niceTicks(n int) plot.TickerFunc {
	return func(lo, hi float64) []plot.Tick {
		if !(hi > lo) {
			return []plot.Tick{{Value: lo, Label: trim(lo)}}
		}
		step := math.Pow(10, math.Floor(math.Log10((hi-lo)/float64(n))))
		for _, f := range []float64{1, 2, 5, 10} {
			if (hi-lo)/(step*f) <= float64(n) {
				step *= f
				break
			}
		}
		var out []plot.Tick
		for i := math.Ceil(lo/step - 1e-9); i*step <= hi*(1+1e-12); i++ {
			out = append(out, plot.Tick{Value: i * step, Label: trim(i * step)})
		}
		return out
	}
}

// logTicks marks 1, 2 and 5 of each decade, or 1 alone over many decades.
func logTicks(lo, hi float64) []plot.Tick {
	many := math.Log10(hi/lo) > 2
	var out []plot.Tick
	for d := math.Pow(10, math.Floor(math.Log10(lo))); d <= hi*1.0001; d *= 10 {
		for i := 1.0; i < 10; i++ {
			t := plot.Tick{Value: d * i}
			if i == 1 || !many && (i == 2 || i == 5) {
				t.Label = trim(t.Value)
			} else if many && i != 2 && i != 5 {
				continue
			}
			if t.Value >= lo*0.9999 && t.Value <= hi*1.0001 {
				out = append(out, t)
			}
		}
	}
	return out
}

// trim writes an axis value without needless digits.
func trim(v float64) string {
	if math.Abs(v) < 1e-12 {
		return "0"
	}
	if math.Abs(v) >= 1000 {
		return thousands(v)
	}
	return fmt.Sprintf("%.4g", v)
}
