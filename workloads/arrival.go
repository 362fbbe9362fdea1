package workloads

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// The names of the arrival schedules.
const (
	Closed = "closed"
	Open   = "open"
)

// Arrival says when the operations of one client thread are due. It belongs to
// one goroutine.
type Arrival interface {
	// Due is the offset from the start of the load at which the next operation
	// is due. previous is when the thread's last operation completed, 0 at first.
	// A due time may lie in the past: the thread is late, and its latency counts
	// from there.
	Due(previous time.Duration) time.Duration
}

// NewArrival makes the schedule of one of clients threads. Closed: the next
// operation is due when the last one has completed. Open: due times form a
// Poisson process whatever becomes of the operations; rate is operations a second
// of all clients together.
func NewArrival(kind string, rate float64, clients int, rng *rand.Rand) (Arrival, error) {
	if clients < 1 {
		return nil, fmt.Errorf("workloads: %d clients: want at least 1", clients)
	}
	switch kind {
	case Closed:
		return closed{}, nil
	case Open:
		if !(rate > 0) || math.IsInf(rate, 0) {
			return nil, fmt.Errorf("workloads: open arrival at rate %v: want operations a second", rate)
		}
		// Independent Poisson processes add up to one of the summed rate.
		return &open{mean: float64(clients) / rate, rng: rng}, nil
	}
	return nil, fmt.Errorf("workloads: no arrival %q; there are: %s, %s", kind, Closed, Open)
}

type closed struct{}

func (closed) Due(previous time.Duration) time.Duration { return previous }

type open struct {
	mean float64 // seconds between arrivals
	at   float64 // seconds
	rng  *rand.Rand
}

func (o *open) Due(time.Duration) time.Duration {
	o.at += o.rng.ExpFloat64() * o.mean
	return time.Duration(o.at * float64(time.Second))
}

// NewPeriodic is the schedule of a thread that acts by the clock: every period,
// the first time after one, and at once when it comes late.
func NewPeriodic(period time.Duration) Arrival { return &periodic{period: period} }

type periodic struct{ period, at time.Duration }

func (p *periodic) Due(previous time.Duration) time.Duration {
	p.at = max(p.at+p.period, previous)
	return p.at
}
