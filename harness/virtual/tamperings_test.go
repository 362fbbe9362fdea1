package virtual

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// refused is what becomes of a run that no recorder can have written.
const refused = "refused"

// notValid is any verdict but valid: how much is lost decides which one.
const notValid = "not valid"

// tampering is one way to falsify a run. do returns what the finding must name.
type tampering struct {
	name string
	on   string // workloads, "" is all
	want string
	do   func(t *testing.T, run *rundir.Run) (names []string)
	// onDisk: the run is written, and judged from there.
	onDisk bool
}

func (c tampering) fits(p rundir.Plan) bool {
	return p.Replicas >= 3 && (c.on == "" || slices.Contains(strings.Fields(c.on), p.Workload))
}

func tamperings() []tampering {
	return slices.Concat(missingRecords(), missingCommands(), alteredReplies(), staleReads(), alteredLeases(), missingEvidence(), nonsense())
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
		absent("the run has no such operation")
	}
	return all[len(all)/2]
}

func okKind(kind string) func(*rundir.Op) bool {
	return func(op *rundir.Op) bool {
		return op.Kind == kind && op.Phase == rundir.PhaseRun && op.Reply != nil && op.Reply.Code == "OK"
	}
}

// mutated is an acknowledged mutation of the master in the run, of the preload
// where the load has none of its own.
func mutated(t *testing.T, run *rundir.Run) *rundir.Op {
	for _, kind := range []string{rundir.KindCreate, rundir.KindAllocate} {
		for i := range run.Ops {
			if okKind(kind)(&run.Ops[i]) {
				return some(t, run, okKind(kind))
			}
		}
	}
	return some(t, run, func(op *rundir.Op) bool { return op.Kind == rundir.KindAllocate && op.Reply != nil })
}

func named(op *rundir.Op) string { return fmt.Sprintf("operation %d ", op.ID) }

func at(op *rundir.Op) string {
	return fmt.Sprintf("index %d offset %d", op.Reply.Index, op.Reply.Offset)
}

func inChunk(op *rundir.Op) string {
	return fmt.Sprintf("chunk %d at offset %d", op.Reply.Handle, op.Reply.ChunkOffset)
}

func isRecord(op *rundir.Op) func(rundir.Chunk) bool {
	return func(c rundir.Chunk) bool { return c.Handle == op.Reply.Handle && c.Offset == op.Reply.ChunkOffset }
}

func isLine(op *rundir.Op) func(rundir.Applied) bool {
	return func(l rundir.Applied) bool { return l.Index == op.Reply.Index && l.Offset == op.Reply.Offset }
}

// add puts a copy of an operation into the history under the next id.
func add(run *rundir.Run, op rundir.Op) rundir.Op {
	op.ID = run.Ops[len(run.Ops)-1].ID + 1
	run.Ops = append(run.Ops, op)
	return op
}

func missingRecords() (out []tampering) {
	const w = "append"
	for _, node := range []string{"cs1", "cs2", "cs3"} {
		out = append(out, tampering{"a record removed from " + node, w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			run.Chunks[node] = slices.DeleteFunc(run.Chunks[node], isRecord(op))
			return []string{named(op), inChunk(op), "node " + node}
		}, true})
	}
	return append(out,
		tampering{"a record removed from all replicas", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			for node := range run.Chunks {
				run.Chunks[node] = slices.DeleteFunc(run.Chunks[node], isRecord(op))
			}
			return []string{named(op), inChunk(op), "node cs1", "node cs2", "node cs3"}
		}, true},
		tampering{"a record's bytes changed on one replica", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			run.Chunks["cs2"][slices.IndexFunc(run.Chunks["cs2"], isRecord(op))].CRC++
			return []string{named(op), inChunk(op), "node cs2"}
		}, false},
		tampering{"two records at one place of one replica, the wrong one first", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			i := slices.IndexFunc(run.Chunks["cs2"], isRecord(op))
			wrong := run.Chunks["cs2"][i]
			wrong.Kind, wrong.CRC = rundir.ChunkPad, 0
			run.Chunks["cs2"] = slices.Insert(run.Chunks["cs2"], i, wrong)
			return []string{inChunk(op), "node cs2"}
		}, false},
		tampering{"a record over the end of another on one replica", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			i := slices.IndexFunc(run.Chunks["cs2"], isRecord(op))
			over := run.Chunks["cs2"][i]
			over.Offset += 8
			run.Chunks["cs2"] = slices.Insert(run.Chunks["cs2"], i+1, over)
			return []string{fmt.Sprintf("chunk %d at offset %d", over.Handle, over.Offset), "node cs2"}
		}, false},
		tampering{"a replica of another version", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			for i := range run.Chunks["cs3"] {
				if run.Chunks["cs3"][i].Handle == op.Reply.Handle {
					run.Chunks["cs3"][i].Version += 3
				}
			}
			return []string{fmt.Sprintf("chunk %d", op.Reply.Handle), "node cs3"}
		}, false},
		tampering{"a record that failed and is there", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := some(t, run, okKind(rundir.KindAppend))
			where := inChunk(op)
			op.Outcome, op.Reply = rundir.OutcomeFail, nil
			return []string{named(op), where, "node cs1"}
		}, false},
		tampering{"an append lost from the history", w, rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := *some(t, run, okKind(rundir.KindAppend))
			run.Ops = slices.DeleteFunc(run.Ops, func(o rundir.Op) bool { return o.ID == op.ID })
			return []string{fmt.Sprintf("client %s seq %d", op.Client, op.Seq), "cs1"}
		}, false},
	)
}

// dropEverywhere takes a command out of every incarnation of every node, as if
// it had never been there: later commands of the entry move up.
func dropEverywhere(run *rundir.Run, index uint64, offset uint32) {
	for node, lines := range run.Applied {
		kept := lines[:0]
		for _, l := range lines {
			switch {
			case l.Index == index && l.Offset == offset:
				continue
			case l.Index == index && l.Offset > offset:
				l.Offset--
			}
			kept = append(kept, l)
		}
		run.Applied[node] = kept
		run.Counters.Applied[node]--
	}
}

// middleCommand is the middle one of the log's commands that fit.
func middleCommand(t *testing.T, run *rundir.Run, fits func(*metapb.Command) bool) (index uint64, offset uint32) {
	var found []rundir.Applied
	for _, l := range run.Applied["m1"] {
		var cmd metapb.Command
		if err := proto.Unmarshal(l.Command, &cmd); err != nil {
			t.Fatal(err)
		}
		if fits(&cmd) {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		absent("the log has no such command")
	}
	l := found[len(found)/2]
	return l.Index, l.Offset
}

// restarted is a node with more than one incarnation, "" if there is none.
func restarted(run *rundir.Run) string {
	for _, node := range slices.Sorted(maps.Keys(run.Applied)) {
		if l := run.Applied[node]; len(l) > 0 && l[len(l)-1].Run > 0 {
			return node
		}
	}
	return ""
}

func missingCommands() (out []tampering) {
	for _, node := range []string{"m1", "m2", "m3"} {
		out = append(out, tampering{"a command removed from " + node, "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			run.Applied[node] = slices.DeleteFunc(run.Applied[node], isLine(op))
			return []string{named(op), at(op), "node " + node}
		}, node == "m2"})
	}
	return append(out,
		tampering{"the last command removed from one node", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			lines := run.Applied["m2"]
			last := lines[len(lines)-1]
			run.Applied["m2"] = lines[:len(lines)-1]
			return []string{"node m2", fmt.Sprintf("index %d offset %d", last.Index, last.Offset)}
		}, false},
		tampering{"the last command removed from one node, and no count of it", "", notValid, func(_ *testing.T, run *rundir.Run) []string {
			run.Applied["m2"] = run.Applied["m2"][:len(run.Applied["m2"])-1]
			delete(run.Counters.Applied, "m2")
			return []string{"node m2 did not count"}
		}, false},
		tampering{"the last mutation and all after it removed from one node, and from its count", "", notValid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			for i := range run.Ops {
				if o := &run.Ops[i]; o.Kind == op.Kind && o.Reply != nil && o.Reply.Index > op.Reply.Index {
					op = o
				}
			}
			lines := run.Applied["m2"]
			i := slices.IndexFunc(lines, isLine(op))
			run.Counters.Applied["m2"] -= uint64(len(lines) - i)
			run.Applied["m2"] = lines[:i]
			return []string{"node m2", "had not come to rest"}
		}, false},
		tampering{"a command removed from all nodes", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			index, offset := op.Reply.Index, op.Reply.Offset
			names := []string{named(op), at(op)}
			dropEverywhere(run, index, offset)
			return names
		}, true},
		tampering{"the end of a lease removed from all nodes", "lease-churn", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			dropMiddle(t, run, func(c *metapb.Command) bool { return c.GetLeaseEnd() != nil })
			return []string{"index", "node"}
		}, false},
		tampering{"a grant removed from all nodes", "lease-churn append", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			dropMiddle(t, run, func(c *metapb.Command) bool { return c.GetGrantActive() != nil })
			return []string{"chunk", "node"}
		}, false},
		tampering{"two commands of one node exchanged", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			l := run.Applied["m2"]
			i := slices.IndexFunc(l, isLine(op))
			l[i].Command, l[i-1].Command = l[i-1].Command, l[i].Command
			return []string{"m2", fmt.Sprintf("index %d", op.Reply.Index)}
		}, false},
		tampering{"another state on one node", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			for i := range run.Applied["m3"] {
				if run.Applied["m3"][i].Index == op.Reply.Index {
					run.Applied["m3"][i].Hash = "00"
				}
			}
			return []string{fmt.Sprintf("index %d", op.Reply.Index), "m3"}
		}, false},
		tampering{"a reply altered in one node's log", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			i := slices.IndexFunc(run.Applied["m1"], isLine(op))
			run.Applied["m1"][i].Reply = []byte{8, 3}
			return []string{named(op), at(op), "m1"}
		}, false},
		tampering{"a reply altered in all logs", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			for _, lines := range run.Applied {
				for i := range lines {
					if isLine(op)(lines[i]) {
						lines[i].Reply = []byte{8, 3}
					}
				}
			}
			return []string{named(op), at(op)}
		}, false},
		tampering{"a command altered in all logs", "create", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			cmd, err := proto.Marshal(&metapb.Command{Client: op.Client, Seq: op.Seq, Op: &metapb.Command_Create{Create: &metapb.PathOp{Path: op.Path + "x"}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, lines := range run.Applied {
				for i := range lines {
					if isLine(op)(lines[i]) {
						lines[i].Command = cmd
					}
				}
			}
			return []string{named(op), at(op)}
		}, false},
		tampering{"the incarnations of one node exchanged", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node := restarted(run)
			if node == "" {
				absent("no node restarted")
			}
			lines := run.Applied[node]
			i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Run > 0 })
			run.Applied[node] = slices.Concat(lines[i:], lines[:i])
			return []string{"node " + node, "out of order"}
		}, false},
		tampering{"the incarnations of one node renumbered", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node := restarted(run)
			if node == "" {
				absent("no node restarted")
			}
			lines := run.Applied[node]
			i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Run > 0 })
			run.Applied[node] = slices.Concat(lines[i:], lines[:i])
			for j := range run.Applied[node] {
				run.Applied[node][j].Run = 1 - run.Applied[node][j].Run
			}
			run.Counters.Applied[node] = uint64(i)
			return []string{"node " + node}
		}, false},
		tampering{"a node's last incarnation removed", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			node := restarted(run)
			if node == "" {
				absent("no node restarted")
			}
			lines := run.Applied[node]
			i := slices.IndexFunc(lines, func(l rundir.Applied) bool { return l.Run > 0 })
			run.Applied[node] = lines[:i]
			run.Counters.Applied[node] = uint64(i) - 1
			return []string{"node " + node}
		}, false},
		tampering{"a command applied before it was asked for", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			for _, lines := range run.Applied {
				for i := range lines {
					if lines[i].Index <= op.Reply.Index {
						lines[i].At = min(lines[i].At, op.Start-1)
					}
				}
			}
			return []string{named(op), at(op), "node"}
		}, false},
		tampering{"a mutation lost from the history", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := *mutated(t, run)
			run.Ops = slices.DeleteFunc(run.Ops, func(o rundir.Op) bool { return o.ID == op.ID })
			return []string{at(&op), op.Client}
		}, false},
		tampering{"a mutation that surely was not done and is in the log", "", rundir.Invalid, func(t *testing.T, run *rundir.Run) []string {
			op := mutated(t, run)
			where := at(op)
			op.Outcome, op.Reply = rundir.OutcomeFail, nil
			return []string{named(op), where}
		}, false},
	)
}

func dropMiddle(t *testing.T, run *rundir.Run, fits func(*metapb.Command) bool) {
	index, offset := middleCommand(t, run, fits)
	dropEverywhere(run, index, offset)
}
