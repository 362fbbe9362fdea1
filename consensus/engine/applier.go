package engine

import (
	"fmt"
	"sync"
	"sync/atomic"

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

	wake    chan struct{}
	applied atomic.Uint64
	entries atomic.Uint64
	cmds    atomic.Uint64

	mu      sync.Mutex
	queue   []storage.Entry
	stopped bool
}

// push queues entries.
func (a *applier) push(entries []storage.Entry) {
	a.mu.Lock()
	a.queue = append(a.queue, entries...)
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
	var d batch.Decoded
	for range a.wake {
		a.mu.Lock()
		todo, a.queue = a.queue, clearSlice(todo)
		stopped := a.stopped
		a.mu.Unlock()
		if stopped {
			return
		}
		for i := range todo {
			a.apply(&todo[i], &d)
			if (i+1)%stretch == 0 || i == len(todo)-1 {
				a.done(todo[i].Index)
				if a.ended() {
					return
				}
			}
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
	if len(e.Data) == 0 {
		a.applied.Store(e.Index)
		return
	}
	if err := batch.Decode(e.Data, d); err != nil {
		panic(fmt.Sprintf("engine: committed entry %d: %v", e.Index, err))
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
