package consensustest

import (
	"sync"
	"sync/atomic"

	"gfslab/consensus"
)

// opKind tells writes from reads.
type opKind uint8

const (
	opSwap opKind = iota + 1
	opRead
)

// operation is one completed call as its client saw it. Invoke and Return are
// stamps of one counter: only their order has a meaning.
type operation struct {
	Kind           opKind
	Node           consensus.NodeID
	ID             uint64 // of the command; 0 for reads
	Key            uint8
	Invoke, Return int64
	Outcome        consensus.Outcome
	Err            error
	// At is the position of an acknowledged swap, or the state that a
	// successful read looked at. Value is the register's previous or current id.
	At    Position
	Value uint64
}

// history collects operations from many clients.
type history struct {
	clock atomic.Int64
	ids   atomic.Uint64

	// acknowledged counts successful swaps.
	acknowledged atomic.Int64

	mu  sync.Mutex
	ops []operation
}

func (h *history) stamp() int64 { return h.clock.Add(1) }

func (h *history) add(o operation) {
	if o.Kind == opSwap && o.Outcome == consensus.OK {
		h.acknowledged.Add(1)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

func (h *history) operations() []operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]operation(nil), h.ops...)
}

// tally counts operations by outcome.
type tally struct{ OK, Fail, Unknown, Reads int }

func (h *history) tally() tally {
	var t tally
	for _, o := range h.operations() {
		switch {
		case o.Kind == opRead && o.Outcome == consensus.OK:
			t.Reads++
		case o.Kind == opRead:
		case o.Outcome == consensus.OK:
			t.OK++
		case o.Outcome == consensus.Fail:
			t.Fail++
		default:
			t.Unknown++
		}
	}
	return t
}
