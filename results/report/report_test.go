package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gfslab/results/rundir"
)

// build draws a bench directory and returns every file of the report by name.
func build(t *testing.T, dir string) map[string]string {
	t.Helper()
	var progress bytes.Buffer
	if err := Build(dir, &progress); err != nil {
		t.Fatal(err)
	}
	if progress.Len() == 0 {
		t.Error("no progress was written")
	}
	out := map[string]string{}
	for _, pattern := range []string{"summary.json", "tables.*", "report.html", "plots/*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				t.Fatal(err)
			}
			out[rel] = string(data)
			if rel == "report.html" {
				out["unescaped.html"] = html.UnescapeString(string(data))
			}
		}
	}
	return out
}

func TestEveryPlannedRunIsARow(t *testing.T) {
	files := theReport(t)
	var s struct {
		Schema int
		Runs   tally
		Rows   []map[string]any
	}
	if err := json.Unmarshal([]byte(files["summary.json"]), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != SchemaVersion || len(s.Rows) != 42 {
		t.Fatalf("schema %d, %d rows; want %d, 42", s.Schema, len(s.Rows), SchemaVersion)
	}
	if want := (tally{Planned: 42, Valid: 36, Invalid: 1, Unknown: 2, Void: 3}); s.Runs != want {
		t.Errorf("verdicts %+v, want %+v", s.Runs, want)
	}
	for _, r := range s.Rows {
		name := fmt.Sprintf("%v-%v-%v-s%v", r["backend"], r["workload"], r["fault"], r["slice"])
		want, bad := badRun[name]
		if !bad {
			want = rundir.Valid
		}
		if r["verdict"] != want {
			t.Errorf("%s is %v, want %s", name, r["verdict"], want)
		}
		if bad == (r["reason"] == "") {
			t.Errorf("%s (%s) has the reason %q", name, want, r["reason"])
		}
		for _, f := range figures {
			if _, ok := r[f.key]; !ok {
				t.Errorf("%s has no key %s", name, f.key)
			}
		}
		for _, key := range []string{"seed", "setting", "tier", "ops", "durable"} {
			if _, ok := r[key]; !ok {
				t.Errorf("%s has no key %s", name, key)
			}
		}
		if !bad && (r["p50_us"] == nil || r["ops_per_s"] == nil || (r["fault"] != "none") != (r["failover_ms"] != nil)) {
			t.Errorf("%s lacks figures: %v", name, r)
		}
	}
}

func TestTables(t *testing.T) {
	files := theReport(t)
	rows, err := csv.NewReader(strings.NewReader(files["tables.csv"])).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 15 {
		t.Fatalf("%d lines in tables.csv, want a header and 14 cells", len(rows))
	}
	at := func(row []string, column string) string { return row[slices.Index(rows[0], column)] }
	for _, row := range rows[1:] {
		valid, n := at(row, "valid"), at(row, "p50_us_n")
		if valid != n {
			t.Errorf("%v: %s valid runs and %s values of p50", row[:3], valid, n)
		}
		if at(row, "backend") == "hashiraft" && at(row, "workload") == "create" && at(row, "fault") == "crash-leader" && (valid != "1" || at(row, "void") != "2") {
			t.Errorf("the cell with two void runs: %v", row[:12])
		}
	}
	md := files["tables.md"]
	for _, want := range []string{"## Verdicts and times", "## Costs an operation", "## Differences", "## Leader failovers", "## Bare log", "## Runs that do not count",
		"not durable", "range of the n slices", "look different in 10 of 100", "not ranked: the master is idle under append", "difference not resolved", "not ranked: excluded runs differ", `NOT_FOUND \| after`, "no leader in 20s …"} {
		if !strings.Contains(md, want) {
			t.Errorf("tables.md does not say %q", want)
		}
	}
	for _, want := range []string{"| 256 | multipaxos | matched-2 | yes |", "| 256 | etcdraft | matched-2 | not durable |"} {
		if !strings.Contains(md, want) {
			t.Errorf("the bare log does not say %q", want)
		}
	}
	lines := strings.Split(md, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "| ---") {
			for _, row := range lines[i:] {
				if !strings.HasPrefix(row, "|") {
					break
				}
				if got, want := pipes(row), pipes(lines[i-1]); got != want {
					t.Errorf("a row with %d columns under a header with %d: %s", got, want, row)
				}
			}
		}
	}
}

func pipes(row string) int { return strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") }

func TestPage(t *testing.T) {
	page := theReport(t)["report.html"]
	for _, want := range []string{
		`planned <b>42</b>`, `valid <b>36</b>`, `invalid <b>1</b>`, `unknown <b>2</b>`, `void <b>3</b>`,
		`row-invalid`, `row-void`, `operation 4711 (linearizable)`, `href="runs/etcdraft-create-none-s1/counterexample.txt"`,
		`href="runs/etcdraft-create-none-s1/linearizability-p1.html"`, `gfslab run --backend etcdraft --seed 1001`,
		`END says`, `there is no run directory`, `no leader in 20s`, `not judged: no verdict.json`, `out of time`,
		`Made Up 3000, 2 cores`, `ext4, durable`, `180 µs alone, 410 µs with three at once (2.28×`, `900 µs`, `What one machine cannot show`,
		`multipaxos and etcdraft: difference not resolved`, `product comparison`, `not separated in this version`, `docs/hypotheses.md`,
		`&lt;b&gt;x&lt;/b&gt;`, `hashiraft: void: no new leader while the fault lasted`, `href="failovers/hashiraft-0/"`, "<span class=\"void\">void</span> · slice 0\n · <a href=\"failovers/hashiraft-1/\">", `180 planned, 179 valid, 0 invalid, 0 unknown, 1 void`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	if strings.Contains(page, "escape") {
		t.Error("the page links a file outside the run directory")
	}
	for _, word := range []string{"protocol effect", "effect of the protocol:"} {
		if strings.Contains(page, word) {
			t.Errorf("the page says %q", word)
		}
	}
}

func TestPageAsksNobody(t *testing.T) {
	page := theReport(t)["unescaped.html"]
	if m := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`).FindString(page); m != "" {
		t.Errorf("an address outside: %s", m)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		ok := strings.HasPrefix(m[1], "data:image/svg+xml;base64,") || strings.HasPrefix(m[1], "#") ||
			strings.HasPrefix(m[1], "runs/") || strings.HasPrefix(m[1], "failovers/") || strings.HasPrefix(m[1], "plots/")
		if !ok {
			t.Errorf("a reference to %.60q", m[1])
		}
	}
	script := regexp.MustCompile(`(?s)<script>(.*)</script>`).FindStringSubmatch(page)
	if script == nil {
		t.Fatal("no script")
	}
	sum := sha256.Sum256([]byte(script[1]))
	if want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(page, want) {
		t.Errorf("the policy does not allow the script: want %s", want)
	}
	if !strings.Contains(page, "default-src 'none'") {
		t.Error("the policy allows more than it must")
	}
}

func TestPlots(t *testing.T) {
	files := theReport(t)
	want := map[string][]string{ // texts that must be in the picture
		"failover-cdf":         {"virtual time: CPU is free", "local: real disk", "failover [ms]", "share of trials", "multipaxos", "etcdraft", "hashiraft"},
		"failover-anatomy":     {"detection", "election", "first commit", "client", "multipaxos, virtual", "etcdraft, local", "(n=60)"},
		"unavailability-cdf":   {"unavailable [ms]", "hashiraft"},
		"unavailability-cells": {"create", "append", "crash-leader", "unavailable [ms]"},
		"latency-create":       {"response time [ms]", "share of operations", "99.9 %", "unreplicated"},
		"latency-append":       {"fault: none", "fault: crash-leader"},
		"throughput-time":      {"operations a second", "time [ms]", "fault"},
	}
	for name, texts := range want {
		svg := files["plots/"+name+".svg"]
		if err := wellFormed(svg); err != nil {
			t.Errorf("%s.svg: %v", name, err)
		}
		for _, text := range texts {
			if !strings.Contains(svg, text) {
				t.Errorf("%s.svg does not say %q", name, text)
			}
		}
		im, err := png.Decode(strings.NewReader(files["plots/"+name+".png"]))
		if err != nil {
			t.Errorf("%s.png: %v", name, err)
		} else if im.Bounds().Dx() < 700 || im.Bounds().Dy() < 300 {
			t.Errorf("%s.png is %v", name, im.Bounds())
		}
		if !strings.Contains(files["unescaped.html"], base64.StdEncoding.EncodeToString([]byte(svg))) {
			t.Errorf("%s is not on the page", name)
		}
	}
	// A line a backend and world in its own colour, beside the one of the legend.
	for _, colour := range []string{"#0072B2", "#D55E00", "#009E73"} {
		if got := strings.Count(files["plots/failover-cdf.svg"], "stroke:"+colour); got != 3 {
			t.Errorf("failover-cdf.svg: %d lines in %s, want 3", got, colour)
		}
	}
	if got := strings.Count(files["plots/throughput-time.svg"], "fill:#F3E3C8"); got != 3 {
		t.Errorf("throughput-time.svg: %d shaded areas, want one a faulted panel and the legend's", got)
	}
	if n := len(files); n != 5+2*len(want) {
		t.Errorf("%d files in the report, want %d", n, 5+2*len(want))
	}
}

func wellFormed(svg string) error {
	d := xml.NewDecoder(strings.NewReader(svg))
	elements := 0
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if elements == 0 {
				return errors.New("no element")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if _, ok := tok.(xml.StartElement); ok {
			elements++
		}
	}
}

func TestSameInputSameBytes(t *testing.T) {
	first, dir := theReport(t), shared.dir
	if err := os.WriteFile(filepath.Join(dir, "plots", "of-an-earlier-report.svg"), []byte("<svg/>"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := build(t, dir)
	for name, data := range first {
		if second[name] != data {
			t.Errorf("%s differs the second time", name)
		}
	}
	if len(second) != len(first) {
		t.Errorf("%d files, then %d", len(first), len(second))
	}
}

func TestSingleRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "one")
	save(t, dir, synthetic("etcdraft", "create", "crash-leader", 4, 9), passed("linearizable"))
	files := build(t, dir)
	var s Summary
	if err := json.Unmarshal([]byte(files["summary.json"]), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Rows) != 1 || s.Rows[0].Verdict != rundir.Valid || s.Rows[0].Slice != 4 || s.Rows[0].FailoverMS == nil {
		t.Errorf("rows %+v", s.Rows)
	}
	if files["plots/throughput-time.svg"] == "" || !strings.Contains(files["report.html"], "etcdraft") {
		t.Error("the report of a single run lacks its plot or its name")
	}
	// The report must not break the run's seal.
	if _, err := rundir.Load(dir); err != nil {
		t.Errorf("after the report: %v", err)
	}
}

func TestVirtualRunIsNoLocalFailover(t *testing.T) {
	run := synthetic("etcdraft", "create", "crash-leader", 0, 9)
	run.Manifest.Plan.Tier = "virtual"
	f := run.Faults[0]
	f.Inject, f.Heal, f.Detected, f.Elected, f.Committed = 1300*ms, 1500*ms, 1400*ms, 1410*ms, 1420*ms
	run.Faults = append(run.Faults, f)
	dir := filepath.Join(t.TempDir(), "one")
	save(t, dir, run, passed("linearizable"))
	b, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	sets := b.failoverSets()
	if len(sets) != 1 || sets[0].World != "virtual" || sets[0].Trials.Valid != 2 || sets[0].Failover.N != 2 {
		t.Errorf("sets %+v", sets)
	}
	if plot := build(t, dir)["plots/throughput-time.svg"]; strings.Count(plot, "fill:#F3E3C8") != 3 {
		t.Error("two faults and the legend are not shaded")
	}
}

func TestBareDirectories(t *testing.T) {
	empty := t.TempDir()
	if err := Build(empty, io.Discard); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "neither a bench directory") {
		t.Errorf("an empty directory: %v", err)
	}
	newer := t.TempDir()
	put(t, newer, "bench.json", rundir.Bench{Format: 2})
	if err := Build(newer, io.Discard); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format: %v", err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "bench.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Build(broken, io.Discard); err == nil {
		t.Error("a broken bench.json was taken")
	}
	// Interrupted before the first run: every planned run is void, and it is said.
	early := t.TempDir()
	put(t, early, "bench.json", rundir.Bench{Format: 1, ID: "early", Interrupted: true, Host: testHost, Cells: []rundir.Cell{{Backend: "etcdraft", Workload: "create", Fault: "none", PlannedSlices: 3}}})
	if err := os.WriteFile(filepath.Join(early, "failovers.json"), []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	page := build(t, early)["report.html"]
	for _, want := range []string{"void <b>3</b>", "not run: the bench was interrupted", "did not run to its end", "failovers.json:"} {
		if !strings.Contains(page, want) {
			t.Errorf("an interrupted bench: the page does not say %q", want)
		}
	}
}

func TestRunOfAnotherCellIsVoid(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "b")
	put(t, dir, "bench.json", rundir.Bench{Format: 1, ID: "b", Host: testHost, Cells: []rundir.Cell{{Backend: "etcdraft", Workload: "create", Fault: "none", Setting: "matched-3", Tier: "local", PlannedSlices: 1}}})
	save(t, filepath.Join(dir, "runs", "etcdraft-create-none-s0"), synthetic("multipaxos", "create", "none", 0, 1), passed("linearizable"))
	save(t, filepath.Join(dir, "runs", "etcdraft-create-none-s7"), synthetic("etcdraft", "create", "none", 7, 1), passed("linearizable"))
	b, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.cells[0].runs[0]; r.Verdict != rundir.Void || r.Backend != "etcdraft" || !strings.Contains(r.Reason, "another cell") {
		t.Errorf("a run under another's name: %+v", r.Row)
	}
	if len(b.notes) != 1 || !strings.Contains(b.notes[0], "s7") {
		t.Errorf("the run that nobody planned: %v", b.notes)
	}
}

func TestCompare(t *testing.T) {
	theReport(t)
	a, b := shared.dir, t.TempDir()
	var bench rundir.Bench
	if err := errors.Join(readJSON(a, "bench.json", &bench), os.Symlink(filepath.Join(a, "runs"), filepath.Join(b, "runs"))); err != nil {
		t.Fatal(err)
	}
	bench.Host.Cores = 64
	bench.Cells = bench.Cells[1:] // multipaxos, create, none
	put(t, b, "bench.json", bench)
	text, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"were not interleaved", "must not be compared as a result", "cores 2, 64", "## create, none, hashiraft", "| throughput ops/s |",
		"difference not resolved", "2 of 3", "A: create, none, multipaxos"} {
		if !strings.Contains(text, want) {
			t.Errorf("the comparison does not say %q", want)
		}
	}
	if strings.Contains(text, "cheaper by") || strings.Contains(text, "faster by") {
		t.Error("a bench differs from itself")
	}
	if _, err := Compare(a, t.TempDir()); err == nil {
		t.Error("an empty directory was compared")
	}
}
