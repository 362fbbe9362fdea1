package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// expectation is what a tampered run must be judged as: invalid by one checker,
// which names certain things, and if op is not 0 that operation first.
type expectation struct {
	checker string
	op      int64
	names   []string
}

// tampering is one way to falsify a run that was right.
type tampering struct {
	name     string
	workload string
	do       func(t *testing.T, run *rundir.Run) expectation
}

// some finds the middle one of the operations that fit.
func some(t *testing.T, run *rundir.Run, fits func(op *rundir.Op) bool) *rundir.Op {
	t.Helper()
	var all []*rundir.Op
	for i := range run.Ops {
		if fits(&run.Ops[i]) {
			all = append(all, &run.Ops[i])
		}
	}
	if len(all) == 0 {
		t.Fatal("the run has no such operation")
	}
	return all[len(all)/2]
}

func okKind(kind string) func(*rundir.Op) bool {
	return func(op *rundir.Op) bool {
		return op.Kind == kind && op.Phase == rundir.PhaseRun && ok(op) && op.Reply.Code == codeOK
	}
}

func named(op *rundir.Op) string { return fmt.Sprintf("operation %d ", op.ID) }

func at(op *rundir.Op) string {
	return fmt.Sprintf("index %d offset %d", op.Reply.Index, op.Reply.Offset)
}

// dropLine removes the line of an operation from one node's applied log.
func dropLine(run *rundir.Run, node string, op *rundir.Op) {
	run.Applied[node] = slices.DeleteFunc(run.Applied[node], func(l rundir.Applied) bool {
		return l.Index == op.Reply.Index && l.Offset == op.Reply.Offset
	})
}

// editReply changes a logged reply on every node alike, which keeps the logs in
// agreement.
func editReply(t *testing.T, run *rundir.Run, fits func(cmd *metapb.Command, reply *metapb.Reply) bool, change func(*metapb.Reply)) position {
	t.Helper()
	var places []position
	for _, l := range run.Applied["m1"] {
		var cmd metapb.Command
		var reply metapb.Reply
		if proto.Unmarshal(l.Command, &cmd) == nil && proto.Unmarshal(l.Reply, &reply) == nil && fits(&cmd, &reply) {
			places = append(places, position{l.Index, l.Offset})
		}
	}
	if len(places) == 0 {
		t.Fatal("no such command in the log")
	}
	p := places[len(places)/2]
	for _, lines := range run.Applied {
		for i := range lines {
			if lines[i].Index == p.index && lines[i].Offset == p.offset {
				var reply metapb.Reply
				if err := proto.Unmarshal(lines[i].Reply, &reply); err != nil {
					t.Fatal(err)
				}
				change(&reply)
				b, err := proto.Marshal(&reply)
				if err != nil {
					t.Fatal(err)
				}
				lines[i].Reply = b
			}
		}
	}
	return p
}

func isRecord(op *rundir.Op) func(rundir.Chunk) bool {
	return func(c rundir.Chunk) bool { return c.Handle == op.Reply.Handle && c.Offset == op.Reply.ChunkOffset }
}

func findChunk(t *testing.T, run *rundir.Run, node string, op *rundir.Op) *rundir.Chunk {
	t.Helper()
	i := slices.IndexFunc(run.Chunks[node], isRecord(op))
	if i < 0 {
		t.Fatalf("no record of operation %d on %s", op.ID, node)
	}
	return &run.Chunks[node][i]
}

// staleRead finds a change of a path and a read of it by another client that
// comes after it, with no other change to the path meanwhile.
func staleRead(t *testing.T, run *rundir.Run) (change, read *rundir.Op) {
	t.Helper()
	for i := range run.Ops {
		c := &run.Ops[i]
		if c.Kind != rundir.KindCreate || !strings.Contains(c.Path, "/h") || !okKind(rundir.KindCreate)(c) {
			continue
		}
		for j := range run.Ops {
			r := &run.Ops[j]
			if r.Kind == rundir.KindStat && r.Path == c.Path && ok(r) && r.Start > c.End && r.Reply.Code == codeOK && r.Thread != c.Thread &&
				!slices.ContainsFunc(run.Ops, func(o rundir.Op) bool {
					return o.Path == c.Path && mutates(o.Kind) && o.ID != c.ID && (o.End < 0 || o.End > c.Start) && o.Start < r.End
				}) {
				return c, r
			}
		}
	}
	t.Fatal("no change with a read after it")
	return nil, nil
}

// TestTampering falsifies correct runs on disk, rebuilds END, and wants each
// judged invalid with the culprit named; with the old END it must be refused.
func TestTampering(t *testing.T) {
	cases := slices.Concat(logTamperings(), replyTamperings(), recordTamperings(), leaseTamperings())
	runs := map[string]string{}
	for _, workload := range []string{"create", "append", "lease-churn"} {
		runs[workload] = filepath.Join(t.TempDir(), workload)
		if err := rundir.Save(runs[workload], simulate(t, workload, 3, 8, 1200)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cases {
		t.Run(c.workload+"/"+c.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent syncing files
			dir := filepath.Join(t.TempDir(), "run")
			want := falsify(t, runs[c.workload], dir, c)
			run, err := rundir.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			v, byName := judge(t, run)
			got := byName[want.checker]
			if v.Verdict != rundir.Invalid || got.Verdict != rundir.Invalid {
				t.Fatalf("%s, %s by %s:\n%s", v.Verdict, got.Verdict, want.checker, explain(v))
			}
			details := strings.Join(got.Details, "\n")
			for _, name := range want.names {
				if !strings.Contains(details, name) {
					t.Errorf("%s does not name %q:\n%s", want.checker, name, details)
				}
			}
			if want.op != 0 && got.FirstBadOp != want.op {
				t.Errorf("%s says that operation %d is the first bad one, it is %d:\n%s", want.checker, got.FirstBadOp, want.op, details)
			}
			checkCounterexample(t, run)
		})
	}
}

// falsify writes the altered run to dir, sealed anew, after making sure that the
// old seal refuses it.
func falsify(t *testing.T, from, dir string, c tampering) expectation {
	t.Helper()
	run, err := rundir.Load(from)
	if err != nil {
		t.Fatal(err)
	}
	want := c.do(t, run)
	if err := rundir.Save(dir, run); err != nil {
		t.Fatal(err)
	}
	oldEnd, err := os.ReadFile(filepath.Join(from, rundir.EndFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, rundir.EndFile), oldEnd, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := rundir.Load(dir); !errors.Is(err, rundir.ErrDamaged) {
		t.Fatalf("with the old END: %v", err)
	}
	if err := rundir.Reseal(dir); err != nil {
		t.Fatal(err)
	}
	return want
}

func checkCounterexample(t *testing.T, run *rundir.Run) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(run.Dir, rundir.CounterexampleFile))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !strings.HasSuffix(text, run.Manifest.Command+"\n") || !strings.Contains(text, "isolate-leader on node m1") {
		t.Errorf("the counterexample lacks the replay line or the faults:\n%s", text)
	}
}

func logTamperings() []tampering {
	const w = "create"
	return []tampering{
		{"a command removed from one node's log", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			dropLine(run, "m2", op)
			delete(run.Counters.Applied, "m2")
			return expectation{"logs-agree", op.ID, []string{named(op), at(op), "node m2"}}
		}},
		{"the same, seen by durable", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			dropLine(run, "m2", op)
			return expectation{"durable", op.ID, []string{named(op), at(op), "node m2"}}
		}},
		{"the last command removed from one node's log", w, func(t *testing.T, run *rundir.Run) expectation {
			run.Applied["m1"] = run.Applied["m1"][:len(run.Applied["m1"])-1]
			return expectation{"logs-agree", 0, []string{"node m1 counted"}}
		}},
		{"an acknowledged command removed from all logs", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindDelete)(op) })
			for node := range run.Applied {
				dropLine(run, node, op)
			}
			run.Counters.Applied = nil
			return expectation{"durable", 0, []string{named(op), at(op), "node m1", "node m3"}}
		}},
		{"the same, seen by the certificate", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			for node := range run.Applied {
				dropLine(run, node, op)
			}
			return expectation{"certificate", 0, []string{named(op), "no node's log has it"}}
		}},
		{"a command applied twice on one node", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			lines := run.Applied["m2"]
			i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Index == op.Reply.Index && l.Offset == op.Reply.Offset })
			again := lines[i]
			run.Applied["m2"] = slices.Insert(lines, i+1, again)
			return expectation{"logs-agree", op.ID, []string{named(op), at(op), "node m2", "applied twice"}}
		}},
		{"an index applied again later", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			lines := run.Applied["m2"]
			i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Index == op.Reply.Index && l.Offset == op.Reply.Offset })
			run.Applied["m2"] = append(slices.Clone(lines), lines[i])
			return expectation{"logs-agree", 0, []string{named(op), at(op), "node m2", "applied again"}}
		}},
		{"another state on one node", w, func(t *testing.T, run *rundir.Run) expectation {
			i := len(run.Applied["m2"]) / 2
			index := run.Applied["m2"][i].Index
			for j := range run.Applied["m2"] {
				if run.Applied["m2"][j].Index == index {
					run.Applied["m2"][j].Hash = "00"
				}
			}
			return expectation{"logs-agree", 0, []string{fmt.Sprintf("index %d offset 0", index), "node", "m2", "hash"}}
		}},
		{"another command at one index on one node", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			for i := range run.Applied["m2"] {
				l := &run.Applied["m2"][i]
				if l.Index == op.Reply.Index && l.Offset == op.Reply.Offset {
					l.Command = run.Applied["m2"][0].Command
				}
			}
			return expectation{"logs-agree", op.ID, []string{named(op), at(op), "m2", "different commands"}}
		}},
		{"an operation that was reported as not done", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			where := at(op)
			op.Outcome, op.Reply = rundir.OutcomeFail, nil
			return expectation{"certificate", op.ID, []string{named(op), where, "surely not done"}}
		}},
		{"a command that nobody asked for", w, func(t *testing.T, run *rundir.Run) expectation {
			op := *some(t, run, okKind(rundir.KindCreate))
			run.Ops = slices.DeleteFunc(run.Ops, func(o rundir.Op) bool { return o.ID == op.ID })
			return expectation{"certificate", 0, []string{at(&op), op.Client, "no operation asked for"}}
		}},
		{"a command executed twice", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			for node, lines := range run.Applied {
				i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Index == op.Reply.Index && l.Offset == op.Reply.Offset })
				j := i
				for j+1 < len(lines) && lines[j+1].Index == op.Reply.Index {
					j++
				}
				again := lines[i]
				again.Offset = lines[j].Offset + 1
				run.Applied[node] = slices.Insert(slices.Clone(lines), j+1, again)
			}
			return expectation{"certificate", 0, []string{named(op), "applied before"}}
		}},
	}
}
