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
	"gfslab/consensus/multipaxos"
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
var changers = map[string]opener{"multipaxos": multipaxos.Open, "etcdraft": etcdraft.Open}

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

// TestAMemberThatSleptThroughAllChanges: while node 2 is down both others are
// replaced, and closed. It is opened with the peers that it founded the cluster
// with, and learns of the new ones because they call it.
func TestAMemberThatSleptThroughAllChanges(t *testing.T) {
	for _, compact := range []bool{false, true} {
		t.Run(fmt.Sprintf("compact=%v", compact), func(t *testing.T) {
			eachOf(t, changers, nil, func(t *testing.T, c *cluster) {
				c.must(c.leader(-1), "before")
				c.converge()
				c.fabric.CloseNode(name(1))
				c.fs[1] = c.fs[1].Crash(100)
				if err := c.replicas[1].Close(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				for _, old := range []int{0, 2} {
					joined := c.join()
					c.replace(old, joined)
					// The others must know that it is done: until then they need the vote of
					// the one that goes.
					for i := 0; ; i++ {
						if m := c.replicas[joined].(consensus.Membership).Members(); m.IsVoter(c.peers[joined].ID) && len(m.Outgoing) == 0 && !m.IsMember(c.peers[old].ID) {
							break
						}
						if i == 1000 {
							t.Fatalf("node %d believes in %+v", joined+1, c.replicas[joined].(consensus.Membership).Members())
						}
						time.Sleep(10 * time.Millisecond)
					}
					if err := c.replicas[old].Close(); err != nil {
						t.Fatal(err)
					}
				}
				c.must(c.leader(-1), "after")
				if compact {
					for _, i := range []int{3, 4} {
						if _, err := c.replicas[i].(consensus.Snapshotter).SnapshotNow(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
				}
				c.fabric.OpenNode(name(1))
				c.start(1)
				for range 1000 {
					if got := c.machines[1].all(); len(got) == 2 && got[1] == "after" {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				if got := c.machines[1].all(); len(got) != 2 {
					t.Fatalf("node 2 holds %v; %+v", got, c.replicas[1].Status())
				}
				for i := range 1000 {
					m := c.replicas[1].(consensus.Membership).Members()
					if m.IsVoter(4) && m.IsVoter(5) && m.IsVoter(2) && len(m.All()) == 3 && len(m.Outgoing) == 0 {
						break
					}
					if i == 999 {
						t.Fatalf("node 2 believes in %+v", m)
					}
					time.Sleep(10 * time.Millisecond)
				}
				// It counts: one of the others may go.
				gone := c.leader(-1)
				if gone == 1 {
					gone = 3
				}
				if err := c.replicas[gone].Close(); err != nil {
					t.Fatal(err)
				}
				c.must(c.leader(gone), "with node 2")
			})
		})
	}
}

// replace makes one node a member in the place of another, through whoever leads.
func (c *cluster) replace(old, joined int) {
	c.t.Helper()
	change := consensus.Change{AddVoters: []consensus.Peer{c.peers[joined]}, Remove: []consensus.NodeID{c.peers[old].ID}}
	for range 100 {
		leader := c.leader(-1)
		m, err := c.replicas[leader].(consensus.Membership).ChangeMembers(c.t.Context(), change)
		if err == nil {
			if !m.IsVoter(c.peers[joined].ID) || m.IsMember(c.peers[old].ID) {
				c.t.Fatalf("the change made %+v", m)
			}
			return
		}
		if m := c.replicas[leader].(consensus.Membership).Members(); errors.Is(err, consensus.ErrRefused) && m.IsVoter(c.peers[joined].ID) {
			return // an attempt whose outcome was unknown
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatal("the change was not made")
}
