package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"gfslab/results/rundir"
)

// parallel bounds how many run directories are in memory at once.
const parallel = 4

// bench is all that a directory holds.
type bench struct {
	dir    string
	single bool // dir is one run directory
	rundir.Bench
	cells     []*cell
	failovers rundir.Failovers
	barelog   []rundir.BareLog
	// virtual are the runs of the virtual failovers, with their verdicts alone.
	virtual []*measured
	// notes are what could not be read beside the runs.
	notes []string
}

// cell is one row of the comparison with its runs by slice.
type cell struct {
	rundir.Cell
	runs []*measured
}

// load reads a bench directory or a single run directory. Damaged parts become
// void rows and notes; the error is for a directory that is neither.
func load(dir string) (*bench, error) {
	b := &bench{dir: dir}
	err := readJSON(dir, "bench.json", &b.Bench)
	switch {
	case err == nil && b.Format == rundir.FormatVersion:
		b.loadCells()
		b.loadExtras()
		return b, nil
	case err == nil:
		return nil, fmt.Errorf("report: %s: bench.json has format %d, this build reads %d", dir, b.Format, rundir.FormatVersion)
	case !errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("report: %w", err)
	}
	manifest, err := rundir.ReadManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("report: %s is neither a bench directory (no bench.json) nor a run directory: %w", dir, err)
	}
	p := manifest.Plan
	b.single = true
	b.Bench = rundir.Bench{Format: rundir.FormatVersion, ID: manifest.ID, Created: manifest.Created, Version: manifest.Version,
		Command: manifest.Command, Host: manifest.Host,
		Cells: []rundir.Cell{{Backend: p.Backend, Workload: p.Workload, Fault: p.Fault, Setting: p.Setting, Tier: p.Tier, PlannedSlices: 1}}}
	c := &cell{Cell: b.Cells[0], runs: []*measured{b.blank(b.Cells[0], p.Slice)}}
	b.readRun(c.runs[0], ".")
	b.cells = []*cell{c}
	return b, nil
}

// loadCells reads every planned run, and the runs that nobody planned.
func (b *bench) loadCells() {
	var group errgroup.Group
	group.SetLimit(parallel)
	planned := map[string]bool{}
	for _, c := range b.Cells {
		out := &cell{Cell: c}
		b.cells = append(b.cells, out)
		for slice := range c.PlannedSlices {
			m := b.blank(c, slice)
			out.runs = append(out.runs, m)
			name := fmt.Sprintf("%s-%s-%s-s%d", c.Backend, c.Workload, c.Fault, slice)
			planned[name] = true
			group.Go(func() error { b.readRun(m, "runs/"+name); return nil })
		}
	}
	_ = group.Wait() // readRun turns every error into a void row
	entries, err := os.ReadDir(filepath.Join(b.dir, "runs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.notes = append(b.notes, fmt.Sprintf("runs: %v", err))
	}
	for _, e := range entries {
		if !planned[e.Name()] {
			b.notes = append(b.notes, fmt.Sprintf("runs/%s belongs to no planned cell and is not counted", e.Name()))
		}
	}
}

// blank is a run of which nothing is known but its place.
func (b *bench) blank(c rundir.Cell, slice int) *measured {
	return &measured{Row: Row{Backend: c.Backend, Workload: c.Workload, Fault: c.Fault, Setting: c.Setting, Tier: c.Tier,
		Slice: slice, Verdict: rundir.Void, Durable: b.Host.Durable}}
}

// readRun fills m from a run directory, or says in m why it is void.
func (b *bench) readRun(m *measured, rel string) {
	dir := filepath.Join(b.dir, filepath.FromSlash(rel))
	if _, err := os.Stat(dir); err != nil {
		m.Reason = "there is no run directory: the run was never started or its directory was removed"
		if b.Interrupted {
			m.Reason = "not run: the bench was interrupted"
		}
		return
	}
	m.Dir = rel
	if manifest, err := rundir.ReadManifest(dir); err == nil {
		m.Seed, m.command = &manifest.Plan.Seed, manifest.Command
	}
	// The harness leaves error.txt when the run itself failed.
	if text, err := os.ReadFile(filepath.Join(dir, "error.txt")); err == nil {
		m.Reason = "the run failed: " + strings.TrimSpace(string(text))
		return
	}
	run, err := rundir.Load(dir)
	if err != nil {
		m.Reason = strings.ReplaceAll(err.Error(), dir+": ", "")
		return
	}
	want := m.Row
	m.fill(run)
	if m.Backend != want.Backend || m.Workload != want.Workload || m.Fault != want.Fault || m.Slice != want.Slice ||
		m.Setting != want.Setting || m.Tier != want.Tier {
		m.Row = want
		m.Dir, m.Reason = rel, "its manifest belongs to another cell or slice"
		return
	}
	m.judge(dir)
}

// judge takes the verdict that the checkers left.
func (m *measured) judge(dir string) {
	v, err := rundir.ReadVerdict(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		m.Verdict, m.Reason = rundir.Unknown, "not judged: no verdict.json; run gfslab check"
		return
	case err != nil:
		m.Verdict, m.Reason = rundir.Void, err.Error()
		return
	}
	m.Verdict, m.checks = v.Verdict, v.Checks
	if m.Verdict != rundir.Valid {
		m.Reason = firstReason(v)
	}
	if _, err := os.Stat(filepath.Join(dir, rundir.CounterexampleFile)); err == nil {
		m.files = append(m.files, rundir.CounterexampleFile)
	}
	for _, c := range v.Checks {
		for _, f := range c.Files {
			if !slices.Contains(m.files, f) && filepath.IsLocal(f) {
				m.files = append(m.files, f)
			}
		}
	}
}

// firstReason is the first finding of the check that decided the verdict.
func firstReason(v rundir.Verdict) string {
	for _, c := range v.Checks {
		if c.Verdict == v.Verdict {
			if len(c.Details) > 0 {
				return c.Name + ": " + c.Details[0]
			}
			return c.Name
		}
	}
	return "the verdict names no check"
}

// loadExtras reads what stands beside the runs.
func (b *bench) loadExtras() {
	for name, into := range map[string]any{"failovers.json": &b.failovers, "barelog.json": &b.barelog} {
		if err := readJSON(b.dir, name, into); err != nil && !errors.Is(err, os.ErrNotExist) {
			b.notes = append(b.notes, err.Error())
		}
	}
	for _, r := range b.barelog {
		if r.Void > 0 {
			b.notes = append(b.notes, fmt.Sprintf("bare log, slice %d, %s, %d clients: measured again after %d void attempts, in which the leader lost its lead", r.Slice, r.Backend, r.Clients, r.Void))
		}
	}
	slices.Sort(b.notes)
	entries, err := os.ReadDir(filepath.Join(b.dir, "failovers"))
	if err != nil {
		return // none were run, or their directories were not kept
	}
	for _, e := range entries {
		m := &measured{Row: Row{Dir: "failovers/" + e.Name(), Verdict: rundir.Void, Durable: true}}
		dir := filepath.Join(b.dir, "failovers", e.Name())
		manifest, err := rundir.ReadManifest(dir)
		if err != nil {
			m.Reason = err.Error()
		} else {
			p := manifest.Plan
			m.Backend, m.Workload, m.Fault, m.Tier, m.Seed, m.command = p.Backend, p.Workload, p.Fault, p.Tier, &p.Seed, manifest.Command
			m.judge(dir)
		}
		b.virtual = append(b.virtual, m)
	}
}

func readJSON(dir, name string, into any) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// backends lists every backend of the bench, in the order of all tables.
func (b *bench) backends() []string {
	var out []string
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, c := range b.cells {
		add(c.Backend)
	}
	for _, r := range b.barelog {
		add(r.Backend)
	}
	for name := range b.failovers.Backends {
		add(name)
	}
	slices.SortStableFunc(out, byBackend)
	return out
}

// known is the order of the backends on every table and plot; others follow by
// name.
var known = []string{"multipaxos", "etcdraft", "hashiraft", "unreplicated"}

func byBackend(a, b string) int {
	place := func(s string) int {
		if i := slices.Index(known, s); i >= 0 {
			return i
		}
		return len(known)
	}
	if d := place(a) - place(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

// distinct lists the values of a field over the cells, in order of appearance.
func (b *bench) distinct(of func(*cell) string) []string {
	var out []string
	for _, c := range b.cells {
		if v := of(c); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func (b *bench) workloads() []string {
	return b.distinct(func(c *cell) string { return c.Workload })
}
func (b *bench) faults() []string { return b.distinct(func(c *cell) string { return c.Fault }) }

// group lists the cells that differ in the backend alone, by backend.
func (b *bench) group(workload, fault string) []*cell {
	var out []*cell
	for _, c := range b.cells {
		if c.Workload == workload && c.Fault == fault {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(x, y *cell) int { return byBackend(x.Backend, y.Backend) })
	return out
}

// valid lists the runs of a cell that count.
func (c *cell) valid() []*measured {
	var out []*measured
	for _, m := range c.runs {
		if m.Verdict == rundir.Valid {
			out = append(out, m)
		}
	}
	return out
}
