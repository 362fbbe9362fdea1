package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"gfslab/results/rundir"
)

//go:embed page.html
var pageTemplate string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// pageData is what page.html shows.
type pageData struct {
	*Summary
	Style      template.CSS
	Script     template.JS
	Policy     string // the Content-Security-Policy
	Single     bool
	Provenance string
	Compared   string
	Answers    []string
	Host       [][2]string
	Plots      map[string]plotData
	Latency    []plotData
	Cells      []cellData
	Excluded   []runData
	Times      [][]any // table rows, header first
	Costs      [][]any
	Differ     [][]any
	Failing    [][]any
	Bare       [][]any
	Notes      map[string]string
	Words      [][2]string
	Hypotheses [][2]string
	Reasons    []string
	Virtual    tally
	Trials     []runData // the runs of the virtual failovers
	TrialsOpen bool
}

type plotData struct {
	Title, Alt string
	Image      template.URL
	SVG, PNG   string
}

type cellData struct {
	rundir.Cell
	Verdicts tally
	Open     bool
	Runs     []runData
}

type runData struct {
	Row
	Checks    []rundir.CheckResult
	Files     []string
	Command   string
	Effective string
	Figures   string
	FirstBad  string
}

// page renders report.html: one file that asks the network for nothing.
func (b *bench) page(s *Summary, drawn []drawing) ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"short": short, "stats": statsText, "cellClass": cellClass, "rowClass": rowClass, "parts": parts}).Parse(pageTemplate)
	if err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	sum := sha256.Sum256([]byte(pageScript))
	d := pageData{
		Summary: s, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Single: b.single,
		Policy: "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'",
		Provenance: strings.ReplaceAll(s.provenance(), "`", ""), Compared: s.compared(), Answers: s.answers(), Host: hostFacts(s.Host),
		Plots: map[string]plotData{}, Times: withoutConstant(rowsOf(s.cellTable(false)), "setting"), Costs: withoutConstant(rowsOf(s.cellTable(true)), "setting"), Differ: rowsOf(s.pairTable()),
		Failing: rowsOf(s.failoverTable()), Bare: rowsOf(s.bareLogTable()), Words: figureWords, Hypotheses: hypotheses,
		Notes: map[string]string{"interval": intervalNote, "cost": costNote, "pairs": pairNote(s.Pairs), "failover": failoverNote, "bare": bareLogNote},
	}
	for _, p := range drawn {
		data := plotData{Title: p.title, Alt: p.alt, SVG: "plots/" + p.name + ".svg", PNG: "plots/" + p.name + ".png",
			Image: template.URL("data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(p.svg))}
		if strings.HasPrefix(p.name, "latency-") {
			d.Latency = append(d.Latency, data)
			continue
		}
		d.Plots[p.name] = data
	}
	for _, c := range b.cells {
		d.addCell(c)
	}
	for _, m := range b.virtual {
		d.Trials = append(d.Trials, m.data())
		d.TrialsOpen = d.TrialsOpen || m.Verdict != rundir.Valid
	}
	for _, f := range s.Failovers {
		if f.World != "virtual" {
			continue
		}
		d.Virtual.merge(f.Trials)
		for _, r := range f.reasons {
			d.Reasons = append(d.Reasons, f.Backend+": "+r)
		}
	}
	var out bytes.Buffer
	if err := t.Execute(&out, d); err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	return out.Bytes(), nil
}

func (t *tally) merge(o tally) {
	t.Planned += o.Planned
	t.Valid += o.Valid
	t.Invalid += o.Invalid
	t.Unknown += o.Unknown
	t.Void += o.Void
}

func (d *pageData) addCell(c *cell) {
	out := cellData{Cell: c.Cell, Verdicts: c.tally()}
	for _, m := range c.runs {
		r := m.data()
		out.Runs = append(out.Runs, r)
		if m.Verdict != rundir.Valid {
			out.Open = true
			d.Excluded = append(d.Excluded, r)
		}
	}
	d.Cells = append(d.Cells, out)
}

// data is what the page shows of one run.
func (m *measured) data() runData {
	r := runData{Row: m.Row, Checks: m.checks, Files: m.files, Command: m.command, Figures: m.figuresText(), FirstBad: firstBad(m.checks)}
	for _, k := range slices.Sorted(maps.Keys(m.effective)) {
		r.Effective += fmt.Sprintf("%s = %s\n", k, m.effective[k])
	}
	return r
}

// figuresText are the figures of one run, those that apply.
func (m *measured) figuresText() string {
	var parts []string
	for _, f := range figures {
		if v := f.of(&m.Row); v != nil {
			parts = append(parts, fmt.Sprintf("%s %s %s", f.name, short(v), f.unit))
		}
	}
	return strings.Join(parts, ", ")
}

// firstBad names the first bad operation of the first check that found one.
func firstBad(checks []rundir.CheckResult) string {
	for _, c := range checks {
		if c.Verdict == rundir.Invalid && c.FirstBadOp >= 0 {
			return fmt.Sprintf("operation %d (%s)", c.FirstBadOp, c.Name)
		}
	}
	return ""
}

func statsText(stats map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(stats)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, stats[k]))
	}
	return strings.Join(parts, ", ")
}

// parts splits "median [low, high] n" so that the interval can go on its own line.
func parts(v any) [2]string {
	text := fmt.Sprint(v)
	if head, rest, ok := strings.Cut(text, " ["); ok && strings.Contains(rest, "] n=") {
		return [2]string{head, "[" + rest}
	}
	return [2]string{text, ""}
}

// rowClass marks a row of a table in which a run is invalid or void.
func rowClass(head, row []any) string {
	class := ""
	for i, h := range head {
		if name := fmt.Sprint(h); (name == rundir.Invalid || name == rundir.Void) && fmt.Sprint(row[i]) != "0" {
			class = "row-" + name
			if name == rundir.Invalid {
				break
			}
		}
	}
	return class
}

// withoutConstant drops a column that says the same in every row.
func withoutConstant(rows [][]any, column string) [][]any {
	at := slices.Index(rows[0], any(column))
	if at < 0 || slices.ContainsFunc(rows[1:], func(r []any) bool { return r[at] != rows[1][at] }) {
		return rows
	}
	for i, r := range rows {
		rows[i] = slices.Delete(r, at, at+1)
	}
	return rows
}

// rowsOf takes a table apart again: the header, then the rows. Page and files
// show the same cells that way.
func rowsOf(t table.Writer) [][]any {
	var out [][]any
	for _, line := range strings.Split(t.RenderTSV(), "\n") {
		var row []any
		for _, cell := range strings.Split(line, "\t") {
			row = append(row, strings.Trim(cell, `"`))
		}
		out = append(out, row)
	}
	return out
}

// cellClass colours what must be seen.
func cellClass(column, value any) string {
	name, text := fmt.Sprint(column), fmt.Sprint(value)
	switch {
	case text == "0" || text == "–":
		return "quiet"
	case name == "invalid" || name == "void" || name == "unknown":
		return name
	case strings.HasPrefix(text, unresolved) || strings.HasPrefix(text, "not ranked"):
		return "quiet"
	case text == "not durable":
		return "void"
	}
	return ""
}
