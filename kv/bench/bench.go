// Package bench drives a key-value cluster with closed-loop clients and measures
// what they see: operations a second and latencies, reads and writes apart.
//
// It checks no history and injects no fault (package harness does). Its latency
// runs from when a client calls, so a stall delays the calls behind it instead of
// being counted for each.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gfslab/client/call"
	"gfslab/kv/client"
)

// Options say what to do.
type Options struct {
	// Name begins the clients' names; it must be unique in the cluster.
	Name  string
	Nodes []call.Node
	Conns *call.Conns
	// Clients is how many have an operation open at a time.
	Clients int
	// WarmUp is left out of the figures.
	WarmUp, Duration time.Duration
	// ReadRatio is the share of reads, 0 to 1. Keys are chosen evenly among Keys.
	ReadRatio  float64
	Keys       int
	ValueBytes int
	// Stale reads any replica instead of the leader.
	Stale bool
	Seed  uint64
	// Progress is told the operations of each second; may be nil.
	Progress func(second int, operations uint64)
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Clients >= 1 && o.Clients <= 1<<16, "clients is %d; it must be 1 to 65536", o.Clients)
	check(o.Duration > 0 && o.WarmUp >= 0, "the duration must be above 0, the warm-up not negative")
	check(o.ReadRatio >= 0 && o.ReadRatio <= 1, "the read ratio is %g; it must be 0 to 1", o.ReadRatio)
	check(o.Keys >= 1, "keys is %d; it must be at least 1", o.Keys)
	check(o.ValueBytes >= 0 && o.ValueBytes <= 256<<10, "value bytes is %d; it must be 0 to %d", o.ValueBytes, 256<<10)
	return errors.Join(errs...)
}

// Latency is the distribution of one kind of operation, in microseconds.
type Latency struct {
	Operations uint64  `json:"operations"`
	PerSecond  float64 `json:"per_second"`
	P50        int64   `json:"p50_us"`
	P99        int64   `json:"p99_us"`
	P999       int64   `json:"p999_us"`
	Max        int64   `json:"max_us"`
}

// Report is what was measured.
type Report struct {
	Seconds float64 `json:"seconds"`
	Reads   Latency `json:"reads"`
	Writes  Latency `json:"writes"`
	// Failed surely had no effect; Unknown may have.
	Failed  uint64 `json:"failed"`
	Unknown uint64 `json:"unknown"`
	// Attempts is the calls made: more than operations when some were repeated.
	Attempts uint64 `json:"attempts"`
}

// worker is one closed-loop client.
type worker struct {
	*client.Client
	o               Options
	rng             *rand.Rand
	reads, writes   *hdrhistogram.Histogram
	failed, unknown uint64
	attempts        uint64
}

// Run drives the cluster. It ends early with ctx, and reports what there is.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	workers := make([]*worker, o.Clients)
	for i := range workers {
		c, err := client.New(client.Options{
			Name:    fmt.Sprintf("%s-%d", o.Name, i),
			Options: call.Options{Nodes: o.Nodes, Conns: o.Conns, Seed: o.Seed + uint64(i)},
		})
		if err != nil {
			return Report{}, err
		}
		workers[i] = &worker{
			Client: c, o: o, rng: rand.New(rand.NewPCG(o.Seed, uint64(i))),
			reads: hdrhistogram.New(1, time.Minute.Microseconds(), 3), writes: hdrhistogram.New(1, time.Minute.Microseconds(), 3),
		}
	}
	if err := workers[0].warm(ctx); err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.WarmUp+o.Duration)
	defer cancel()
	var done atomic.Uint64
	from := time.Now().Add(o.WarmUp)
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { w.loop(ctx, from, &done) })
	}
	wg.Go(func() { tell(ctx, from, o.Progress, &done) })
	wg.Wait()
	return sum(workers, min(time.Since(from), o.Duration)), nil
}

// warm waits for a leader and writes the first key.
func (w *worker) warm(ctx context.Context) error {
	if r := w.Put(ctx, key(0), make([]byte, w.o.ValueBytes)); r.Outcome != call.OK {
		return fmt.Errorf("the cluster takes no writes: %w", r.Err)
	}
	return nil
}

func key(i int) string { return fmt.Sprintf("bench/%08d", i) }

func (w *worker) loop(ctx context.Context, from time.Time, done *atomic.Uint64) {
	value := make([]byte, w.o.ValueBytes)
	for ctx.Err() == nil {
		k := key(w.rng.IntN(w.o.Keys))
		read := w.rng.Float64() < w.o.ReadRatio
		var r client.Result
		begin := time.Now()
		switch {
		case read && w.o.Stale:
			r = w.GetStale(ctx, k, w.o.Nodes[w.rng.IntN(len(w.o.Nodes))].ID)
		case read:
			r = w.Get(ctx, k)
		default:
			for i := 0; i+8 <= len(value); i += 8 {
				x := w.rng.Uint64()
				for j := range 8 {
					value[i+j] = byte(x >> (8 * j))
				}
			}
			r = w.Put(ctx, k, value)
		}
		took := time.Since(begin)
		if begin.Before(from) || ctx.Err() != nil {
			continue
		}
		w.attempts += uint64(len(r.Attempts))
		done.Add(1)
		switch r.Outcome {
		case call.OK:
			h := w.writes
			if read {
				h = w.reads
			}
			// A value beyond the histogram's bound is longer than any operation lasts.
			_ = h.RecordValue(max(1, took.Microseconds()))
		case call.Fail:
			w.failed++
		default:
			w.unknown++
		}
	}
}

// tell reports the operations of every measured second.
func tell(ctx context.Context, from time.Time, progress func(int, uint64), done *atomic.Uint64) {
	if progress == nil {
		return
	}
	begin := time.NewTimer(time.Until(from))
	defer begin.Stop()
	select {
	case <-begin.C:
	case <-ctx.Done():
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	var before uint64
	for second := 1; ; second++ {
		select {
		case <-t.C:
			now := done.Load()
			progress(second, now-before)
			before = now
		case <-ctx.Done():
			return
		}
	}
}

func sum(workers []*worker, measured time.Duration) Report {
	r := Report{Seconds: measured.Seconds()}
	reads, writes := workers[0].reads, workers[0].writes
	for i, w := range workers {
		if i > 0 {
			reads.Merge(w.reads)
			writes.Merge(w.writes)
		}
		r.Failed, r.Unknown, r.Attempts = r.Failed+w.failed, r.Unknown+w.unknown, r.Attempts+w.attempts
	}
	latency := func(h *hdrhistogram.Histogram) Latency {
		return Latency{
			Operations: uint64(h.TotalCount()), PerSecond: float64(h.TotalCount()) / r.Seconds,
			P50: h.ValueAtQuantile(50), P99: h.ValueAtQuantile(99), P999: h.ValueAtQuantile(99.9), Max: h.Max(),
		}
	}
	r.Reads, r.Writes = latency(reads), latency(writes)
	return r
}
