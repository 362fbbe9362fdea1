package harness

import (
	"cmp"
	"slices"

	"gfslab/master"
	"gfslab/results/rundir"
)

// released is how long, in nanoseconds, a chunkserver counts as busy after one of its
// clones was told to be over: the master tells first, and makes room for the next one
// then.
const released = int64(5e6)

// inversions counts the clones of chunks with more replicas left that were begun
// while one with fewer was due, which is the time after (in nanoseconds) after it was
// queued: those where that one could have been begun, and those where the chunkserver
// with its only replica was busy.
func inversions(events []rundir.ReplicaEvent, after int64) (inverted, passedOver int) {
	events = byDecision(events)
	waiting := map[uint64]rundir.ReplicaEvent{} // queued and not begun
	busy := map[string][]int64{}                // by chunkserver: when its clones are over, as the events tell later
	over := ends(events)
	for n, e := range events {
		switch e.Kind {
		case rundir.ReplicaQueued:
			if first, known := waiting[e.Handle]; known {
				e.At = first.At
			}
			waiting[e.Handle] = e
		case rundir.ReplicaClone:
			delete(waiting, e.Handle)
			could, any := false, false
			for handle, w := range waiting {
				next := beginning(events[n:], handle)
				if w.Live < e.Live && e.At > w.At+after {
					any = true
					could = could || w.Live > 1 || free(busy[next.Source], e.At)
				}
			}
			switch {
			case could:
				inverted++
			case any:
				passedOver++
			}
			for _, server := range []string{e.Source, e.Server} {
				busy[server] = append(busy[server], over[n])
			}
		}
	}
	return inverted, passedOver
}

// byDecision returns the events in the order in which the masters decided: a clone is
// told of when its chunk's lease has been ended, which may take long.
func byDecision(events []rundir.ReplicaEvent) []rundir.ReplicaEvent {
	events = slices.Clone(events)
	for n := range events {
		if begun := events[n].Begun; begun > 0 && events[n].Kind == rundir.ReplicaClone {
			events[n].At = begun
		}
	}
	slices.SortStableFunc(events, func(a, b rundir.ReplicaEvent) int { return cmp.Compare(a.At, b.At) })
	return events
}

// ends tells for each clone that begins when it is over, by its place in events.
func ends(events []rundir.ReplicaEvent) map[int]int64 {
	over := map[int]int64{}
	running := map[uint64]int{}
	for n, e := range events {
		switch e.Kind {
		case rundir.ReplicaClone:
			running[e.Handle] = n
			over[n] = 1 << 62
		case rundir.ReplicaCloned, rundir.ReplicaFailed:
			if begun, ok := running[e.Handle]; ok {
				over[begun] = e.At
				delete(running, e.Handle)
			}
		}
	}
	return over
}

// beginning is the next clone of the chunk; one that is never begun is so at the end
// of time.
func beginning(events []rundir.ReplicaEvent, handle uint64) rundir.ReplicaEvent {
	for _, e := range events {
		if e.Kind == rundir.ReplicaClone && e.Handle == handle {
			return e
		}
	}
	return rundir.ReplicaEvent{At: 1 << 62}
}

// free tells whether a chunkserver whose clones are over at these times could have
// begun another one.
func free(over []int64, now int64) bool {
	n := 0
	for _, at := range over {
		if at+released > now {
			n++
		}
	}
	return n < master.DefaultCloneLimit
}
