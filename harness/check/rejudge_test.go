package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gfslab/results/rundir"
)

// TestNothingLeftOver: a run that is judged valid does not keep the counterexample
// of an earlier judgement.
func TestNothingLeftOver(t *testing.T) {
	run := simulate(t, "create", 3, 12, 3000)
	run.Dir = t.TempDir()
	for _, name := range []string{rundir.CounterexampleFile, "linearizability-p0.html"} {
		if err := os.WriteFile(filepath.Join(run.Dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if v, _ := judge(t, run); v.Verdict != rundir.Valid {
		t.Fatal(explain(v))
	}
	for _, name := range []string{rundir.CounterexampleFile, "linearizability-p0.html"} {
		if _, err := os.Stat(filepath.Join(run.Dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// TestBrokenCheck: a check that breaks is unknown, never a pass.
func TestBrokenCheck(t *testing.T) {
	c := Checker{Name: "broken", check: func(context.Context, *facts, *findings) { panic("no such index") }}
	if got := c.Check(context.Background(), simulate(t, "create", 3, 4, 100)); got.Verdict != rundir.Unknown || !strings.Contains(strings.Join(got.Details, ""), "no such index") {
		t.Errorf("%+v", got)
	}
}

// TestFirstBadOperationIsTold: among many findings the first bad operation's is
// the first.
func TestFirstBadOperationIsTold(t *testing.T) {
	run := simulate(t, "create", 3, 8, 1200)
	var first *rundir.Op
	for i := range run.Ops {
		if op := &run.Ops[i]; okKind(rundir.KindCreate)(op) {
			op.Reply.Code = "EXISTS"
			if first == nil {
				first = op
			}
		}
	}
	_, byName := judge(t, run)
	got := byName["certificate"]
	if got.FirstBadOp != first.ID || !strings.HasPrefix(got.Details[0], named(first)) || len(got.Details) > maxDetails+2 {
		t.Errorf("operation %d is the first bad one; told %d: %s (%d lines)", first.ID, got.FirstBadOp, got.Details[0], len(got.Details))
	}
}

// TestAbsurdChunkIndex: an index out of all reason costs no memory.
func TestAbsurdChunkIndex(t *testing.T) {
	m := nsModel{scope: func(string) bool { return true }, grows: true}
	s := (&nsState{}).with(nsNode{path: "/f"})
	op := &rundir.Op{Kind: rundir.KindAllocate, Path: "/f", Chunk: 1<<32 - 1}
	if m.step(s, op, &rundir.Reply{Code: codeOK, Handle: 1}) != nil {
		t.Error("a file of four thousand million chunks passes")
	}
}
