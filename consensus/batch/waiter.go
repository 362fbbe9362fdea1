package batch

import (
	"sync"
	"sync/atomic"

	"gfslab/consensus"
)

// The states of a waiter. A waiter has two holders, its caller and the
// proposer; whoever comes second after an early end recycles it.
const (
	queued    int32 = iota // in the queue; may be withdrawn
	taken                  // in a batch; its outcome is open
	done                   // result or err is set and ready was signalled
	withdrawn              // the caller left while it was queued
	abandoned              // the caller left while it was in a batch
)

// waiter is one call of Propose. ready has room for one signal, so that
// waking a whole batch never blocks.
type waiter struct {
	command []byte
	result  consensus.Result
	err     error
	state   atomic.Int32
	ready   chan struct{}
}

// A pool belongs to one proposer and not to the package: in a bubble of virtual
// time, channels must not cross from one test into another.
type pool struct{ waiters, flights sync.Pool }

func (p *pool) waiter(command []byte) *waiter {
	w, ok := p.waiters.Get().(*waiter)
	if !ok {
		w = &waiter{ready: make(chan struct{}, 1)}
	}
	w.command = command
	w.state.Store(queued)
	return w
}

func (p *pool) putWaiter(w *waiter) {
	w.command, w.result, w.err = nil, consensus.Result{}, nil
	p.waiters.Put(w)
}

func (p *pool) flight() *flight {
	f, ok := p.flights.Get().(*flight)
	if !ok {
		f = new(flight)
	}
	return f
}

func (p *pool) putFlight(f *flight) {
	clear(f.waiters)
	f.waiters = f.waiters[:0]
	p.flights.Put(f)
}

// finish wakes the caller, or recycles the waiter when the caller has left.
func (p *pool) finish(w *waiter, result consensus.Result, err error) {
	w.result, w.err = result, err
	for {
		s := w.state.Load()
		if s == withdrawn || s == abandoned {
			p.putWaiter(w)
			return
		}
		if w.state.CompareAndSwap(s, done) {
			w.ready <- struct{}{}
			return
		}
	}
}
