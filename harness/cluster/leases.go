package cluster

import (
	"sync"
	"time"

	"gfslab/chunkserver"
	"gfslab/results/rundir"
)

// leaseLog keeps the lease and mutation events of one chunkserver.
type leaseLog struct {
	node  string
	start time.Time // zero of the run's clock

	mu     sync.Mutex
	events []rundir.LeaseEvent
}

// add takes an event on the node's own clock to the run's clock. In one process
// the clocks are one, so the difference is exact. (By way of the present it would
// not be: two readings of the clock may lie a preemption apart, and an
// acknowledgement would then seem to come before the claim that it stands on.)
func (l *leaseLog) add(e chunkserver.Event) {
	out := rundir.LeaseEvent{
		Node: l.node, Kind: e.Kind, Handle: e.Handle, Version: e.Version,
		Epoch: e.Epoch, Term: e.Term, Serial: e.Serial, Offset: e.Offset, At: int64(e.At.Sub(l.start)),
	}
	if !e.Until.IsZero() {
		out.Until = int64(e.Until.Sub(l.start))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, out)
}

func (l *leaseLog) all() []rundir.LeaseEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rundir.LeaseEvent(nil), l.events...)
}
