package consensustest

import (
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// opKind tells writes from reads.
type opKind uint8

const (
	opSwap opKind = iota + 1
	opRead
	// opStale is a read that promises no more than a prefix of the log.
	opStale
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
	// Pin is what the client of a stale read had seen before.
	Pin Position
}

// history collects operations from many clients.
type history struct {
	clock atomic.Int64
	ids   atomic.Uint64

	// acknowledged counts successful swaps.
	acknowledged atomic.Int64

	mu      sync.Mutex
	ops     []operation
	lastAck time.Time
	gap     time.Duration
}

func (h *history) stamp() int64 { return h.clock.Add(1) }

func (h *history) add(o operation) {
	if o.Kind == opSwap && o.Outcome == consensus.OK {
		h.acknowledged.Add(1)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	if o.Kind == opSwap && o.Outcome == consensus.OK {
		now := time.Now()
		h.gap = max(h.gap, now.Sub(h.lastAck))
		h.lastAck = now
	}
}

// longestGap returns the longest time between two acknowledged writes since the
// last call, and begins anew.
func (h *history) longestGap() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	gap := max(h.gap, now.Sub(h.lastAck))
	h.gap, h.lastAck = 0, now
	return gap
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
		case o.Kind != opSwap && o.Outcome == consensus.OK:
			t.Reads++
		case o.Kind != opSwap:
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
