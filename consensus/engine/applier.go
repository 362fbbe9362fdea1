package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
)

// applier gives committed entries to the state machine, in order, on a
// goroutine of its own, and hands the results to the callers.
type applier struct {
	node     consensus.NodeID
	machine  consensus.StateMachine
	proposer *batch.Proposer
	observe  func(consensus.Event)
	done     func(index uint64) // called after each stretch
	captured func(index, stamp uint64, state consensus.Snapshot, err error)
	failed   func(err error) // the state machine is of no use any more

	wake    chan struct{}
	applied atomic.Uint64
	entries atomic.Uint64
	cmds    atomic.Uint64
	stamp   uint64 // of the last entry applied
	replay  replay

	mu      sync.Mutex
	queue   []storage.Entry
	orders  []order
	stopped bool
}

// order is what is done between two entries: after all through at, before any
// above it.
type order struct {
	at      uint64
	restore *storage.SnapshotFile // nil: capture
}

// push queues entries, and what is to be done among them.
func (a *applier) push(entries []storage.Entry, orders ...order) {
	a.mu.Lock()
	a.queue = append(a.queue, entries...)
	a.orders = append(a.orders, orders...)
	a.mu.Unlock()
	a.poke()
}

// stop ends run after the entry under way.
func (a *applier) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.poke()
}

func (a *applier) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// stretch is how many entries are applied before the loop hears of it.
const stretch = 64

func (a *applier) run() {
	var todo []storage.Entry
	var orders []order
	var d batch.Decoded
	for range a.wake {
		a.mu.Lock()
		todo, a.queue = a.queue, clearSlice(todo)
		orders, a.orders = a.orders, clearSlice(orders)
		stopped := a.stopped
		a.mu.Unlock()
		if stopped || !a.stretches(todo, orders, &d) {
			closeFiles(orders)
			return
		}
	}
}

// stretches applies what was queued; it reports false when it is time to end.
func (a *applier) stretches(todo []storage.Entry, orders []order, d *batch.Decoded) bool {
	for len(todo) > 0 || len(orders) > 0 {
		for len(orders) > 0 && (len(todo) == 0 || todo[0].Index > orders[0].at) {
			o := orders[0]
			orders[0].restore, orders = nil, orders[1:]
			if !a.carryOut(o) {
				return false
			}
		}
		n := 0
		start := a.replay.begin(todo)
		for n < len(todo) && n < stretch && (len(orders) == 0 || todo[n].Index <= orders[0].at) {
			a.apply(&todo[n], d)
			n++
		}
		if n > 0 {
			a.replay.end(start, todo[:n])
			a.done(todo[n-1].Index)
			todo = todo[n:]
		}
		if a.ended() {
			return false
		}
	}
	return true
}

// carryOut restores or captures; it reports false when the state machine
// cannot go on.
func (a *applier) carryOut(o order) bool {
	if o.restore == nil {
		state, err := a.machine.Snapshot()
		a.captured(a.applied.Load(), a.stamp, state, err)
		return true
	}
	meta := o.restore.Info.SnapshotMeta
	if err := errors.Join(restoreFrom(a.machine, o.restore), o.restore.Close()); err != nil {
		a.failed(err)
		return false
	}
	a.stamp = meta.Stamp
	a.applied.Store(meta.Index)
	a.observe(consensus.Event{Kind: consensus.EventRestored, Node: a.node, Term: meta.Stamp, Index: meta.Index})
	a.done(meta.Index)
	return true
}

// closeFiles lets go of what the orders that were not carried out hold.
func closeFiles(orders []order) {
	for _, o := range orders {
		if o.restore != nil {
			_ = o.restore.Close() // it was only read
		}
	}
}

func (a *applier) ended() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopped
}

// apply executes one entry. An entry that cannot be decoded was written by no
// replica of ours: the log is corrupt, and going on would let replicas differ.
func (a *applier) apply(e *storage.Entry, d *batch.Decoded) {
	a.stamp = e.Stamp
	if len(e.Data) == 0 || e.Data[0] == ConfigMark {
		a.applied.Store(e.Index)
		return
	}
	if err := batch.Decode(e.Data, d); err != nil {
		panic(fmt.Sprintf("engine: committed entry %d: %v", e.Index, err))
	}
	if len(d.Commands) == 0 { // a round of reads
		a.applied.Store(e.Index)
		return
	}
	a.observe(consensus.Event{Kind: consensus.EventApplying, Node: a.node, Term: e.Stamp, Index: e.Index})
	results := a.machine.Apply(e.Index, d.Commands)
	if len(results) != len(d.Commands) {
		panic(fmt.Sprintf("engine: the state machine answered %d results for %d commands at index %d", len(results), len(d.Commands), e.Index))
	}
	a.applied.Store(e.Index)
	a.entries.Add(1)
	a.cmds.Add(uint64(len(d.Commands)))
	a.proposer.Complete(e.Index, d, results)
}

// replay measures what a restart costs: the entries that the log held when it
// was opened, and the time it takes to apply them.
type replay struct {
	last    uint64 // newest entry in the log at opening
	entries atomic.Uint64
	took    atomic.Int64
}

func (r *replay) begin(todo []storage.Entry) (start time.Time) {
	if len(todo) > 0 && todo[0].Index <= r.last {
		start = time.Now()
	}
	return start
}

func (r *replay) end(start time.Time, done []storage.Entry) {
	if start.IsZero() {
		return
	}
	n := 0
	for n < len(done) && done[n].Index <= r.last {
		n++
	}
	r.entries.Add(uint64(n))
	r.took.Add(int64(time.Since(start)))
}
