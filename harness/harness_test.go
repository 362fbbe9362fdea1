package harness

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gfslab/client"
	"gfslab/consensus"
	"gfslab/harness/nemesis"
	"gfslab/results/rundir"
)

func TestSubtractCounters(t *testing.T) {
	totals := map[string]uint64{"fsyncs": 12, "frames": 7, "gauge": 2, "new": 3}
	subtract(totals, map[string]uint64{"fsyncs": 10, "frames": 7, "gauge": 5, "gone": 9})
	if want := map[string]uint64{"fsyncs": 2, "frames": 0, "gauge": 0, "new": 3}; !maps.Equal(totals, want) {
		t.Errorf("%v, want %v", totals, want)
	}
}

// The end of a step must not come out earlier than it was, or operations that
// overlapped seem to follow one another.
func TestTimesAreTakenToTheRunsClockExactly(t *testing.T) {
	l := &load{began: time.Now()}
	for _, d := range []time.Duration{0, 1, 17 * time.Millisecond} {
		if got := l.at(l.began.Add(d)); got != int64(d) {
			t.Errorf("%v after the start is told as %d ns", d, got)
		}
	}
	in := []client.Attempt{{Node: "m1", Start: l.began.Add(3), End: l.began.Add(9), Err: os.ErrClosed}, {Node: "m2", Start: l.began.Add(10), End: l.began.Add(11)}}
	got := l.attempts(in)
	if len(got) != 2 || got[0] != (rundir.Attempt{Node: "m1", Start: 3, End: 9, Error: os.ErrClosed.Error()}) || got[1] != (rundir.Attempt{Node: "m2", Start: 10, End: 11}) {
		t.Errorf("attempts told as %+v", got)
	}
}

// Records differ from one another, and repeat for the same session.
func TestPayloads(t *testing.T) {
	seen := map[uint32]client.Session{}
	a, b := new(thread), new(thread)
	for _, name := range []string{"c0.0", "c0.1", "c1.0", "c10.0"} {
		for seq := uint64(1); seq <= 200; seq++ {
			s := client.Session{Client: name, Seq: seq}
			for _, size := range []int{64, 9} {
				crc := a.fill(s, size)
				if crc != checksum(a.payload) || len(a.payload) != size {
					t.Fatalf("%v: %d bytes with crc %08x, told as %08x", s, len(a.payload), checksum(a.payload), crc)
				}
				if again := b.fill(s, size); again != crc {
					t.Fatalf("%v: other bytes the second time", s)
				}
				if size < 64 {
					continue
				}
				if other, dup := seen[crc]; dup {
					t.Fatalf("%v and %v have the same bytes, from %x", s, other, binary.LittleEndian.Uint64(a.payload))
				}
				seen[crc] = s
			}
		}
	}
}

// Each fault is explained by what came before the next one.
func TestExplainKeepsFaultsApart(t *testing.T) {
	event := func(at int64, node string, kind consensus.EventKind, term uint64) nemesis.Seen {
		return nemesis.Seen{At: at, Node: node, Event: consensus.Event{Kind: kind, Term: term}}
	}
	faults := []*injected{
		{record: rundir.Fault{Node: "m1", Inject: 100, Heal: 190}, before: nemesis.Before{Leader: "m1", Term: 1}},
		{record: rundir.Fault{Node: "m2", Inject: 200, Heal: 290}, before: nemesis.Before{Leader: "m2", Term: 2}},
		{record: rundir.Fault{Node: "m3", Inject: 300, Heal: 390}, before: nemesis.Before{Leader: "m3", Term: 3}},
	}
	explain(faults, []nemesis.Seen{
		event(110, "m2", consensus.EventCampaign, 2), event(120, "m2", consensus.EventLeader, 2), event(130, "m2", consensus.EventCommit, 2),
		event(210, "m3", consensus.EventCampaign, 3), event(220, "m3", consensus.EventLeader, 3),
		event(310, "m1", consensus.EventCampaign, 4), event(320, "m1", consensus.EventLeader, 4), event(330, "m1", consensus.EventCommit, 4),
	})
	for i, want := range [][3]int64{{110, 120, 130}, {210, 220, 0}, {310, 320, 330}} {
		f := faults[i].record
		if got := [3]int64{f.Detected, f.Elected, f.Committed}; got != want || !f.Observed {
			t.Errorf("fault %d: detected, elected, committed at %v, want %v; observed %v", i, got, want, f.Observed)
		}
	}
}

func TestWorstVerdict(t *testing.T) {
	for _, x := range []struct {
		name   string
		runs   []string // "" has left no verdict
		trials []string
		want   string
	}{
		{"nothing ran", nil, nil, rundir.Void},
		{"all is well", []string{rundir.Valid, rundir.Valid}, []string{rundir.Valid}, rundir.Valid},
		{"a run left only its folder", []string{rundir.Valid, ""}, nil, rundir.Void},
		{"a violation is not hidden by void runs", []string{rundir.Invalid, "", rundir.Void}, []string{rundir.Void}, rundir.Invalid},
		{"no failover could be run", []string{rundir.Valid}, []string{rundir.Void}, rundir.Void},
		{"a violation in a failover", []string{rundir.Valid}, []string{rundir.Valid, rundir.Invalid}, rundir.Invalid},
	} {
		dir := t.TempDir()
		for i, v := range x.runs {
			run := filepath.Join(dir, "runs", fmt.Sprint(i))
			if err := os.MkdirAll(run, 0o755); err != nil {
				t.Fatal(err)
			}
			if v != "" {
				if err := rundir.WriteVerdict(run, rundir.Verdict{Verdict: v}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if x.trials != nil {
			f := rundir.Failovers{Backends: map[string][]rundir.Failover{}}
			for _, v := range x.trials {
				f.Backends["etcdraft"] = append(f.Backends["etcdraft"], rundir.Failover{Verdict: v})
			}
			if err := writeJSON(filepath.Join(dir, failoversFile), f); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := WorstVerdict(context.Background(), dir); err != nil || got != x.want {
			t.Errorf("%s: %s (%v), want %s", x.name, got, err, x.want)
		}
	}
}

func TestDiscardUnsealed(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, x := range []struct {
		ctx    context.Context
		sealed bool
		stays  bool
	}{{over, false, false}, {over, true, true}, {context.Background(), false, true}} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := writeJSON(filepath.Join(dir, rundir.ManifestFile), 0); err != nil {
			t.Fatal(err)
		}
		if x.sealed {
			if err := writeJSON(filepath.Join(dir, rundir.EndFile), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := discardUnsealed(x.ctx, dir); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); (err == nil) != x.stays {
			t.Errorf("interrupted %v, sealed %v: stays %v", x.ctx.Err() != nil, x.sealed, err == nil)
		}
	}
}

// A run that cannot even start leaves no data behind, and never touches a
// directory that was there.
func TestRunThatFailsLeavesNoData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(context.Background())
	p := DefaultPlan()
	cancel()
	if _, _, err := Run(ctx, p, RunOptions{Dir: dir, Host: &rundir.Host{}}); err == nil {
		t.Fatal("a run without time succeeded")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the run directory is still there")
	}
	there := t.TempDir()
	if _, _, err := Run(ctx, p, RunOptions{Dir: there, Host: &rundir.Host{}}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a run into a directory that was there: %v", err)
	}
	if _, err := os.Stat(there); err != nil {
		t.Error(err)
	}
}

func TestBenchOptions(t *testing.T) {
	if err := (BenchOptions{}).Validate(); err != nil {
		t.Errorf("the default bench: %v", err)
	}
	for want, o := range map[string]BenchOptions{
		"slices is -2":          {Slices: -2},
		`backend is "zab"`:      {Backends: []string{"zab"}},
		"faults names none":     {Faults: []string{"none", "none"}},
		"control always runs":   {Backends: []string{"etcdraft", "unreplicated"}},
		`setting is "best"`:     {Setting: "best"},
		`workload is "nothing"`: {Workloads: []string{"nothing"}},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want it to say %q", o, err, want)
		}
	}
	o := BenchOptions{Slices: 2}
	cells, names := map[rundir.Cell]int{}, map[string]bool{}
	for _, p := range o.Plans() {
		cells[rundir.Cell{Backend: p.Backend, Workload: p.Workload, Fault: p.Fault, Setting: p.Setting, Tier: p.Tier, PlannedSlices: 2}]++
		if names[RunName(p)] {
			t.Errorf("two runs are called %s", RunName(p))
		}
		names[RunName(p)] = true
	}
	for _, c := range o.Cells() {
		if cells[c] != 2 {
			t.Errorf("cell %+v has %d runs, want 2", c, cells[c])
		}
		delete(cells, c)
	}
	if len(cells) > 0 {
		t.Errorf("runs of no cell: %v", cells)
	}
}
