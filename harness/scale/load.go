package scale

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/client"
	"gfslab/workloads"
)

// load is clients that create files in an open loop: operations are due at
// random times whatever becomes of those before, and latency counts from there.
type load struct {
	conns  *client.Conns
	began  time.Time
	stop   chan struct{}
	wg     sync.WaitGroup
	failed atomic.Int64

	mu  sync.Mutex
	ops []sample
}

// sample is one operation: when it was due and how long it took from then on.
type sample struct {
	due     time.Time
	latency time.Duration
}

// threads bounds the operations in flight; at the rates used here it is never
// reached unless the cell stands still.
const threads = 128

// startLoad begins rate creates a second. Every load of a cell needs a name of
// its own.
func startLoad(ctx context.Context, c *cell, p Population, name string, rate float64, seed uint64) (*load, error) {
	l := &load{conns: client.NewConns(nil, 0), began: time.Now(), stop: make(chan struct{})}
	for i := range threads {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		arrival, err := workloads.NewArrival(workloads.Open, rate, threads, rng)
		if err != nil {
			return nil, err
		}
		cl, err := client.New(client.Options{
			Name: fmt.Sprintf("%s-%d", name, i), Masters: c.masters(), Conns: l.conns, Seed: rng.Uint64(),
			OpTimeout: 30 * time.Second, AttemptTimeout: 5 * time.Second,
		})
		if err != nil {
			return nil, err
		}
		l.wg.Go(func() { l.thread(ctx, cl, arrival, p, fmt.Sprintf("%s-%d", name, i)) })
	}
	return l, nil
}

func (l *load) thread(ctx context.Context, cl *client.Client, arrival workloads.Arrival, p Population, name string) {
	for n := 0; ; n++ {
		due := l.began.Add(arrival.Due(time.Since(l.began)))
		select {
		case <-l.stop:
			return
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		dir := p.dir(int(scramble(uint64(n)) % uint64(p.dirs())))
		r := cl.Create(ctx, fmt.Sprintf("%s/%s-%06d", dir, name, n))
		latency := time.Since(due)
		if r.Outcome != client.OK {
			l.failed.Add(1)
			continue
		}
		l.mu.Lock()
		l.ops = append(l.ops, sample{due, latency})
		l.mu.Unlock()
	}
}

// end stops the load and waits for what is in flight.
func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
	l.conns.Close()
}

// between are the latencies, in microseconds, of the operations that were due in
// a window. They must have ended.
func (l *load) between(from, to time.Time) []float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var us []float64
	for _, s := range l.ops {
		if !s.due.Before(from) && s.due.Before(to) {
			us = append(us, micro(s.latency))
		}
	}
	return us
}
