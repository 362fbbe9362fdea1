package virtual

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gfslab/harness"
	"gfslab/harness/check"
	"gfslab/results/rundir"
)

// registerRun makes a run of workload register with snapshots, one of which a
// node takes over.
func registerRun(t *testing.T, backend, readMode string, seed uint64) *rundir.Run {
	t.Helper()
	p := harness.DefaultPlan()
	p.Backend, p.Workload, p.Fault, p.Seed, p.Tier = backend, "register", "crash-leader", seed, "virtual"
	p.Arrival, p.Rate, p.OpTimeout = "open", 1200, rundir.Duration(2*time.Second)
	p.FaultAt, p.FaultFor = rundir.Duration(500*time.Millisecond), rundir.Duration(500*time.Millisecond)
	p.Limits = rundir.Limits{SnapshotEvery: 60, TrailingEntries: 10, ReadMode: readMode}
	dir := filepath.Join(t.TempDir(), "run")
	r := record(t, harness.Job{Plan: p, Dir: dir, Created: time.Now()})
	if r.Error != "" || r.Verdict.Verdict != rundir.Valid {
		t.Fatalf("%s %s\n%s\nreplay: %s", r.Error, r.Verdict.Verdict, told(r.Verdict), harness.ReplayCommand(p))
	}
	run, err := rundir.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// restoredAt finds a line of a snapshot that was taken over.
func restoredAt(t *testing.T, run *rundir.Run) (node string, i int) {
	for node, lines := range run.Applied {
		if i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Restored }); i >= 0 {
			return node, i
		}
	}
	absent("no node took over a snapshot")
	return "", 0
}

// loseable finds a put that a node applied between two others in the same
// incarnation: one whose loss no snapshot and no crash can excuse.
func loseable(run *rundir.Run) (node string, i int) {
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		lines := run.Applied[node]
		for i := 1; i+1 < len(lines); i++ {
			plain := !lines[i-1].Restored && !lines[i].Restored && !lines[i+1].Restored
			together := lines[i-1].Run == lines[i].Run && lines[i].Run == lines[i+1].Run
			ofAPut := slices.ContainsFunc(run.Ops, func(op rundir.Op) bool { return okKind(rundir.KindPut)(&op) && isLine(&op)(lines[i]) })
			if plain && together && ofAPut {
				return node, i
			}
		}
	}
	absent("no node applied a put between two other commands")
	return "", 0
}

func registerTamperings() []tampering {
	const w = "register"
	change := func(name, kind string, do func(op *rundir.Op)) tampering {
		return tampering{kind + ": " + name, w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(kind))
			do(op)
			return []string{named(op)}
		}, false}
	}
	return []tampering{
		change("a value that nobody wrote", rundir.KindGet, func(op *rundir.Op) { op.Reply.Value = "nobody" }),
		change("no such key", rundir.KindGet, func(op *rundir.Op) { op.Reply.Code, op.Reply.Value, op.Reply.Revision = "NOT_FOUND", "", 0 }),
		change("another revision", rundir.KindGet, func(op *rundir.Op) { op.Reply.Revision++ }),
		change("a position of the past", rundir.KindGet, func(op *rundir.Op) { op.Reply.Index, op.Reply.Offset = 3, 1 }),
		change("part of an entry", rundir.KindGet, func(op *rundir.Op) { op.Reply.Offset += 3 }),
		change("another revision", rundir.KindPut, func(op *rundir.Op) { op.Reply.Revision++ }),
		change("another position", rundir.KindPut, func(op *rundir.Op) { op.Reply.Index++ }),
		change("another value was asked for", rundir.KindPut, func(op *rundir.Op) { op.Value += "'" }),
		change("not found", rundir.KindRemove, func(op *rundir.Op) { op.Reply.Code = "NOT_FOUND" }),
		change("conflict", rundir.KindSwap, func(op *rundir.Op) { op.Reply.Code = "CONFLICT" }),
		change("another was expected", rundir.KindSwap, func(op *rundir.Op) { op.Expect, op.Absent = "another", false }),
		change("a value that nobody wrote", rundir.KindGetStale, func(op *rundir.Op) { op.Reply.Value = "nobody" }),
		change("not what it was pinned to", rundir.KindGetStale, func(op *rundir.Op) { op.AtLeast = op.Reply.Index + 1 }),
		{"get: what was read before the last change", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			// A stale read that is right by the log at the position it gives.
			var old *rundir.Op
			for i := range run.Ops {
				op := &run.Ops[i]
				switch {
				case !okKind(rundir.KindGet)(op):
				case old == nil:
					old = op
				case op.Path == old.Path && op.Start > old.End && op.Reply.Value != old.Reply.Value:
					node := op.Reply.Node
					*op.Reply = *old.Reply
					op.Reply.Node = node
					return []string{named(op), "linearizable: invalid", "certificate: invalid"}
				}
			}
			absent("no key was read twice with a change between")
			return nil
		}, false},
		{"get-stale: back in time", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			before := map[int]*rundir.Op{}
			for i := range run.Ops {
				op := &run.Ops[i]
				if op.Phase != rundir.PhaseRun || op.Reply == nil {
					continue
				}
				old := before[op.Thread]
				if op.Kind == rundir.KindGetStale && old != nil && old.Kind == rundir.KindGet && old.Path == op.Path && old.Reply.Index < op.AtLeast {
					node := op.Reply.Node
					*op.Reply = *old.Reply
					op.Reply.Node = node
					return []string{named(op), "pinned"}
				}
				if op.Kind == rundir.KindGet && (old == nil || i%3 == 0) {
					before[op.Thread] = op
				}
			}
			absent("no client read a key first so, and then stale")
			return nil
		}, false},
		{"a put lost by all nodes", w, notValid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindPut))
			for node := range run.Applied {
				run.Applied[node] = slices.DeleteFunc(run.Applied[node], isLine(op))
			}
			return []string{named(op), at(op)}
		}, false},
		{"a put lost by one node", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node, i := loseable(run)
			run.Applied[node] = slices.Delete(run.Applied[node], i, i+1)
			return []string{"node " + node}
		}, false},
		{"a command changed on all nodes", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindPut))
			for _, lines := range run.Applied {
				for i := range lines {
					if isLine(op)(lines[i]) {
						lines[i].Command = []byte(strings.Replace(string(lines[i].Command), op.Value, strings.Repeat("x", len(op.Value)), 1))
					}
				}
			}
			return []string{named(op), at(op)}
		}, false},
		{"a snapshot of another state", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node, i := restoredAt(t, run)
			run.Applied[node][i].Hash = "0123456789abcdef0123456789abcdef"
			return []string{"node " + node, fmt.Sprintf("a snapshot through index %d", run.Applied[node][i].Index)}
		}, true},
		{"a snapshot through an index without a command", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node, i := restoredAt(t, run)
			run.Applied[node][i].Index += 1 << 20
			return []string{"node " + node}
		}, false},
		{"a snapshot that was not taken over", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node, i := restoredAt(t, run)
			run.Applied[node] = slices.Delete(run.Applied[node], i, i+1)
			return []string{"node " + node, "is missing from the applied log"}
		}, false},
		{"a command applied that the snapshot had", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node, i := restoredAt(t, run)
			line := run.Applied[node][i]
			for _, lines := range run.Applied {
				if j := slices.IndexFunc(lines, func(l rundir.Applied) bool { return !l.Restored && l.Index == line.Index }); j >= 0 {
					again := lines[j]
					again.Run, again.At = line.Run, line.At
					run.Applied[node] = slices.Insert(run.Applied[node], i+1, again)
					return []string{"node " + node, "applied again"}
				}
			}
			absent("nobody applied what the snapshot ends with")
			return nil
		}, false},
	}
}

// TestRegisterTampering falsifies runs on the key-value store. Each must be
// judged as its tampering says and name the culprit.
func TestRegisterTampering(t *testing.T) {
	applied := map[string]bool{}
	for i, mode := range []string{"", "stale"} {
		run := registerRun(t, []string{"etcdraft", "multipaxos"}[i], mode, uint64(31+i))
		for _, c := range registerTamperings() {
			falsified := clone(run)
			names, ok := apply(t, c, falsified)
			if !ok {
				continue
			}
			applied[c.name] = true
			t.Run(run.Manifest.Plan.Backend+mode+"/"+c.name, func(t *testing.T) { judge(t, falsified, c, names) })
		}
		if v := check.Run(context.Background(), run); v.Verdict != rundir.Valid {
			t.Errorf("the run itself was changed: %s", told(v))
		}
	}
	for _, c := range registerTamperings() {
		if !applied[c.name] {
			t.Errorf("%q found nothing to falsify in any of the runs", c.name)
		}
	}
}
