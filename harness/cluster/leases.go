package cluster

import (
	"sync"
	"time"

	"gfslab/chunkserver"
	"gfslab/results/rundir"
)

// leaseLog keeps the lease and mutation events of one chunkserver.
type leaseLog struct {
	node string
	now  func() int64

	mu     sync.Mutex
	events []rundir.LeaseEvent
}

// add takes an event on the node's own clock to the run's clock. In one process
// the clocks are one; the difference to now is exact.
func (l *leaseLog) add(e chunkserver.Event) {
	out := rundir.LeaseEvent{
		Node: l.node, Kind: e.Kind, Handle: e.Handle, Version: e.Version,
		Epoch: e.Epoch, Term: e.Term, Serial: e.Serial, Offset: e.Offset,
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	run, wall := l.now(), time.Now()
	out.At = run - int64(wall.Sub(e.At))
	if !e.Until.IsZero() {
		out.Until = run + int64(e.Until.Sub(wall))
	}
	l.events = append(l.events, out)
}

func (l *leaseLog) all() []rundir.LeaseEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rundir.LeaseEvent(nil), l.events...)
}
