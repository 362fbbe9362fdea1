package virtual

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/harness"
	"gfslab/harness/check"
	"gfslab/results/rundir"
)

// tamperedDirs names run directories, separated by the system's list separator,
// that TestTampering falsifies in place of runs of its own.
const tamperedDirs = "GFSLAB_TAMPER_DIRS"

// TestTampering falsifies runs of the real stack in many ways. Each must be
// judged as its tampering says and name the culprit. Some go by way of the disk:
// with END rebuilt they are judged, with the old END they are refused.
func TestTampering(t *testing.T) {
	applied := map[string]bool{}
	for _, dir := range tamperedRuns(t, 3) {
		run, err := rundir.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if v := check.Run(context.Background(), clone(run)); v.Verdict != rundir.Valid {
			t.Fatalf("%s before anything was changed: %s\n%s", dir, v.Verdict, told(v))
		}
		p := run.Manifest.Plan
		for _, c := range tamperings() {
			if !c.fits(p) {
				continue
			}
			falsified := clone(run)
			names, ok := apply(t, c, falsified)
			if !ok {
				continue
			}
			applied[c.name] = true
			t.Run(p.Backend+"-"+p.Workload+"-"+p.Fault+"/"+c.name, func(t *testing.T) { judge(t, falsified, c, names) })
		}
	}
	for _, c := range tamperings() {
		if !applied[c.name] && os.Getenv(tamperedDirs) == "" {
			t.Errorf("%q found nothing to falsify in any of the runs", c.name)
		}
	}
}

// inapplicable is what a tampering panics with when the run holds nothing that
// it could falsify.
type inapplicable string

func absent(why string) { panic(inapplicable(why)) }

// apply falsifies the run; ok is false when there is nothing to falsify in it.
func apply(t *testing.T, c tampering, run *rundir.Run) (names []string, ok bool) {
	defer func() {
		if p := recover(); p != nil {
			why, none := p.(inapplicable)
			if !none {
				panic(p)
			}
			t.Logf("%s: %s: not in this run", c.name, why)
		}
	}()
	return c.do(t, run), true
}

// tamperedRuns makes n runs, each of another backend, workload and fault.
func tamperedRuns(t *testing.T, n int) []string {
	if list := os.Getenv(tamperedDirs); list != "" {
		return filepath.SplitList(list)
	}
	var dirs []string
	for _, c := range [][3]string{
		{"etcdraft", "append", "crash-leader"}, {"multipaxos", "create", "crash-leader"}, {"hashiraft", "lease-churn", "isolate-leader"},
	}[:n] {
		p := harness.DefaultPlan()
		p.Backend, p.Workload, p.Fault = c[0], c[1], c[2]
		p.Seed, p.Tier, p.Arrival, p.Rate = 7, "virtual", "open", 500
		p.Duration = rundir.Duration(1500 * time.Millisecond)
		p.FaultAt, p.FaultFor = rundir.Duration(300*time.Millisecond), rundir.Duration(600*time.Millisecond)
		dir := filepath.Join(t.TempDir(), "run")
		r := record(t, harness.Job{Plan: p, Dir: dir, Created: time.Now()})
		if r.Error != "" || r.Verdict.Verdict != rundir.Valid {
			t.Fatalf("%s %s\n%s\nreplay: %s", r.Error, r.Verdict.Verdict, told(r.Verdict), harness.ReplayCommand(p))
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

// judge holds the verdict on a falsified run to what its tampering says.
func judge(t *testing.T, run *rundir.Run, c tampering, names []string) {
	from := run.Dir
	var v rundir.Verdict
	if c.want == refused || c.onDisk {
		var err error
		v, err = tamperOnDisk(t, from, run)
		if c.want == refused {
			if !errors.Is(err, rundir.ErrSyntax) {
				t.Errorf("%v %s, want it refused", err, v.Verdict)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	} else {
		run.Dir = ""
		v = check.Run(context.Background(), run)
	}
	text := told(v)
	if v.Verdict != c.want && (c.want != notValid || v.Verdict == rundir.Valid) {
		t.Fatalf("judged %s, want %s\n%s", v.Verdict, c.want, text)
	}
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("%q is not named:\n%s", name, text)
		}
	}
	t.Logf("%s\n%s", v.Verdict, text)
}

// tamperOnDisk writes a falsified run under the seal of the one it was, which
// must be refused, and judges it under a new one.
func tamperOnDisk(t *testing.T, from string, run *rundir.Run) (rundir.Verdict, error) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := rundir.Save(dir, run); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(from, rundir.EndFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, rundir.EndFile), old, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := harness.Check(context.Background(), dir, 0); !errors.Is(err, rundir.ErrDamaged) {
		t.Errorf("with the old END: %v, want it refused", err)
	}
	if err := rundir.Reseal(dir); err != nil {
		t.Fatal(err)
	}
	return harness.Check(context.Background(), dir, 0)
}

// clone copies what a tampering may change.
func clone(run *rundir.Run) *rundir.Run {
	out := *run
	out.Manifest.Nodes = slices.Clone(run.Manifest.Nodes)
	out.Faults = slices.Clone(run.Faults)
	out.Counters.Applied = maps.Clone(run.Counters.Applied)
	out.Ops = slices.Clone(run.Ops)
	for i := range out.Ops {
		if r := out.Ops[i].Reply; r != nil {
			own := *r
			out.Ops[i].Reply = &own
		}
	}
	out.Applied, out.Chunks, out.Leases = cloneLists(run.Applied), cloneLists(run.Chunks), cloneLists(run.Leases)
	return &out
}

func cloneLists[T any](in map[string][]T) map[string][]T {
	out := make(map[string][]T, len(in))
	for k, list := range in {
		out[k] = slices.Clone(list)
	}
	return out
}

// told is what the checkers that did not pass the run say.
func told(v rundir.Verdict) string {
	var b strings.Builder
	for _, c := range v.Checks {
		if c.Verdict == rundir.Valid {
			continue
		}
		fmt.Fprintf(&b, "%s: %s, first bad operation %d\n", c.Name, c.Verdict, c.FirstBadOp)
		for _, d := range c.Details {
			fmt.Fprintf(&b, "    %s\n", d)
		}
	}
	return b.String()
}

// TestCutShort cuts a run directory in every way that a copy or a full disk can:
// the error names the file.
func TestCutShort(t *testing.T) {
	from := tamperedRuns(t, 1)[0]
	var files []string
	full := map[string]bool{} // directories with a file that has something to cut
	size := map[string]int64{}
	err := filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if name, _ := filepath.Rel(from, path); err == nil && !d.IsDir() && name != rundir.VerdictFile {
			info, err := d.Info()
			if err != nil {
				return err
			}
			files = append(files, name)
			if size[name] = info.Size(); info.Size() > 0 {
				full[filepath.Dir(name)] = true
			}
		}
		return err
	})
	if err != nil || len(files) < 12 || len(full) < 5 {
		t.Fatal(files, full, err)
	}
	for _, name := range files {
		for _, how := range []string{"gone", "empty", "cut"} {
			if size[name] == 0 && how != "gone" {
				continue // such as the replica events of a master that never led
			}
			dir := filepath.Join(t.TempDir(), "run")
			if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, name)
			if how == "gone" {
				err = os.Remove(path)
			} else if how == "empty" {
				err = os.Truncate(path, 0)
			} else {
				err = os.Truncate(path, size[name]*2/3)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := harness.Check(context.Background(), dir, 0); err == nil || !strings.Contains(err.Error(), filepath.ToSlash(name)) {
				t.Errorf("%s %s: %v", name, how, err)
			}
		}
	}
}
