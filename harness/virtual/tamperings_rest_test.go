package virtual

import (
	"fmt"
	"slices"
	"testing"

	"gfslab/results/rundir"
)

// event finds the middle one of the lease events of a kind.
func event(t *testing.T, run *rundir.Run, kind string) *rundir.LeaseEvent {
	var all []*rundir.LeaseEvent
	for _, node := range []string{"cs1", "cs2", "cs3"} {
		for i := range run.Leases[node] {
			if e := &run.Leases[node][i]; e.Kind == kind {
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 {
		absent("the run has no such event")
	}
	return all[len(all)/2]
}

func alteredLeases() []tampering {
	const a, l, both = "append", "lease-churn", "append lease-churn"
	change := func(name, on, kind string, do func(run *rundir.Run, e *rundir.LeaseEvent)) tampering {
		return tampering{kind + " " + name, on, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			e := event(t, run, kind)
			names := []string{e.Node, fmt.Sprintf("chunk %d", e.Handle)}
			do(run, e)
			return names
		}, false}
	}
	remove := func(run *rundir.Run, e *rundir.LeaseEvent) {
		gone := *e
		run.Leases[e.Node] = slices.DeleteFunc(run.Leases[e.Node], func(x rundir.LeaseEvent) bool { return x == gone })
	}
	return []tampering{
		change("removed", a, rundir.LeaseAccept, remove),
		change("removed", a, rundir.LeaseMutate, remove),
		change("of another offset", a, rundir.LeaseMutate, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.Offset++ }),
		change("after its acknowledgement", a, rundir.LeaseMutate, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.At += 5e9 }),
		change("of another epoch", a, rundir.LeaseAccept, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.Epoch += 1000 }),
		change("after its lease", a, rundir.LeaseAccept, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.At += 60e9 }),
		change("before its lease", a, rundir.LeaseAccept, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.At = 1 }),
		change("of an older version", a, rundir.LeaseAccept, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.Version-- }),
		change("of another version", both, rundir.LeaseClaim, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.Version++ }),
		change("of an epoch that is not", both, rundir.LeaseClaim, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.Epoch += 1 << 30 }),
		change("before the grant", both, rundir.LeaseClaim, func(_ *rundir.Run, e *rundir.LeaseEvent) { e.At = 1 }),
		change("for ten terms", both, rundir.LeaseClaim, func(run *rundir.Run, e *rundir.LeaseEvent) {
			e.Until = e.At + 10*int64(run.Manifest.Plan.LeaseTerm)
		}),
		change("by another node", both, rundir.LeaseClaim, func(run *rundir.Run, e *rundir.LeaseEvent) {
			second := *e // the finding names the node that the lease was granted to
			second.Node = other(e.Node)
			second.At++
			run.Leases[second.Node] = append(run.Leases[second.Node], second)
		}),
		{"stop: removed, where the lease was ended early", l, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			e := stopBeforeEnd(t, run)
			names := []string{fmt.Sprintf("chunk %d", e.Handle), "node " + e.Node}
			remove(run, e)
			return names
		}, false},
		{"events filed under another node", both, refused, func(t *testing.T, run *rundir.Run) []string {
			run.Leases["cs1"], run.Leases["cs2"] = run.Leases["cs2"], run.Leases["cs1"]
			return []string{"cs1", "cs2"}
		}, false},
	}
}

// stopBeforeEnd finds a primary that stopped well before its lease ran out, and
// whose lease was ended then: what a revocation does.
func stopBeforeEnd(t *testing.T, run *rundir.Run) *rundir.LeaseEvent {
	revoked := map[uint64]bool{}
	for i := range run.Ops {
		if op := &run.Ops[i]; op.Kind == rundir.KindRevoke && op.Reply != nil {
			revoked[op.Handle] = true
		}
	}
	margin := int64(run.Manifest.Plan.LeaseTerm) / 2
	for node := range run.Leases {
		for i := range run.Leases[node] {
			stop := &run.Leases[node][i]
			if stop.Kind == rundir.LeaseStop && revoked[stop.Handle] && slices.ContainsFunc(run.Leases[node], func(c rundir.LeaseEvent) bool {
				return c.Kind == rundir.LeaseClaim && c.Handle == stop.Handle && c.Epoch == stop.Epoch && c.Until > stop.At+margin
			}) {
				return stop
			}
		}
	}
	absent("no lease was ended early")
	return nil
}

// missingEvidence takes away what the checkers need: nothing of that may pass.
func missingEvidence() []tampering {
	const a, both = "append", "append lease-churn"
	return []tampering{
		{"a master's log missing", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			delete(run.Applied, "m2")
			delete(run.Counters.Applied, "m2")
			return []string{"m2"}
		}, false},
		{"a master's log empty", "", rundir.Invalid, func(_ *testing.T, run *rundir.Run) []string {
			run.Applied["m2"] = nil
			return []string{"m2"}
		}, false},
		{"a master's log empty, and not counted", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Applied["m2"] = nil
			delete(run.Counters.Applied, "m2")
			return []string{"m2"}
		}, false},
		{"all logs empty", "", rundir.Invalid, func(_ *testing.T, run *rundir.Run) []string {
			for node := range run.Applied {
				run.Applied[node] = nil
				run.Counters.Applied[node] = 0
			}
			return nil
		}, false},
		{"all logs missing", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Applied, run.Counters.Applied = nil, nil
			return nil
		}, false},
		{"a node left out of the manifest", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Manifest.Nodes = slices.DeleteFunc(run.Manifest.Nodes, func(n string) bool { return n == "m2" })
			return []string{"m2"}
		}, false},
		{"a node left out of the manifest and of the logs", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Manifest.Nodes = slices.DeleteFunc(run.Manifest.Nodes, func(n string) bool { return n == "m2" })
			delete(run.Applied, "m2")
			delete(run.Counters.Applied, "m2")
			return []string{"masters"}
		}, false},
		{"no counts", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Counters.Applied = nil
			return []string{"m1", "m2", "m3"}
		}, false},
		{"a chunk list missing", a, rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string { delete(run.Chunks, "cs2"); return []string{"cs2"} }, false},
		{"a node's lease events missing", "lease-churn", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string { delete(run.Leases, "cs2"); return []string{"cs2"} }, false},
		{"no lease events", "lease-churn", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string { run.Leases = nil; return []string{"no lease to check"} }, false},
		{"the workload renamed", both, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			run.Manifest.Plan.Workload = "create"
			e := event(t, run, rundir.LeaseClaim)
			e.Epoch += 1 << 30
			return []string{"node " + e.Node}
		}, false},
		{"the workload unheard of", a, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			run.Manifest.Plan.Workload = "append2"
			op := some(t, run, okKind(rundir.KindAppend))
			run.Chunks["cs2"] = slices.DeleteFunc(run.Chunks["cs2"], isRecord(op))
			return []string{named(op)}
		}, false},
		{"no acknowledged append", a, rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			for i := range run.Ops {
				switch op := &run.Ops[i]; op.Kind {
				case rundir.KindAppend:
					op.Outcome, op.Reply, op.End = rundir.OutcomeUnknown, nil, -1
				case rundir.KindReadRecord: // only acknowledged records are read
					op.Outcome, op.Reply = rundir.OutcomeFail, nil
				}
			}
			return []string{"no record append was acknowledged"}
		}, false},
		{"all reads fail", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			for i := range run.Ops {
				switch op := &run.Ops[i]; op.Kind {
				case rundir.KindStat, rundir.KindList, rundir.KindChunkInfo:
					op.Outcome, op.Reply = rundir.OutcomeFail, nil
				}
			}
			return []string{"linearizable reads"}
		}, false},
		{"no outcome known", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			for i := range run.Ops {
				run.Ops[i].Outcome, run.Ops[i].Reply, run.Ops[i].End = rundir.OutcomeUnknown, nil, -1
			}
			return nil
		}, false},
		{"no final reads", "", rundir.Unknown, func(_ *testing.T, run *rundir.Run) []string {
			run.Ops = slices.DeleteFunc(run.Ops, func(op rundir.Op) bool { return op.Phase == rundir.PhaseFinal })
			return []string{"final"}
		}, false},
		{"a read lost from the history", "", rundir.Unknown, func(t *testing.T, run *rundir.Run) []string {
			op := *some(t, run, func(op *rundir.Op) bool {
				return op.Phase == rundir.PhaseRun && (op.Kind == rundir.KindStat || op.Kind == rundir.KindChunkInfo)
			})
			run.Ops = slices.DeleteFunc(run.Ops, func(o rundir.Op) bool { return o.ID == op.ID })
			return []string{fmt.Sprintf("%d", op.ID)}
		}, false},
		{"the fault forgotten", "", rundir.Void, func(t *testing.T, run *rundir.Run) []string {
			if len(run.Faults) == 0 {
				absent("there was none")
			}
			run.Faults = nil
			return []string{"none was injected"}
		}, false},
		{"a fault seen without evidence", "", rundir.Void, func(t *testing.T, run *rundir.Run) []string {
			if len(run.Faults) == 0 {
				absent("there was none")
			}
			run.Faults[0].Evidence = nil
			return []string{"evidence"}
		}, false},
		{"another fault than planned", "", rundir.Void, func(t *testing.T, run *rundir.Run) []string {
			if len(run.Faults) == 0 {
				absent("there was none")
			}
			run.Faults[0].Name = "split-minority"
			return []string{"split-minority"}
		}, false},
		{"a fault healed before it began", "", rundir.Void, func(t *testing.T, run *rundir.Run) []string {
			if len(run.Faults) == 0 {
				absent("there was none")
			}
			run.Faults[0].Heal = run.Faults[0].Inject - 1
			return []string{"healed"}
		}, false},
	}
}

// nonsense is what no recorder writes: such a run is not read at all.
func nonsense() []tampering {
	change := func(name string, do func(op *rundir.Op, run *rundir.Run)) tampering {
		return tampering{name, "", refused, func(t *testing.T, run *rundir.Run) []string {
			do(mutated(t, run), run)
			return nil
		}, true}
	}
	return []tampering{
		change("an id twice", func(op *rundir.Op, run *rundir.Run) { run.Ops = append(run.Ops, *op) }),
		change("an operation that ends before it starts", func(op *rundir.Op, _ *rundir.Run) { op.Start, op.End = op.End, op.Start }),
		change("an operation before the run", func(op *rundir.Op, _ *rundir.Run) { op.Start = -5 }),
		change("a negative due time", func(op *rundir.Op, _ *rundir.Run) { op.Due = -5 }),
		change("an unknown kind", func(op *rundir.Op, _ *rundir.Run) { op.Kind = "creat" }),
		change("an unknown phase", func(op *rundir.Op, _ *rundir.Run) { op.Phase = "rum" }),
		change("an unknown outcome", func(op *rundir.Op, _ *rundir.Run) { op.Outcome = "maybe" }),
		change("no id", func(op *rundir.Op, _ *rundir.Run) { op.ID = 0 }),
		change("an answer with the outcome unknown", func(op *rundir.Op, _ *rundir.Run) { op.Outcome, op.End = rundir.OutcomeUnknown, -1 }),
		change("an unknown kind of lease event", func(_ *rundir.Op, run *rundir.Run) {
			run.Leases["cs1"] = append(run.Leases["cs1"], rundir.LeaseEvent{Kind: "klaim", Node: "cs1", At: 1})
		}),
		change("a lease event before the run", func(_ *rundir.Op, run *rundir.Run) {
			run.Leases["cs1"] = append(run.Leases["cs1"], rundir.LeaseEvent{Kind: rundir.LeaseStop, Node: "cs1", At: -1})
		}),
		change("an unknown kind of chunk content", func(_ *rundir.Op, run *rundir.Run) {
			run.Chunks["cs1"] = append(run.Chunks["cs1"], rundir.Chunk{Kind: "recort"})
		}),
	}
}
