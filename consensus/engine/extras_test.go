package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
)

// TestStaleReadsWait for the index that they name, and for nothing else.
func TestStaleReadsWait(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		follower := (leader + 1) % 3
		at := c.must(leader, "a").Index
		c.converge()
		f := c.replicas[follower].(consensus.StaleReader)
		if index, err := f.ReadStale(t.Context(), at); err != nil || index < at {
			t.Fatalf("what is applied: %d, %v", index, err)
		}
		got := make(chan error, 3)
		read := func(ctx context.Context, atLeast uint64) {
			index, err := f.ReadStale(ctx, atLeast)
			if err == nil && index < atLeast {
				err = fmt.Errorf("index %d", index)
			}
			got <- err
		}
		ctx, cancel := context.WithCancel(t.Context())
		go read(t.Context(), at+1)
		go read(ctx, at+1000)
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("a read of the future returned: %v", err)
		default:
		}
		c.must(leader, "b")
		if err := <-got; err != nil {
			t.Fatalf("the next entry: %v", err)
		}
		cancel()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled: %v", err)
		}
		go read(t.Context(), at+1000)
		synctest.Wait()
		if err := c.replicas[follower].Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, consensus.ErrClosed) {
			t.Fatalf("closed meanwhile: %v", err)
		}
		go read(t.Context(), 0)
		if err := <-got; !errors.Is(err, consensus.ErrClosed) {
			t.Fatalf("closed before: %v", err)
		}
	})
}

// TestWhatAReadCosts in each mode: rounds, and messages that the leader sends.
func TestWhatAReadCosts(t *testing.T) {
	const readers, times = 8, 10
	for _, mode := range []consensus.ReadMode{consensus.ReadLinearizable, consensus.ReadLog, consensus.ReadStale} {
		t.Run(string(mode), func(t *testing.T) {
			each(t, func(c *cluster) { c.limits.ReadMode = mode }, func(t *testing.T, c *cluster) {
				leader := c.leader(-1)
				for i := range c.replicas {
					c.fs[i].StallSyncs(time.Millisecond)
				}
				c.must(leader, "x")
				before := c.replicas[leader].Status().Counters
				var wg sync.WaitGroup
				for range readers {
					wg.Go(func() {
						for range times {
							if index, err := c.replicas[leader].ReadBarrier(t.Context()); err != nil || index == 0 {
								t.Errorf("index %d, %v", index, err)
							}
							time.Sleep(time.Millisecond)
						}
					})
				}
				wg.Wait()
				after := c.replicas[leader].Status().Counters
				cost := func(key string) uint64 { return after[key] - before[key] }
				rounds, messages, stale := cost("read_rounds"), cost("read_messages"), cost("stale_reads")
				t.Logf("%d reads: %d rounds, %d messages", readers*times, rounds, messages)
				if mode == consensus.ReadStale {
					if rounds+messages+cost("reads") != 0 || stale != readers*times {
						t.Errorf("%d stale reads, %d rounds, %d messages", stale, rounds, messages)
					}
					return
				}
				if cost("reads") != readers*times || rounds < times || rounds > readers*times {
					t.Errorf("%d rounds for %d reads", rounds, cost("reads"))
				}
				// A message to each follower for a round; in the log as for a command, but
				// the leader's write takes a while, so that readers share entries.
				if mode == consensus.ReadLinearizable && messages != 2*rounds {
					t.Errorf("%d rounds cost %d messages", rounds, messages)
				}
				if mode == consensus.ReadLog && rounds > 3*times {
					t.Errorf("%d readers at a time took %d entries for %d reads", readers, rounds, cost("reads"))
				}
			})
		})
	}
}

// changers are the backends whose members change.
var changers = map[string]opener{"etcdraft": etcdraft.Open}

// TestCallsOfAClosedReplica, and of one that closes meanwhile.
func TestCallsOfAClosedReplica(t *testing.T) {
	eachOf(t, changers, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		r := c.replicas[leader].(*engine.Replica)
		c.isolate(leader)
		change := consensus.Change{Remove: []consensus.NodeID{c.peers[(leader+1)%3].ID}}
		results := make(chan error, 1)
		go func() {
			_, err := r.ChangeMembers(t.Context(), change)
			results <- err
		}()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-results; consensus.OutcomeOf(err) != consensus.Unknown {
			t.Errorf("a change under way: %v", err)
		}
		if _, err := r.ChangeMembers(t.Context(), change); !errors.Is(err, consensus.ErrClosed) || consensus.OutcomeOf(err) != consensus.Fail {
			t.Errorf("a change: %v", err)
		}
		if err := r.Transfer(t.Context(), 0); !errors.Is(err, consensus.ErrClosed) {
			t.Errorf("a transfer: %v", err)
		}
		if _, err := r.SnapshotNow(t.Context()); !errors.Is(err, consensus.ErrClosed) {
			t.Errorf("a snapshot: %v", err)
		}
	})
}

// TestCallsOfASilentReplica: its disk has failed.
func TestCallsOfASilentReplica(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		i := c.leader(-1)
		c.must(i, "x")
		c.fs[i].FailSyncs(errors.New("the disk is gone"))
		_, _ = c.replicas[i].Propose(t.Context(), []byte("y")) // chosen by the others, perhaps
		r := c.replicas[i].(*engine.Replica)
		for r.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if _, err := r.ChangeMembers(t.Context(), consensus.Change{Remove: []consensus.NodeID{9}}); consensus.OutcomeOf(err) != consensus.Fail {
			t.Errorf("a change: %v", err)
		}
		if err := r.Transfer(t.Context(), 0); err == nil {
			t.Error("a transfer succeeded")
		}
		if _, err := r.SnapshotNow(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("a snapshot: %v", err)
		}
		if _, err := r.ReadStale(t.Context(), 1000); err == nil {
			t.Error("a read of what will never come succeeded")
		}
		if _, err := r.ReadStale(t.Context(), 1); err != nil {
			t.Errorf("a read of what is there: %v", err)
		}
		c.fs[i].FailSyncs(nil)
	})
}

// slowWriter is a list whose snapshots take for ever to write.
type slowWriter struct {
	list
	err error
}

func (s *slowWriter) Snapshot() (consensus.Snapshot, error) { return s, s.err }
func (s *slowWriter) Release()                              {}
func (s *slowWriter) WriteTo(w io.Writer) (n int64, err error) {
	for err == nil {
		_, err = w.Write(make([]byte, 1<<10))
		time.Sleep(time.Millisecond)
	}
	return 0, err
}

// TestASnapshotThatFails, and one that is being written when the replica closes.
func TestASnapshotThatFails(t *testing.T) {
	for backend, open := range replicated {
		t.Run(backend, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				machine := &slowWriter{err: errors.New("no memory")}
				c := newCluster(t, func(cfg consensus.Config, deps engine.Deps) (consensus.Replica, error) {
					if cfg.Self == 1 {
						cfg.StateMachine = machine
					}
					return open(cfg, deps)
				}, nil)
				defer c.close()
				c.must(c.leader(-1), "x")
				r := c.replicas[0].(*engine.Replica)
				if _, err := r.ReadStale(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				if _, err := r.SnapshotNow(t.Context()); !errors.Is(err, machine.err) {
					t.Fatalf("a capture that fails: %v", err)
				}
				machine.err = nil
				results := make(chan error, 1)
				go func() {
					_, err := r.SnapshotNow(t.Context())
					results <- err
				}()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := r.SnapshotNow(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("a caller that cannot wait: %v", err)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				if err := <-results; !errors.Is(err, consensus.ErrClosed) {
					t.Fatalf("closed meanwhile: %v", err)
				}
				if names, err := c.fs[0].List("log"); err != nil || strings.Contains(fmt.Sprint(names), "snap") {
					t.Fatalf("left behind: %v, %v", names, err)
				}
			})
		})
	}
}
