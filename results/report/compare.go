package report

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Compare puts the same cells of two bench directories (or run directories) side
// by side, as Markdown. Two benches did not run interleaved: what it shows is
// where to look, not a result, and it says so.
func Compare(a, b string) (string, error) {
	x, err := load(a)
	if err != nil {
		return "", err
	}
	y, err := load(b)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "# A: %s, B: %s\n\n", x.ID, y.ID)
	fmt.Fprintf(&out, "- A: %s, %s, %s\n- B: %s, %s, %s\n\n", a, x.Version, x.Created.UTC().Format("2006-01-02 15:04 UTC"),
		b, y.Version, y.Created.UTC().Format("2006-01-02 15:04 UTC"))
	out.WriteString("The runs of A and B were not interleaved, so the machine may have changed between them: times must not be compared as a result, " +
		"and costs an operation only with care. To claim a difference, run both in one bench. " + intervalNote + "\n\n")
	if d := hostDifferences(x, y); len(d) > 0 {
		fmt.Fprintf(&out, "The machines differ: %s.\n\n", strings.Join(d, "; "))
	}
	var only []string
	for _, c := range x.cells {
		if d := y.same(c); d != nil {
			fmt.Fprintf(&out, "## %s\n\n%s\n\n", name(c), compareCells(c, d).RenderMarkdown())
		} else {
			only = append(only, "A: "+name(c))
		}
	}
	for _, c := range y.cells {
		if x.same(c) == nil {
			only = append(only, "B: "+name(c))
		}
	}
	if len(only) > 0 {
		fmt.Fprintf(&out, "## In one of the two alone\n\n- %s\n", strings.Join(only, "\n- "))
	}
	return out.String(), nil
}

func name(c *cell) string {
	return fmt.Sprintf("%s, %s, %s (%s, %s)", c.Workload, c.Fault, c.Backend, c.Setting, c.Tier)
}

// same is the cell with the same key, or nil.
func (b *bench) same(c *cell) *cell {
	for _, d := range b.cells {
		if d.Backend == c.Backend && d.Workload == c.Workload && d.Fault == c.Fault && d.Setting == c.Setting && d.Tier == c.Tier {
			return d
		}
	}
	return nil
}

func compareCells(a, b *cell) table.Writer {
	t := newTable("figure", "A", "B", "finding")
	x, y := a.tally(), b.tally()
	t.AppendRow(table.Row{"valid of planned", fmt.Sprintf("%d of %d", x.Valid, x.Planned), fmt.Sprintf("%d of %d", y.Valid, y.Planned), ""})
	why := notRanked(a, b)
	for _, f := range figures {
		i, j := a.over(f), b.over(f)
		if i == nil && j == nil {
			continue
		}
		t.AppendRow(table.Row{f.name + " " + f.unit, i.String(), j.String(), judgePair(f, "A", "B", i, j, why).Text})
	}
	return t
}

// hostDifferences lists the facts in which the machines differ.
func hostDifferences(a, b *bench) []string {
	var out []string
	differ := func(what string, x, y any) {
		if x != y {
			out = append(out, fmt.Sprintf("%s %v, %v", what, x, y))
		}
	}
	differ("CPU", a.Host.CPU, b.Host.CPU)
	differ("cores", a.Host.Cores, b.Host.Cores)
	differ("kernel", a.Host.Kernel, b.Host.Kernel)
	differ("Go", a.Host.Go, b.Host.Go)
	differ("file system", a.Host.FileSystem, b.Host.FileSystem)
	differ("durable", a.Host.Durable, b.Host.Durable)
	return out
}
