package engine_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gfslab/consensus"
)

// bulk is a noop with a large state.
type bulk struct {
	noop
	bytes int
}

func (b *bulk) Snapshot() (consensus.Snapshot, error) { return bulkSnapshot(b.bytes), nil }
func (b *bulk) Restore(r io.Reader) error             { _, err := io.Copy(io.Discard, r); return err }

type bulkSnapshot int

func (s bulkSnapshot) WriteTo(w io.Writer) (int64, error) {
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = byte(i * i >> 3)
	}
	for n := 0; n < int(s); n += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return int64(n), err
		}
	}
	return int64(s), nil
}
func (bulkSnapshot) Release() {}

// BenchmarkBesideASnapshot compares the latency of proposals while no replica
// writes a snapshot with that while one does, the leader included, in turn: 64
// clients in closed loop, a state of GFSLAB_BENCH_MIB (default 64) MiB. Run it
// with -benchtime=1x.
func BenchmarkBesideASnapshot(b *testing.B) {
	mib := 64
	if s := os.Getenv("GFSLAB_BENCH_MIB"); s != "" {
		var err error
		if mib, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	for _, backend := range []string{"multipaxos", "etcdraft"} {
		b.Run(backend, func(b *testing.B) {
			limits := consensus.Matched2()
			limits.ElectionTicks = 300 // a busy disk stalls for longer than 150 ms, snapshot or not
			c := openBareLogOn(b, backend, limits, 3, func() consensus.StateMachine { return &bulk{bytes: mib << 20} })
			c.load(b, 64, 5000)
			var calm, beside []time.Duration
			for range max(b.N, 1) {
				for _, r := range c.replicas {
					calm = append(calm, c.latencies(b, 64, time.Second, nil)...)
					start := time.Now()
					beside = append(beside, c.latencies(b, 64, time.Minute, func() {
						if _, err := r.(consensus.Snapshotter).SnapshotNow(context.Background()); err != nil {
							b.Error(err)
						}
					})...)
					b.ReportMetric(float64(mib)/time.Since(start).Seconds(), "MiB/s")
				}
			}
			if b.Failed() { // the lead changed hands: nothing was measured
				for _, r := range c.replicas {
					s := r.Status()
					b.Logf("node %d: term %d, %d elections, %d resignations for a write that was out too long", s.ID, s.Term, s.Counters["elections"], s.Counters["stalled_resigns"])
				}
				return
			}
			for name, l := range map[string][]time.Duration{"calm": calm, "beside": beside} {
				slices.Sort(l)
				b.ReportMetric(float64(l[len(l)-1].Microseconds())/1000, name+"-max-ms")
				for _, q := range []int{50, 99} {
					b.ReportMetric(float64(l[len(l)*q/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", name, q))
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// latencies lets clients propose in closed loop for d, or until beside is done.
func (c *bareLog) latencies(b *testing.B, clients int, d time.Duration, beside func()) []time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if beside != nil {
		go func() { beside(); cancel() }()
	}
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	command := make([]byte, 100)
	for range clients {
		wg.Go(func() {
			var mine []time.Duration
			for ctx.Err() == nil {
				start := time.Now()
				if _, err := c.replicas[c.leader].Propose(context.Background(), command); err != nil {
					b.Error(err)
					break
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			all = append(all, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	return all
}
