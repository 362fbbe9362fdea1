package check

import (
	"fmt"
	"slices"
	"testing"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

func inChunk(op *rundir.Op) string {
	return fmt.Sprintf("chunk %d at offset %d", op.Reply.Handle, op.Reply.ChunkOffset)
}

func recordTamperings() []tampering {
	const w = "append"
	acked := okKind(rundir.KindAppend)
	remove := func(run *rundir.Run, node string, op *rundir.Op) {
		run.Chunks[node] = slices.DeleteFunc(run.Chunks[node], isRecord(op))
	}
	return []tampering{
		{"a record removed from one replica", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			remove(run, "cs2", op)
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs2"}}
		}},
		{"a record removed from all replicas", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			for node := range run.Chunks {
				remove(run, node, op)
			}
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs1", "node cs2", "node cs3"}}
		}},
		{"other bytes on one replica", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			findChunk(t, run, "cs3", op).CRC ^= 1
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs3", "other bytes"}}
		}},
		{"a shorter record on one replica", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			findChunk(t, run, "cs3", op).Length--
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs3"}}
		}},
		{"another client's record", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			findChunk(t, run, "cs1", op).Seq += 1000
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs1"}}
		}},
		{"a pad over a record", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			findChunk(t, run, "cs1", op).Kind = rundir.ChunkPad
			return expectation{"records", op.ID, []string{named(op), inChunk(op), "node cs1", "pad"}}
		}},
		{"a record that was never sent", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			c := *findChunk(t, run, "cs1", op)
			c.Offset, c.Seq = 1<<13+1, 99999
			run.Chunks["cs1"] = append(run.Chunks["cs1"], c)
			return expectation{"records", 0, []string{"node cs1", "seq 99999", "never sent", "offset 8193"}}
		}},
		{"two acknowledgements for one place", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			other := some(t, run, func(o *rundir.Op) bool { return acked(o) && o.Start > op.End && o.Reply.Handle == op.Reply.Handle })
			other.Reply.ChunkOffset = op.Reply.ChunkOffset + 5
			return expectation{"records", 0, []string{named(other), inChunk(other), "in the region of " + describe(op)}}
		}},
		{"a record beyond its chunk", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			op.Reply.ChunkOffset = simChunk - 10
			return expectation{"records", 0, []string{named(op), inChunk(op), "leaves the chunk"}}
		}},
		{"records out of order", w, swapRecords("records")},
		{"records out of order, seen by the clients alone", w, swapRecords("linearizable")},
		{"a record read back with other bytes", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindReadRecord))
			op.Reply.CRC ^= 1
			return expectation{"records", op.ID, []string{named(op), fmt.Sprintf("chunk %d offset %d", op.Reply.Handle, op.Reply.ChunkOffset), "node cs1"}}
		}},
		{"an acknowledgement in a chunk that is not there", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, acked)
			op.Reply.Handle = 7777
			return expectation{"records", op.ID, []string{named(op), "chunk 7777", "does not have"}}
		}},
	}
}

// swapRecords gives two records that followed each other in time each other's
// places, on all replicas.
func swapRecords(checker string) func(t *testing.T, run *rundir.Run) expectation {
	return func(t *testing.T, run *rundir.Run) expectation {
		a := some(t, run, okKind(rundir.KindAppend))
		b := some(t, run, func(o *rundir.Op) bool {
			return okKind(rundir.KindAppend)(o) && o.Start > a.End && o.Reply.Handle == a.Reply.Handle
		})
		for node := range run.Chunks {
			x, y := findChunk(t, run, node, a), findChunk(t, run, node, b)
			x.Offset, y.Offset = y.Offset, x.Offset
		}
		a.Reply.ChunkOffset, b.Reply.ChunkOffset = b.Reply.ChunkOffset, a.Reply.ChunkOffset
		return expectation{checker, 0, []string{fmt.Sprintf("chunk %d", a.Reply.Handle), "offset"}}
	}
}

// someEvent finds the middle one of the events that fit.
func someEvent(t *testing.T, run *rundir.Run, fits func(e *rundir.LeaseEvent) bool) *rundir.LeaseEvent {
	t.Helper()
	var all []*rundir.LeaseEvent
	for _, node := range []string{"cs1", "cs2", "cs3"} {
		for i := range run.Leases[node] {
			if fits(&run.Leases[node][i]) {
				all = append(all, &run.Leases[node][i])
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("the run has no such event")
	}
	return all[len(all)/2]
}

func kindIs(kind string) func(*rundir.LeaseEvent) bool {
	return func(e *rundir.LeaseEvent) bool { return e.Kind == kind }
}

func leaseTamperings() []tampering {
	const churn, w = "lease-churn", "append"
	return []tampering{
		{"a version granted twice", churn, func(t *testing.T, run *rundir.Run) expectation {
			p := editReply(t, run, func(cmd *metapb.Command, r *metapb.Reply) bool {
				return cmd.GetGrantActive() != nil && r.Code == 0 && r.Version > 2
			}, func(r *metapb.Reply) { r.Version-- })
			return expectation{"leases", 0, []string{fmt.Sprintf("index %d offset %d", p.index, p.offset), "after version"}}
		}},
		{"a version reserved twice", churn, func(t *testing.T, run *rundir.Run) expectation {
			p := editReply(t, run, func(cmd *metapb.Command, r *metapb.Reply) bool {
				return cmd.GetGrantIntent() != nil && r.Code == 0 && r.Version > 2
			}, func(r *metapb.Reply) { r.Version-- })
			return expectation{"certificate", 0, []string{fmt.Sprintf("index %d offset %d", p.index, p.offset), "above all that were reserved"}}
		}},
		{"two primaries at once", churn, func(t *testing.T, run *rundir.Run) expectation {
			later := someEvent(t, run, func(e *rundir.LeaseEvent) bool { return e.Kind == rundir.LeaseClaim && e.Version > 2 })
			for node := range run.Leases {
				for i := range run.Leases[node] {
					e := &run.Leases[node][i]
					if e.Handle == later.Handle && e.Version == later.Version-1 {
						if e.Kind == rundir.LeaseStop {
							e.Kind = rundir.LeaseRefuse
						}
						if e.Kind == rundir.LeaseClaim {
							e.Until = later.At + 1
						}
					}
				}
			}
			return expectation{"leases", 0, []string{fmt.Sprintf("two primaries of chunk %d", later.Handle), "node " + later.Node}}
		}},
		{"a lease that nobody granted", churn, func(t *testing.T, run *rundir.Run) expectation {
			e := someEvent(t, run, kindIs(rundir.LeaseClaim))
			e.Epoch = 1 << 40
			return expectation{"leases", 0, []string{"node " + e.Node, fmt.Sprintf("chunk %d", e.Handle), "grants none"}}
		}},
		{"a lease granted to another", churn, func(t *testing.T, run *rundir.Run) expectation {
			e := *someEvent(t, run, func(e *rundir.LeaseEvent) bool { return e.Kind == rundir.LeaseClaim && e.Node != "cs1" })
			e.Node = "cs1"
			run.Leases["cs1"] = append(run.Leases["cs1"], e)
			return expectation{"leases", 0, []string{"node cs1", fmt.Sprintf("chunk %d", e.Handle)}}
		}},
		{"a mutation accepted after the lease", w, func(t *testing.T, run *rundir.Run) expectation {
			e := someEvent(t, run, kindIs(rundir.LeaseAccept))
			for i := range run.Leases[e.Node] {
				if c := &run.Leases[e.Node][i]; c.Kind == rundir.LeaseClaim && c.Handle == e.Handle && c.Epoch == e.Epoch {
					c.Until = e.At - 1
				}
			}
			return expectation{"leases", 0, []string{"node " + e.Node, fmt.Sprintf("chunk %d version %d at offset %d", e.Handle, e.Version, e.Offset), "ended at"}}
		}},
		{"a mutation accepted after the primary stopped", w, func(t *testing.T, run *rundir.Run) expectation {
			e := someEvent(t, run, func(e *rundir.LeaseEvent) bool { return e.Kind == rundir.LeaseAccept && e.Serial > 1 })
			stop := *e
			stop.Kind, stop.At = rundir.LeaseStop, e.At-1
			run.Leases[e.Node] = append(run.Leases[e.Node], stop)
			return expectation{"leases", 0, []string{"node " + stop.Node, fmt.Sprintf("at offset %d", stop.Offset), "stopped acting"}}
		}},
		{"a mutation accepted without a lease", w, func(t *testing.T, run *rundir.Run) expectation {
			e := someEvent(t, run, kindIs(rundir.LeaseAccept))
			e.Epoch += 100_000
			return expectation{"leases", 0, []string{"node " + e.Node, fmt.Sprintf("at offset %d", e.Offset), "without ever claiming"}}
		}},
		{"an acknowledgement without acceptance", w, func(t *testing.T, run *rundir.Run) expectation {
			op := some(t, run, okKind(rundir.KindAppend))
			for node := range run.Leases {
				run.Leases[node] = slices.DeleteFunc(run.Leases[node], func(e rundir.LeaseEvent) bool {
					return e.Kind == rundir.LeaseAccept && e.Handle == op.Reply.Handle && e.Offset == op.Reply.ChunkOffset
				})
			}
			return expectation{"leases", op.ID, []string{named(op), fmt.Sprintf("at offset %d", op.Reply.ChunkOffset), "no primary accepted"}}
		}},
		{"an old version after a new one on a replica", w, func(t *testing.T, run *rundir.Run) expectation {
			e := *someEvent(t, run, func(e *rundir.LeaseEvent) bool { return e.Kind == rundir.LeaseMutate && e.Version > 1 })
			e.Version, e.Offset, e.At = e.Version-1, 1, e.At+1
			run.Leases[e.Node] = append(run.Leases[e.Node], e)
			return expectation{"leases", 0, []string{"node " + e.Node, fmt.Sprintf("chunk %d version %d", e.Handle, e.Version), "after one under version"}}
		}},
		{"an acknowledged mutation after a newer version elsewhere", w, func(t *testing.T, run *rundir.Run) expectation {
			newer := someEvent(t, run, func(e *rundir.LeaseEvent) bool { return e.Kind == rundir.LeaseMutate && e.Version > 1 })
			op := some(t, run, func(op *rundir.Op) bool {
				return okKind(rundir.KindAppend)(op) && op.Reply.Handle == newer.Handle && op.Reply.Version < newer.Version
			})
			e := rundir.LeaseEvent{Kind: rundir.LeaseMutate, Node: "cs4", Handle: newer.Handle, Version: op.Reply.Version, Serial: op.Reply.Serial, Offset: op.Reply.ChunkOffset, At: newer.At + 1}
			run.Leases["cs4"] = append(run.Leases["cs4"], e)
			return expectation{"leases", op.ID, []string{named(op), "node cs4", fmt.Sprintf("at offset %d", e.Offset)}}
		}},
	}
}
