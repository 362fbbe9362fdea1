package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// recordState is what the clients of one chunk know of its end: the version and
// offset of the last acknowledged record.
type recordState struct {
	version uint64
	end     uint64 // offset + 1 of the last one
}

// recordSeen is the chunk that an acknowledged append or a read of a record saw.
func recordSeen(op *rundir.Op) uint64 {
	if !ok(op) || op.Reply.Code != codeOK {
		return 0
	}
	switch op.Kind {
	case rundir.KindAppend:
		return op.Reply.Handle
	case rundir.KindReadRecord:
		if op.Reply.Handle != 0 {
			return op.Reply.Handle
		}
		return op.Handle
	}
	return 0
}

// recordPartition models a chunk's records: each acknowledged append lies above
// all acknowledged before it, under no lower version, and a record that is read
// has been acknowledged.
func recordPartition() partition {
	return partition{
		model: porcupine.Model{
			Init: func() any { return recordState{} },
			Step: func(state, input, output any) (bool, any) {
				s, op, out := state.(recordState), input.(*rundir.Op), output.(*rundir.Reply)
				if op.Kind == rundir.KindReadRecord {
					return out.ChunkOffset < s.end, s
				}
				return out.ChunkOffset >= s.end && out.Version >= s.version, recordState{out.Version, out.ChunkOffset + 1}
			},
			DescribeOperation: describeStep,
			DescribeState: func(s any) string {
				r := s.(recordState)
				return fmt.Sprintf("last record below %d, version %d", r.end, r.version)
			},
		},
		decide: decideRecords,
		drop:   func(*rundir.Op) bool { return true },
	}
}

// span is an acknowledged append: its place, and when it may have taken effect.
type span struct {
	offset, version uint64
	start, end      int64
}

// decideRecords decides what recordPartition models without a search, however
// many appends and reads overlap: porcupine may need exponential time for it. The
// offsets tell the one order of the appends. A read needs the first append at or
// above its offset to have taken effect before the read ended, and nothing else.
// What remains is whether moments that do not decrease can be chosen in that order,
// one in each append's span.
func decideRecords(history []porcupine.Operation) porcupine.CheckResult {
	var appends []span
	for _, o := range history {
		if out := o.Output.(*rundir.Reply); o.Input.(*rundir.Op).Kind == rundir.KindAppend {
			appends = append(appends, span{out.ChunkOffset, out.Version, o.Call, o.Return})
		}
	}
	slices.SortFunc(appends, func(a, b span) int { return cmp.Compare(a.offset, b.offset) })
	for _, o := range history {
		if o.Input.(*rundir.Op).Kind != rundir.KindReadRecord {
			continue
		}
		i, _ := slices.BinarySearchFunc(appends, o.Output.(*rundir.Reply).ChunkOffset, func(a span, at uint64) int { return cmp.Compare(a.offset, at) })
		if i == len(appends) {
			return porcupine.Illegal
		}
		appends[i].end = min(appends[i].end, o.Return)
	}
	var earliest int64 // for the one that is looked at, by all below it
	for i, a := range appends {
		earliest = max(earliest, a.start)
		if a.end < earliest || i > 0 && (a.offset == appends[i-1].offset || a.version < appends[i-1].version) {
			return porcupine.Illegal
		}
	}
	return porcupine.Ok
}
