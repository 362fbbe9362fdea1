package check

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"gfslab/results/rundir"
)

// registerState is one key as its clients know it.
type registerState struct {
	value  string
	exists bool
}

// registerSeen reports whether an operation acts on a key as the clients see it.
// A stale read does not promise to be linearizable; the certificate holds it to
// the log.
func registerSeen(op *rundir.Op) bool {
	if op.Outcome == rundir.OutcomeFail {
		return false
	}
	switch op.Kind {
	case rundir.KindGet:
		return ok(op)
	case rundir.KindPut, rundir.KindRemove, rundir.KindSwap:
		return true
	}
	return false
}

// registerPartition models one key: read, write, remove and compare-and-swap.
func registerPartition() partition {
	return partition{
		model: porcupine.Model{
			Init: func() any { return registerState{} },
			Step: func(state, input, output any) (bool, any) {
				return stepRegister(state.(registerState), input.(*rundir.Op), output.(*rundir.Reply))
			},
			DescribeOperation: describeStep,
			DescribeState: func(s any) string {
				r := s.(registerState)
				if !r.exists {
					return "no such key"
				}
				return fmt.Sprintf("%q", r.value)
			},
		},
		drop: func(op *rundir.Op) bool { return !mutates(op.Kind) },
	}
}

// stepRegister says what an operation does to a key, and whether its answer fits;
// out is nil where the outcome is unknown: whatever it would have answered fits.
func stepRegister(s registerState, op *rundir.Op, out *rundir.Reply) (bool, registerState) {
	code, next := codeOK, s
	switch op.Kind {
	case rundir.KindGet:
		if !s.exists {
			code = "NOT_FOUND"
		}
		return out.Code == code && out.Value == s.value, s
	case rundir.KindPut:
		next = registerState{op.Value, true}
	case rundir.KindRemove:
		if !s.exists {
			code = "NOT_FOUND"
		}
		next = registerState{}
	case rundir.KindSwap:
		switch {
		case !s.exists && !op.Absent:
			code = "NOT_FOUND"
		case s.exists && (op.Absent || s.value != op.Expect):
			code = "CONFLICT"
		default:
			next = registerState{op.Value, true}
		}
	}
	return out == nil || out.Code == code, next
}
