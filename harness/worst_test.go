package harness

import (
	"context"
	"path/filepath"
	"testing"

	"gfslab/results/rundir"
)

// A slice that proved too little is run again, stays visible, and spoils the end
// only if its cell did not get all its slices.
func TestUnknownSlicesAreRepeatedAndShown(t *testing.T) {
	o := BenchOptions{Slices: 2}.withDefaults()
	b := rundir.Bench{Cells: o.Cells(), Slices: 2}
	first := o.Plans()[0]
	if _, ok := repeat(first, rundir.Invalid, &b); ok {
		t.Error("an invalid run was repeated")
	}
	again, ok := repeat(first, rundir.Unknown, &b)
	if !ok || again.Slice != 2 || again.Seed == first.Seed || RunName(again) == RunName(first) || b.Cells[0].PlannedSlices != 3 {
		t.Fatalf("repeated as %+v, %v; cell %+v", again, ok, b.Cells[0])
	}
	if _, ok := repeat(again, rundir.Unknown, &b); !ok {
		t.Error("no second repeat")
	}
	if _, ok := repeat(again, rundir.Unknown, &b); ok {
		t.Error("repeated without an end")
	}

	dir := t.TempDir()
	if err := writeJSON(filepath.Join(dir, "bench.json"), b); err != nil {
		t.Fatal(err)
	}
	leave := func(name, verdict, want string) {
		t.Helper()
		run := filepath.Join(dir, "runs", name)
		if err := writeJSON(filepath.Join(run, rundir.ManifestFile), 0); err != nil {
			t.Fatal(err)
		}
		if err := rundir.WriteVerdict(run, rundir.Verdict{Verdict: verdict}); err != nil {
			t.Fatal(err)
		}
		if got, err := WorstVerdict(context.Background(), dir); err != nil || got != want {
			t.Errorf("after %s %s: %s (%v), want %s", name, verdict, got, err, want)
		}
	}
	leave("a-create-none-s0", rundir.Valid, rundir.Valid)
	leave("a-create-none-s1", rundir.Unknown, rundir.Unknown)
	leave("a-create-none-s2", rundir.Valid, rundir.Valid)
	leave("b-create-none-s0", rundir.Unknown, rundir.Unknown)
	leave("b-create-none-s1", rundir.Invalid, rundir.Invalid)
}
