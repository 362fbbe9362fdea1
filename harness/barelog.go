package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	"gfslab/harness/cluster"
	"gfslab/internal/disk"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// BareLogOptions describe one row of the bare log: replicas with a no-op state
// machine on plain files and loopback TCP, no master, no fault wrapper.
type BareLogOptions struct {
	Backend      string
	Setting      string
	Clients      int
	CommandBytes int
	WarmUp       time.Duration
	Duration     time.Duration
	// Dir is where the nodes keep their logs; it is removed afterwards.
	Dir  string
	Seed uint64
}

// noop is a state machine that does nothing.
type noop struct{ results [][]byte }

func (n *noop) Apply(_ uint64, commands [][]byte) [][]byte {
	for len(n.results) < len(commands) {
		n.results = append(n.results, nil)
	}
	return n.results[:len(commands)]
}
func (n *noop) Snapshot() (consensus.Snapshot, error) { return emptySnapshot{}, nil }
func (n *noop) Restore(r io.Reader) error             { _, err := io.Copy(io.Discard, r); return err }

type emptySnapshot struct{}

func (emptySnapshot) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (emptySnapshot) Release()                         {}

// BareLog measures one row. total is the number of fsyncs of all nodes from
// open to close, to hold against a system-call trace.
func BareLog(ctx context.Context, o BareLogOptions) (row rundir.BareLog, total uint64, err error) {
	limits, err := LimitsOf(o.Setting)
	if err != nil {
		return row, 0, err
	}
	replicas, err := openBare(o, limits)
	defer func() {
		for _, r := range replicas {
			total += r.Status().Counters["fsyncs"]
			err = errors.Join(err, r.Close())
		}
		err = errors.Join(err, os.RemoveAll(o.Dir))
	}()
	if err != nil {
		return row, 0, err
	}
	leader, err := bareLeader(ctx, replicas)
	if err != nil {
		return row, 0, err
	}
	b := &bare{leader: replicas[leader], bytes: max(1, o.CommandBytes)}
	b.run(ctx, o.Clients, o.WarmUp)
	before, cpu := bareCounters(replicas), cpuSeconds()
	allocs, _ := heapAllocs()
	began := time.Now()
	b.run(ctx, o.Clients, o.Duration)
	seconds := time.Since(began).Seconds()
	allocsAfter, _ := heapAllocs()
	cpu = cpuSeconds() - cpu
	after := bareCounters(replicas)
	if err := errors.Join(ctx.Err(), b.err()); err != nil {
		return row, 0, err
	}
	ops := float64(b.done.Load())
	if ops == 0 {
		return row, 0, fmt.Errorf("bare log of %s: nothing was committed in %v", o.Backend, o.Duration)
	}
	row = rundir.BareLog{
		Backend: o.Backend, Setting: o.Setting, Clients: o.Clients, CommandBytes: b.bytes,
		Ops: int64(ops), OpsPerSecond: ops / seconds,
		P50US: float64(b.latency.ValueAtQuantile(50)) / 1e3, P99US: float64(b.latency.ValueAtQuantile(99)) / 1e3,
		CPUSecondsPer100k: cpu / ops * 1e5, AllocsPerOp: float64(allocsAfter-allocs) / ops,
	}
	delta := func(i int, name string) float64 { return float64(after[i][name]-before[i][name]) / ops }
	row.LeaderFsyncsPerOp = delta(leader, "fsyncs")
	row.LeaderFramesPerOp, row.LeaderBytesPerOp = delta(leader, "frames"), delta(leader, "bytes")
	for i := range replicas {
		if i != leader {
			row.FollowFsyncsPerOp += delta(i, "fsyncs") / float64(len(replicas)-1)
		}
	}
	return row, total, nil
}

// openBare opens the replicas; those that are open are returned with an error.
func openBare(o BareLogOptions, limits consensus.Limits) ([]consensus.Replica, error) {
	count := 3
	if o.Backend == node.Unreplicated {
		count = 1
	}
	var peers []consensus.Peer
	address := cluster.Addresses(rand.New(rand.NewPCG(o.Seed, 0xba4e)))
	for i := range count {
		peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: address(fmt.Sprint(i))})
	}
	var replicas []consensus.Replica
	for _, p := range peers {
		dir := filepath.Join(o.Dir, fmt.Sprintf("n%d", p.ID))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return replicas, err
		}
		r, err := node.OpenReplica(o.Backend, consensus.Config{
			Cluster: "bare", Self: p.ID, Peers: peers, Limits: limits, StateMachine: &noop{}, Seed: o.Seed + uint64(p.ID),
		}.WithDefaults(), engine.Deps{FS: disk.Default, Dir: dir, Network: wire.TCP()})
		if err != nil {
			return replicas, fmt.Errorf("bare log: open %s %d: %w", o.Backend, p.ID, err)
		}
		replicas = append(replicas, r)
	}
	return replicas, nil
}

func bareLeader(ctx context.Context, replicas []consensus.Replica) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		for i, r := range replicas {
			if r.Status().Role != consensus.Leader {
				continue
			}
			if _, err := r.ReadBarrier(ctx); err == nil {
				return i, nil
			}
		}
		if err := wait(ctx, 2*time.Millisecond); err != nil {
			return 0, fmt.Errorf("bare log: no leader: %w", err)
		}
	}
}

func bareCounters(replicas []consensus.Replica) []map[string]uint64 {
	var out []map[string]uint64
	for _, r := range replicas {
		out = append(out, r.Status().Counters)
	}
	return out
}

// bare is a closed loop of clients against one leader.
type bare struct {
	leader  consensus.Replica
	bytes   int
	done    atomic.Int64
	latency *hdrhistogram.Histogram
	mu      sync.Mutex
	failed  error
}

func (b *bare) err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// run drives the clients for d and leaves the latencies of this stretch alone.
func (b *bare) run(ctx context.Context, clients int, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d+30*time.Second)
	defer cancel()
	b.done.Store(0)
	b.latency = newHistogram()
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			command, own, n := make([]byte, b.bytes), newHistogram(), int64(0)
			var err error
			for time.Now().Before(end) && err == nil {
				t := time.Now()
				if _, err = b.leader.Propose(ctx, command); err == nil {
					n++
					err = own.RecordValue(min(int64(time.Since(t)), maxLatency))
				}
			}
			b.done.Add(n)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.latency.Merge(own)
			if err != nil && b.failed == nil {
				b.failed = fmt.Errorf("bare log: propose: %w", err)
			}
		})
	}
	wg.Wait()
}

// maxLatency is the top of the histograms; a slower operation counts as that.
const maxLatency = int64(10 * time.Second)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, maxLatency, 2) }

// bareLogTries is how often a row is measured before a bench gives it up.
const bareLogTries = 4

type measureBareLog func(context.Context, BareLogOptions) (rundir.BareLog, uint64, error)

// bareLogAgain measures a row, and once more when the leader lost its lead
// meanwhile: a busy machine may starve it, and such a row measures an election.
// How often that was is kept in the row.
func bareLogAgain(ctx context.Context, o BareLogOptions, progress io.Writer, measure measureBareLog) (row rundir.BareLog, err error) {
	for void := 0; ; void++ {
		row, _, err = measure(ctx, o)
		row.Void = void
		if !lostLead(err) || void+1 == bareLogTries || ctx.Err() != nil {
			return row, err
		}
		fmt.Fprintf(progress, "bare log    %-13s %4d clients  void, measured again: %v\n", o.Backend, o.Clients, err)
	}
}

// lostLead reports whether an operation failed because its leader leads no longer.
func lostLead(err error) bool {
	var notLeader *consensus.NotLeaderError
	return errors.As(err, &notLeader) || errors.Is(err, consensus.ErrUnknown) || errors.Is(err, consensus.ErrDropped)
}

// benchBareLog measures every backend at one client and at many, interleaved,
// and leaves barelog.json.
func benchBareLog(ctx context.Context, dir string, o BenchOptions, host rundir.Host, progress io.Writer) error {
	if o.BareLog < 0 {
		return nil
	}
	var rows []rundir.BareLog
	for slice := range o.Slices {
		for _, clients := range []int{1, 256} {
			for _, backend := range append(rotate(o.Backends, slice), node.Unreplicated) {
				row, err := bareLogAgain(ctx, BareLogOptions{
					Backend: backend, Setting: "matched-2", Clients: clients, CommandBytes: 100,
					WarmUp: o.BareLog / 4, Duration: o.BareLog, Dir: filepath.Join(dir, "barelog-data"), Seed: o.Seed + uint64(slice),
				}, progress, BareLog)
				if err != nil {
					return errors.Join(err, writeJSON(filepath.Join(dir, "barelog.json"), rows))
				}
				row.Slice, row.Durable = slice, host.Durable
				rows = append(rows, row)
				fmt.Fprintf(progress, "bare log s%d %-13s %4d clients %9.0f ops/s  leader fsyncs/op %.3f  CPU s/100k %.2f  allocs/op %.1f\n",
					slice, backend, clients, row.OpsPerSecond, row.LeaderFsyncsPerOp, row.CPUSecondsPer100k, row.AllocsPerOp)
			}
		}
	}
	return writeJSON(filepath.Join(dir, "barelog.json"), rows)
}
