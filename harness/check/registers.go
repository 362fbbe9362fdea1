package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// chunkState is what the clients of the master know of one chunk: a register that
// only moves on, from version to version, and within one from leased to not
// leased. A grant may take effect at any time, because it outlives the call that
// began it; what must not happen is that anybody sees an older state after a
// newer one.
type chunkState struct {
	version, epoch   uint64
	leased, gone     bool
	primary, members string
}

// chunkSeen is the chunk whose version an operation saw, 0 if it saw none.
func chunkSeen(op *rundir.Op) uint64 {
	if !ok(op) {
		return 0
	}
	switch op.Kind {
	case rundir.KindChunkInfo:
	case rundir.KindFindLease, rundir.KindRevoke:
		if op.Reply.Code != codeOK && op.Reply.Code != "NO_CHUNK" {
			return 0 // no lease could be had: that says nothing of the chunk
		}
	default:
		return 0
	}
	if op.Reply.Code == codeOK {
		return op.Reply.Handle
	}
	if op.Reply.Code == "NO_CHUNK" {
		return op.Handle // by path it is a fact about the path
	}
	return 0
}

func chunkPartition() partition {
	return partition{
		model: porcupine.Model{
			Init: func() any { return chunkState{} },
			Step: func(state, input, output any) (bool, any) {
				return stepChunk(state.(chunkState), input.(*rundir.Op), output.(*rundir.Reply))
			},
			DescribeOperation: describeStep,
			DescribeState: func(s any) string {
				c := s.(chunkState)
				if c.gone {
					return "gone"
				}
				if !c.leased {
					return fmt.Sprintf("version %d, no lease", c.version)
				}
				return fmt.Sprintf("version %d epoch %d at %s", c.version, c.epoch, c.primary)
			},
		},
		drop: func(*rundir.Op) bool { return true },
	}
}

func stepChunk(s chunkState, op *rundir.Op, out *rundir.Reply) (bool, chunkState) {
	if out.Code != codeOK {
		s.gone = true
		return true, s
	}
	members := slices.Clone(out.Replicas)
	slices.Sort(members)
	next := chunkState{version: out.Version, epoch: out.Epoch, leased: out.Epoch != 0, primary: out.Primary, members: strings.Join(members, " ")}
	switch {
	case s.gone, next.version < s.version, out.Granted && next.version == s.version,
		op.Kind == rundir.KindFindLease && !next.leased,
		op.Kind == rundir.KindRevoke && next.leased:
		return false, s
	case next.version == s.version:
		// Replicas come and go between leases too: clones are added, bad ones dropped.
		if next.members != s.members && next.leased && s.leased || next.leased && (!s.leased || next.epoch != s.epoch || next.primary != s.primary) {
			return false, s
		}
	case next.leased && next.epoch <= s.epoch:
		return false, s
	}
	if !next.leased {
		next.epoch = s.epoch // later grants are above it still
	}
	return true, next
}
