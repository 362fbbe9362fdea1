package engine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
	"gfslab/consensus/hashiraft"
	"gfslab/consensus/multipaxos"
	"gfslab/consensus/unreplicated"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
)

// noop is a state machine that does nothing, so that only the log is measured.
type noop struct{ results [4096][]byte }

func (n *noop) Apply(_ uint64, commands [][]byte) [][]byte { return n.results[:len(commands)] }
func (n *noop) Snapshot() (consensus.Snapshot, error)      { return nil, io.ErrUnexpectedEOF }
func (n *noop) Restore(io.Reader) error                    { return io.ErrUnexpectedEOF }

// bareLog is a cluster on real files and loopback TCP in this process.
type bareLog struct {
	replicas []consensus.Replica
	leader   int
}

func openBareLog(b *testing.B, backend string, limits consensus.Limits, n int) *bareLog {
	b.Helper()
	return openBareLogOn(b, backend, limits, n, func() consensus.StateMachine { return &noop{} })
}

func openBareLogOn(b *testing.B, backend string, limits consensus.Limits, n int, machine func() consensus.StateMachine) *bareLog {
	b.Helper()
	var peers []consensus.Peer
	var listeners []net.Listener
	for i := range n {
		l, err := wire.TCP().Listen("127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		listeners = append(listeners, l)
		peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: l.Addr().String()})
	}
	// GFSLAB_BENCH_DIR chooses the disk: a temporary folder may be in memory.
	dir, err := os.MkdirTemp(os.Getenv("GFSLAB_BENCH_DIR"), "barelog")
	if err != nil {
		b.Fatal(err)
	}
	c := &bareLog{}
	b.Cleanup(func() {
		for _, r := range c.replicas {
			_ = r.Close()
		}
		_ = os.RemoveAll(dir)
	})
	for i := range n {
		cfg := consensus.Config{
			Cluster: "bench", Self: peers[i].ID, Peers: peers, Limits: limits, StateMachine: machine(), Seed: uint64(i),
		}
		deps := engine.Deps{
			FS: disk.Default, Dir: fmt.Sprintf("%s/%d", dir, i+1), Network: wire.TCP(), Listener: listeners[i],
		}
		var r consensus.Replica
		switch backend {
		case "multipaxos":
			r, err = multipaxos.Open(cfg, deps)
		case "etcdraft":
			r, err = etcdraft.Open(cfg, deps)
		case "unreplicated":
			r, err = unreplicated.Open(cfg, deps)
		case "hashiraft":
			r, err = hashiraft.Open(cfg, hashiraft.Deps{FS: deps.FS, Dir: deps.Dir, Network: deps.Network, Listener: deps.Listener})
		}
		if err != nil {
			b.Fatal(err)
		}
		c.replicas = append(c.replicas, r)
	}
	c.leader = c.awaitLeader(b)
	return c
}

func (c *bareLog) awaitLeader(b *testing.B) int {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		for i, r := range c.replicas {
			if _, err := r.Propose(b.Context(), []byte("warm")); err == nil {
				return i
			}
		}
		<-tick.C
	}
	b.Fatal("no leader within 20 s")
	return -1
}

// load lets clients propose in closed loop until count commands are through.
func (c *bareLog) load(b *testing.B, clients, count int) {
	command := make([]byte, 100)
	var left atomic.Int64
	left.Store(int64(count))
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := c.replicas[c.leader].Propose(context.Background(), command); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// totals are counters of the leader, of all followers, and of the process.
type totals struct {
	leader, followers map[string]uint64
	mallocs           uint64
	cpu               time.Duration
}

func (c *bareLog) totals() totals {
	t := totals{followers: map[string]uint64{}}
	for i, r := range c.replicas {
		s := r.Status()
		if i == c.leader {
			t.leader = s.Counters
			continue
		}
		for k, v := range s.Counters {
			t.followers[k] += v
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.mallocs = m.Mallocs
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		t.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return t
}

// BenchmarkBareLog measures the log alone: three replicas and their clients in
// this process, every acknowledged command synced on a majority, 100 bytes a
// command, matched-2 (GFSLAB_BENCH_SETTING=matched3 for the other setting).
// One machine shares disk and cores among the replicas: compare only what ran
// interleaved. Run it with -benchtime=20000x or so.
func BenchmarkBareLog(b *testing.B) {
	limits := consensus.Matched2()
	if os.Getenv("GFSLAB_BENCH_SETTING") == "matched3" {
		limits = consensus.Matched3()
	}
	for _, clients := range []int{1, 64, 256, 1024} {
		for _, backend := range []string{"multipaxos", "etcdraft", "hashiraft", "unreplicated"} {
			b.Run(fmt.Sprintf("clients=%d/%s", clients, backend), func(b *testing.B) {
				n := 3
				if backend == "unreplicated" {
					n = 1
				}
				c := openBareLog(b, backend, limits, n)
				c.load(b, clients, 50*clients)
				before := c.totals()
				b.ResetTimer()
				c.load(b, clients, b.N)
				b.StopTimer()
				report(b, before, c.totals(), n)
			})
		}
	}
}

func report(b *testing.B, before, after totals, n int) {
	ops := float64(b.N)
	per := func(a, z map[string]uint64, key string) float64 { return float64(z[key]-a[key]) / ops }
	b.ReportMetric(ops/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(after.mallocs-before.mallocs)/ops, "allocs-all/op")
	b.ReportMetric((after.cpu-before.cpu).Seconds()/ops*1e5, "cpu-s/100k")
	b.ReportMetric(per(before.leader, after.leader, "fsyncs"), "leader-fsyncs/op")
	if n > 1 {
		b.ReportMetric(per(before.followers, after.followers, "fsyncs")/float64(n-1), "follower-fsyncs/op")
	}
	for _, key := range []string{"frames", "bytes"} {
		b.ReportMetric(per(before.leader, after.leader, key)+per(before.followers, after.followers, key), key+"/op")
	}
	b.ReportMetric(0, "ns/op") // of many clients at once it means nothing
	if entries := after.leader["entries"] - before.leader["entries"]; entries > 0 && !strings.Contains(b.Name(), "hashiraft") {
		b.ReportMetric(ops/float64(entries), "commands/entry")
	}
}
