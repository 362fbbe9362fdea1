package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

func replyTamperings() []tampering {
	const w = "create"
	return []tampering{
		{"one reply altered", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindCreate)(op) && strings.Contains(op.Path, "/u") })
			op.Reply.Code = "EXISTS"
			return expectation{"certificate", op.ID, []string{named(op), at(op), "node m2"}}
		}},
		{"the same, seen by the clients alone", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindCreate)(op) && strings.Contains(op.Path, "/u") })
			op.Reply.Code = "EXISTS"
			return expectation{"linearizable", op.ID, []string{named(op), at(op), "node m2"}}
		}},
		{"a reply with another position", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindCreate))
			op.Reply.Index++
			return expectation{"certificate", op.ID, []string{named(op), at(op)}}
		}},
		{"a stale read inserted", w, func(t *testing.T, run *rundir.Run) expectation {
			change, read := staleRead(t, run)
			stale := *read
			stale.ID, stale.Thread, stale.Client = int64(len(run.Ops)+1), 99, "c99.0"
			before := rundir.Reply{Code: "NOT_FOUND", Node: "m1", Index: change.Reply.Index - 1}
			for _, l := range run.Applied["m1"] {
				if l.Index == before.Index {
					before.Offset++
				}
			}
			stale.Reply = &before
			run.Ops = append(run.Ops, stale)
			return expectation{"certificate", stale.ID, []string{named(&stale), at(&stale), "node m1", "before it was invoked"}}
		}},
		{"the same, seen by the clients alone", w, func(t *testing.T, run *rundir.Run) expectation {
			change, read := staleRead(t, run)
			stale := *read
			stale.ID, stale.Thread, stale.Client = int64(len(run.Ops)+1), 99, "c99.0"
			stale.Reply = &rundir.Reply{Code: "NOT_FOUND", Node: "m1", Index: change.Reply.Index - 1}
			run.Ops = append(run.Ops, stale)
			return expectation{"linearizable", 0, []string{"component", stale.Path, "at index"}}
		}},
		{"a stat with another id", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindStat))
			op.Reply.FileID += 7
			return expectation{"certificate", op.ID, []string{named(op), at(op), "node m2", "id"}}
		}},
		{"a listing that lacks a name", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindList)(op) && len(op.Reply.Names) > 0 })
			op.Reply.Names = op.Reply.Names[1:]
			return expectation{"certificate", op.ID, []string{named(op), at(op), "node m2", "names"}}
		}},
		{"the same, seen by the clients alone", w, func(t *testing.T, run *rundir.Run) expectation {
			// The top directory's own three subdirectories, none of them renamed yet.
			op := some(t, run, func(op *rundir.Op) bool {
				return okKind(rundir.KindList)(op) && strings.Count(op.Path, "/") == 1 && len(op.Reply.Names) > 1
			})
			op.Reply.Names = nil
			return expectation{"linearizable", 0, []string{"component", "/b"}}
		}},
		{"a file that vanished from a final listing", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return op.Kind == rundir.KindList && op.Path == "/p1" })
			gone := op.Reply.Names[len(op.Reply.Names)/2]
			op.Reply.Names = slices.DeleteFunc(op.Reply.Names, func(n string) bool { return n == gone })
			return expectation{"linearizable", op.ID, []string{named(op), "component \"/p1/" + gone, at(op)}}
		}},
		{"a file in a final listing that nobody made", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return op.Kind == rundir.KindList && op.Path == "/p1" })
			op.Reply.Names = append(op.Reply.Names, "zz")
			return expectation{"linearizable", op.ID, []string{named(op), "component \"/p1/zz", at(op)}}
		}},
		{"a mutation that stands before what it follows", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindCreate)(op) && strings.Contains(op.Path, "/u") })
			last := run.Ops[len(run.Ops)-1].End
			op.Start, op.End = last+1, last+2
			return expectation{"certificate", 0, []string{named(op), at(op), "before it was invoked"}}
		}},
		{"a stale final read", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return op.Phase == rundir.PhaseFinal })
			op.Reply.Index, op.Reply.Offset = run.Applied["m1"][0].Index, 1
			return expectation{"durable", op.ID, []string{named(op), fmt.Sprintf("index %d;", op.Reply.Index), "node m2"}}
		}},
		{"an id given twice", w, func(t *testing.T, run *rundir.Run) expectation {
			var id uint64
			p := editReply(t, run, func(cmd *metapb.Command, r *metapb.Reply) bool {
				if cmd.GetMkdir() != nil && r.Code == 0 && id == 0 {
					id = r.Id
					return false
				}
				return cmd.GetCreate() != nil && r.Code == 0
			}, func(r *metapb.Reply) { r.Id = id })
			return expectation{"certificate", 0, []string{fmt.Sprintf("index %d offset %d", p.index, p.offset), "was given before"}}
		}},
		{"a logged reply that contradicts the log", w, func(t *testing.T, run *rundir.Run) expectation {
			p := editReply(t, run, func(cmd *metapb.Command, r *metapb.Reply) bool {
				return cmd.GetDelete() != nil && r.Code == 0
			}, func(r *metapb.Reply) { r.Code = 4 })
			return expectation{"certificate", 0, []string{fmt.Sprintf("index %d offset %d", p.index, p.offset), "IS_DIRECTORY", "internal violation"}}
		}},
		{"a chunk handle given twice", "lease-churn", func(t *testing.T, run *rundir.Run) expectation {
			p := editReply(t, run, func(cmd *metapb.Command, r *metapb.Reply) bool { return cmd.GetAllocate() != nil && r.Handle > 1 },
				func(r *metapb.Reply) { r.Handle = 1 })
			return expectation{"certificate", 0, []string{fmt.Sprintf("index %d offset %d", p.index, p.offset), "handle 1 was given before"}}
		}},
		{"a chunk seen at an older version", "lease-churn", func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool {
				return okKind(rundir.KindChunkInfo)(op) && op.Reply.Version > 3 && op.Handle != 0
			})
			op.Reply.Version, op.Reply.Epoch, op.Reply.Primary = 1, 0, ""
			return expectation{"linearizable", 0, []string{fmt.Sprintf("chunk %d", op.Handle), "node m2"}}
		}},
		{"the same, seen by the certificate", "lease-churn", func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, func(op *rundir.Op) bool { return okKind(rundir.KindChunkInfo)(op) && op.Reply.Version > 3 })
			op.Reply.Version = 1
			return expectation{"certificate", op.ID, []string{named(op), at(op), "node m2", "version 1"}}
		}},
		{"another primary told to a client", "lease-churn", func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindFindLease))
			op.Reply.Primary = "cs9"
			return expectation{"certificate", op.ID, []string{named(op), at(op), "cs9"}}
		}},
		{"replicas that the log does not have", "lease-churn", func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindFindLease))
			op.Reply.Replicas = append(slices.Clone(op.Reply.Replicas), "cs9")
			return expectation{"certificate", op.ID, []string{named(op), at(op), "cs9"}}
		}},
	}
}
