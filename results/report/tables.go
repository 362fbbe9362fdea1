package report

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// markdown is tables.md.
func (s *Summary) markdown() string {
	var b strings.Builder
	section := func(title, note string, t table.Writer) {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n%s\n\n", title, note, t.RenderMarkdown())
	}
	fmt.Fprintf(&b, "# %s\n\n%s\n\n", s.ID, s.provenance())
	for _, line := range s.answers() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n")
	note := "Median [low, high] n. " + intervalNote
	section("Verdicts and times", note, s.cellTable(false))
	section("Costs an operation", note+" "+costNote, s.cellTable(true))
	section("Differences", pairNote(s.Pairs), s.pairTable())
	if len(s.Failovers) > 0 {
		section("Leader failovers", failoverNote, s.failoverTable())
	}
	if len(s.BareLog) > 0 {
		section("Bare log", bareLogNote, s.bareLogTable())
	}
	section("Runs that do not count", "Every planned run that is not valid.", s.excludedTable())
	return b.String()
}

func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(header)
	return t
}

func (s *Summary) cellTable(cost bool) table.Writer {
	header := []any{"workload", "fault", "backend", "setting", "planned", "valid", "invalid", "unknown", "void"}
	for _, f := range figures {
		if f.cost == cost {
			header = append(header, f.name+" "+f.unit)
		}
	}
	t := newTable(header...)
	for _, c := range s.Cells {
		v := c.Verdicts
		row := table.Row{c.Workload, c.Fault, c.Backend, c.Setting, v.Planned, v.Valid, v.Invalid, v.Unknown, v.Void}
		for _, f := range figures {
			if f.cost == cost {
				row = append(row, c.Figures[f.key].String())
			}
		}
		t.AppendRow(row)
	}
	return t
}

func (s *Summary) pairTable() table.Writer {
	header := []any{"workload", "fault", "pair", "made of"}
	for _, key := range compared {
		header = append(header, figureOf(key).name)
	}
	t := newTable(header...)
	for _, p := range s.Pairs {
		row := table.Row{p.Workload, p.Fault, p.A + " / " + p.B, p.Kind}
		for _, key := range compared {
			row = append(row, p.Findings[key].Text)
		}
		t.AppendRow(row)
	}
	return t
}

func (s *Summary) failoverTable() table.Writer {
	t := newTable("world", "backend", "planned", "valid", "invalid", "unknown", "void",
		"detection ms", "failover ms", "p90", "p99", "max", "never", "unavailable ms (create)")
	for _, f := range s.Failovers {
		v := f.Trials
		t.AppendRow(table.Row{f.World, f.Backend, v.Planned, v.Valid, v.Invalid, v.Unknown, v.Void,
			f.Detection.String(), f.Failover.String(), short(f.P90), short(f.P99), short(f.Max), f.Never, f.Unavailable.String()})
	}
	return t
}

func (s *Summary) bareLogTable() table.Writer {
	t := newTable("clients", "backend", "setting", "durable", "ops/s", "p50 µs", "p99 µs", "CPU s/100k", "allocs/op",
		"leader fsyncs/op", "follower fsyncs/op", "leader frames/op", "leader bytes/op")
	for _, r := range s.BareLog {
		t.AppendRow(table.Row{r.Clients, r.Backend, r.Setting, durable(r.Durable), r.Ops.String(), r.P50.String(), r.P99.String(),
			r.CPU.String(), r.Allocs.String(), r.Leader.String(), r.Follower.String(), r.Frames.String(), r.Wire.String()})
	}
	return t
}

func (s *Summary) excludedTable() table.Writer {
	t := newTable("workload", "fault", "backend", "slice", "verdict", "reason")
	for _, r := range s.Rows {
		if r.Verdict != "valid" {
			t.AppendRow(table.Row{r.Workload, r.Fault, r.Backend, r.Slice, r.Verdict, firstLine(r.Reason)})
		}
	}
	if t.Length() == 0 {
		t.AppendRow(table.Row{"–", "–", "–", "–", "none", "every planned run is valid"})
	}
	return t
}

// csv is tables.csv: a row a cell, each figure in four columns. A value that
// does not exist is empty; numbers are written in full.
func (s *Summary) csv() string {
	header := []any{"backend", "workload", "fault", "setting", "tier", "planned", "valid", "invalid", "unknown", "void", "ops"}
	for _, f := range figures {
		header = append(header, f.key+"_median", f.key+"_low", f.key+"_high", f.key+"_n")
	}
	t := newTable(header...)
	for _, c := range s.Cells {
		v := c.Verdicts
		row := table.Row{c.Backend, c.Workload, c.Fault, c.Setting, c.Tier, v.Planned, v.Valid, v.Invalid, v.Unknown, v.Void, c.Ops}
		for _, f := range figures {
			i := c.Figures[f.key]
			if i == nil {
				row = append(row, "", "", "", 0)
				continue
			}
			row = append(row, plain(i.Median), plain(i.Low), plain(i.High), i.N)
		}
		t.AppendRow(row)
	}
	return t.RenderCSV() + "\n"
}

func plain(v *float64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%g", *v)
}

func durable(yes bool) string {
	if yes {
		return "yes"
	}
	return "not durable"
}

// firstLine keeps a cell of a table on one line.
func firstLine(s string) string {
	line, rest, more := strings.Cut(s, "\n")
	if more && strings.TrimSpace(rest) != "" {
		line += " …"
	}
	return line
}
