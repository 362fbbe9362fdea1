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
	life   int // of the incarnation that is heard
	events []rundir.LeaseEvent
}

// incarnation returns what takes the events of a new instance.
func (l *leaseLog) incarnation() func(chunkserver.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
	life := l.life
	return func(e chunkserver.Event) { l.add(life, e) }
}

// silence ends the present incarnation: what an instance without network and disk
// still does no longer counts.
func (l *leaseLog) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
}

// add takes an event on the node's own clock to the run's clock. In one process
// the clocks are one, so the difference is exact. (By way of the present it would
// not be: two readings of the clock may lie a preemption apart, and an
// acknowledgement would then seem to come before the claim that it stands on.)
func (l *leaseLog) add(life int, e chunkserver.Event) {
	out := rundir.LeaseEvent{
		Node: l.node, Kind: e.Kind, Handle: e.Handle, Version: e.Version,
		Epoch: e.Epoch, Term: e.Term, Serial: e.Serial, Offset: e.Offset, At: int64(e.At.Sub(l.start)),
		Length: e.Length, Wanted: e.Wanted, Source: e.Source,
	}
	if !e.Until.IsZero() {
		out.Until = int64(e.Until.Sub(l.start))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if life == l.life {
		l.events = append(l.events, out)
	}
}

func (l *leaseLog) all() []rundir.LeaseEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]rundir.LeaseEvent(nil), l.events...)
}

// last is when an event of the kind came last.
func (l *leaseLog) last(kind string) (at int64, found bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.events) - 1; i >= 0; i-- {
		if l.events[i].Kind == kind {
			return l.events[i].At, true
		}
	}
	return 0, false
}

func (l *leaseLog) count(kind string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events {
		if l.events[i].Kind == kind {
			n++
		}
	}
	return n
}
