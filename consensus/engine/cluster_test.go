package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/etcdraft"
	"gfslab/consensus/multipaxos"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type opener func(consensus.Config, engine.Deps) (consensus.Replica, error)

var replicated = map[string]opener{"multipaxos": multipaxos.Open, "etcdraft": etcdraft.Open}

// list is a state machine that remembers every command in its order.
type list struct {
	mu       sync.Mutex
	commands []string
	restored int
	delay    time.Duration
}

func (l *list) Apply(_ uint64, commands [][]byte) [][]byte {
	if l.delay > 0 {
		time.Sleep(l.delay)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	results := make([][]byte, len(commands))
	for i, c := range commands {
		l.commands = append(l.commands, string(c))
		results[i] = fmt.Appendf(nil, "%d", len(l.commands))
	}
	return results
}

func (l *list) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.commands)
}

func (l *list) Snapshot() (consensus.Snapshot, error) { return listSnapshot(l.all()), nil }

func (l *list) Restore(r io.Reader) error {
	var commands []string
	if err := json.NewDecoder(r).Decode(&commands); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands, l.restored = commands, l.restored+1
	return nil
}

type listSnapshot []string

func (s listSnapshot) WriteTo(w io.Writer) (int64, error) { return 0, json.NewEncoder(w).Encode(s) }
func (s listSnapshot) Release()                           {}

// cluster is three replicas on memory disks and links that can fail.
type cluster struct {
	t        *testing.T
	open     opener
	limits   consensus.Limits
	delay    time.Duration
	fabric   *faultnet.Fabric
	peers    []consensus.Peer
	fs       []*faultdisk.FS
	machines []*list
	replicas []consensus.Replica
	mu       sync.Mutex
	events   []consensus.Event
}

func name(i int) string { return fmt.Sprintf("n%d", i+1) }

func newCluster(t *testing.T, open opener, change func(*cluster)) *cluster {
	c := &cluster{t: t, open: open, limits: consensus.Matched2(), fabric: faultnet.NewFabric(wire.NewMemory())}
	for i := range 3 {
		c.peers = append(c.peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: name(i) + ":1"})
		c.fs = append(c.fs, faultdisk.NewMem(uint64(i)))
	}
	if change != nil {
		change(c)
	}
	c.machines, c.replicas = make([]*list, 3), make([]consensus.Replica, 3)
	for i := range 3 {
		c.start(i)
	}
	return c
}

func (c *cluster) start(i int) {
	c.t.Helper()
	c.startOn(i, c.fs[i])
}

func (c *cluster) startOn(i int, fs disk.FS) {
	c.t.Helper()
	if err := c.tryOn(i, fs); err != nil {
		c.t.Fatal(err)
	}
}

// told are the peers that node i is given when it is opened: the founders, and
// itself.
func (c *cluster) told(i int) []consensus.Peer {
	if i < 3 {
		return c.peers[:3]
	}
	return append(slices.Clone(c.peers[:3]), c.peers[i])
}

// join starts a node that is no member yet.
func (c *cluster) join() int {
	i := len(c.peers)
	c.peers = append(c.peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: name(i) + ":1"})
	c.fs = append(c.fs, faultdisk.NewMem(uint64(i)))
	c.machines, c.replicas = append(c.machines, nil), append(c.replicas, nil)
	c.start(i)
	return i
}

func (c *cluster) tryOn(i int, fs disk.FS) error {
	c.machines[i] = &list{delay: c.delay}
	r, err := c.open(consensus.Config{
		Cluster: "test", Self: c.peers[i].ID, Peers: c.told(i), Join: i >= 3, Limits: c.limits, StateMachine: c.machines[i], Seed: uint64(i),
		Observe: func(e consensus.Event) {
			if e.Kind != consensus.EventApplying {
				c.mu.Lock()
				c.events = append(c.events, e)
				c.mu.Unlock()
			}
		},
	}, engine.Deps{FS: fs, Dir: "log", Network: c.fabric.Node(name(i))})
	c.replicas[i] = r
	return err
}

func (c *cluster) close() {
	c.fabric.HealAll()
	for _, r := range c.replicas {
		if err := r.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

// crash cuts the node off, loses what it had not synced, and opens it again.
func (c *cluster) crash(i int) {
	c.fabric.CloseNode(name(i))
	next := c.fs[i].Crash(0)
	old := c.replicas[i]
	if err := old.Close(); err != nil {
		c.t.Logf("closing the crashed node %d: %v", i+1, err)
	}
	c.fs[i] = next
	c.fabric.OpenNode(name(i))
	c.start(i)
}

// leader waits for a replica, other than not, that leads and serves reads.
func (c *cluster) leader(not int) int {
	c.t.Helper()
	for range 500 {
		for i, r := range c.replicas {
			if i != not && r.Status().Role == consensus.Leader {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_, err := r.ReadBarrier(ctx)
				cancel()
				if err == nil {
					return i
				}
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	for i, r := range c.replicas {
		c.t.Logf("node %d: %+v", i+1, r.Status())
	}
	c.t.Fatal("no leader within 10 s")
	return -1
}

func (c *cluster) isolate(i int) {
	for j := range c.peers {
		if j != i {
			c.fabric.Cut(name(i), name(j))
			c.fabric.Cut(name(j), name(i))
		}
	}
}

// converge waits until all machines hold the same commands.
func (c *cluster) converge() []string {
	c.t.Helper()
	for range 1000 {
		a, b, d := c.machines[0].all(), c.machines[1].all(), c.machines[2].all()
		if slices.Equal(a, b) && slices.Equal(b, d) {
			return a
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i := range c.replicas {
		c.t.Logf("node %d: %+v, %d commands", i+1, c.replicas[i].Status(), len(c.machines[i].all()))
	}
	c.t.Fatal("the replicas do not agree within 10 s")
	return nil
}

func (c *cluster) must(i int, command string) consensus.Result {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := c.replicas[i].Propose(ctx, []byte(command))
	if err != nil {
		c.t.Fatalf("proposing %q to node %d: %v", command, i+1, err)
	}
	return r
}

// each runs a test in a bubble of virtual time for every replicated backend.
func each(t *testing.T, change func(*cluster), body func(t *testing.T, c *cluster)) {
	eachOf(t, replicated, change, body)
}

func eachOf(t *testing.T, backends map[string]opener, change func(*cluster), body func(t *testing.T, c *cluster)) {
	for backend, open := range backends {
		t.Run(backend, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, open, change)
				defer c.close()
				body(t, c)
			})
		})
	}
}

func TestCommandsReachAllInOneOrder(t *testing.T) {
	for _, parallel := range []bool{true, false} {
		t.Run(fmt.Sprintf("leader-disk-parallel=%v", parallel), func(t *testing.T) {
			each(t, func(c *cluster) { c.limits.LeaderDiskParallel = parallel }, func(t *testing.T, c *cluster) {
				leader := c.leader(-1)
				var clients sync.WaitGroup
				for client := range 20 {
					clients.Go(func() {
						before := consensus.Result{}
						for i := range 10 {
							r := c.must(leader, fmt.Sprintf("%d-%d", client, i))
							if r.Index < before.Index || r.Index == before.Index && r.Offset <= before.Offset {
								t.Errorf("client %d: result %d.%d follows %d.%d", client, r.Index, r.Offset, before.Index, before.Offset)
							}
							before = r
						}
					})
				}
				clients.Wait()
				if got := c.converge(); len(got) != 200 {
					t.Fatalf("%d commands were applied, want 200", len(got))
				}
			})
		})
	}
}

func TestFollowerNamesTheLeader(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		follower := (leader + 1) % 3
		c.must(leader, "x")
		c.converge() // so that the follower has heard of the leader
		_, err := c.replicas[follower].Propose(t.Context(), []byte("x"))
		_, readErr := c.replicas[follower].ReadBarrier(t.Context())
		for _, err := range []error{err, readErr} {
			var not *consensus.NotLeaderError
			if !errors.As(err, &not) || not.Hint != c.peers[leader].ID {
				t.Errorf("got %v, want NotLeader with the hint %d", err, leader+1)
			}
		}
	})
}

func TestIsolatedLeaderLeavesItsProposalsUnknown(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		old := c.leader(-1)
		c.must(old, "before")
		c.isolate(old)
		var calls sync.WaitGroup
		for i := range 5 {
			calls.Go(func() {
				_, err := c.replicas[old].Propose(t.Context(), fmt.Appendf(nil, "lost-%d", i))
				if !errors.Is(err, consensus.ErrUnknown) {
					t.Errorf("proposing to an isolated leader: %v, want ErrUnknown", err)
				}
			})
		}
		calls.Go(func() {
			_, err := c.replicas[old].ReadBarrier(t.Context())
			var not *consensus.NotLeaderError
			if !errors.As(err, &not) {
				t.Errorf("reading from an isolated leader: %v, want NotLeader", err)
			}
		})
		calls.Wait() // check-quorum ends them: no deadline was given
		next := c.leader(old)
		c.must(next, "after")
		c.fabric.HealAll()
		got := c.converge()
		if !slices.Contains(got, "before") || !slices.Contains(got, "after") {
			t.Fatalf("acknowledged commands are missing: %v", got)
		}
	})
}

func TestCrashesKeepWhatWasAcknowledged(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		var want []string
		for round := range 6 {
			leader := c.leader(-1)
			for i := range 5 {
				command := fmt.Sprintf("%d-%d", round, i)
				c.must(leader, command)
				want = append(want, command)
			}
			c.crash(leader)
			if round%2 == 1 {
				c.crash((leader + 1) % 3)
				c.crash((leader + 1) % 3)
			}
		}
		c.leader(-1)
		if got := c.converge(); !slices.Equal(got, want) {
			t.Fatalf("after the crashes %v, want %v", got, want)
		}
	})
}

func TestReadsWaitForASlowStateMachine(t *testing.T) {
	each(t, func(c *cluster) { c.delay = 30 * time.Millisecond }, func(t *testing.T, c *cluster) {
		for range 3 {
			leader := c.leader(-1)
			for i := range 5 {
				c.must(leader, fmt.Sprint(i))
			}
			acknowledged := len(c.machines[leader].all())
			c.isolate(leader)
			next := c.leader(leader)
			if got := len(c.machines[next].all()); got < acknowledged {
				t.Fatalf("a read saw %d commands, but %d had been acknowledged", got, acknowledged)
			}
			c.fabric.HealAll()
		}
	})
}

func TestConcurrentReadersShareRounds(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		c.must(leader, "x")
		c.isolate(leader) // for less than an election timeout: the first round stays out
		before := c.replicas[leader].Status().Counters["read_rounds"]
		var readers sync.WaitGroup
		for range 100 {
			readers.Go(func() {
				index, err := c.replicas[leader].ReadBarrier(t.Context())
				if err != nil || index == 0 {
					t.Errorf("ReadBarrier: %d, %v", index, err)
				}
			})
		}
		time.Sleep(30 * time.Millisecond)
		c.fabric.HealAll()
		readers.Wait()
		if rounds := c.replicas[leader].Status().Counters["read_rounds"] - before; rounds < 1 || rounds > 2 {
			t.Errorf("100 readers at once took %d rounds, want at most 2", rounds)
		}
	})
}

func TestReadersLeaveWithTheirContext(t *testing.T) {
	each(t, func(c *cluster) { c.limits.CheckQuorum = false }, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		c.isolate(leader)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.replicas[leader].ReadBarrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the deadline", err)
		}
	})
}

func TestFailedLogSilencesTheReplica(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		c.must(leader, "before")
		c.fs[leader].FailSyncs(errors.New("the disk is gone"))
		// The followers' disks alone may choose it, so success is an honest answer.
		if _, err := c.replicas[leader].Propose(t.Context(), []byte("lost")); err != nil && !errors.Is(err, consensus.ErrUnknown) {
			t.Fatalf("a proposal whose write failed: %v, want success or ErrUnknown", err)
		}
		synctest.Wait()
		_, err := c.replicas[leader].Propose(t.Context(), []byte("later"))
		if consensus.OutcomeOf(err) != consensus.Fail {
			t.Fatalf("a proposal to a silent replica: %v, want a sure failure", err)
		}
		if err := c.replicas[leader].(*engine.Replica).Err(); err == nil {
			t.Error("the replica does not say why it is silent")
		}
		next := c.leader(leader)
		c.must(next, "after")
		c.fs[leader].FailSyncs(nil)
		c.crash(leader)
		got := c.converge()
		if !slices.Contains(got, "before") || !slices.Contains(got, "after") {
			t.Fatalf("acknowledged commands are missing: %v", got)
		}
	})
}

func TestCloseUnderLoad(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		for _, fs := range c.fs {
			fs.StallSyncs(time.Millisecond) // virtual time passes only while all wait
		}
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				for {
					_, err := c.replicas[leader].Propose(t.Context(), []byte("x"))
					_, readErr := c.replicas[leader].ReadBarrier(t.Context())
					if errors.Is(err, consensus.ErrClosed) && errors.Is(readErr, consensus.ErrClosed) {
						return
					}
					if err != nil && !errors.Is(err, consensus.ErrUnknown) && !errors.Is(err, consensus.ErrClosed) {
						t.Errorf("proposing while the replica closes: %v", err)
					}
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		if err := c.replicas[leader].Close(); err != nil {
			t.Error(err)
		}
		clients.Wait()
		if n := len(c.machines[leader].all()); n < 1000 {
			t.Errorf("only %d commands were applied before Close", n)
		}
	})
}

func TestEventsTellAnElection(t *testing.T) {
	each(t, nil, func(t *testing.T, c *cluster) {
		leader := c.leader(-1)
		c.must(leader, "x")
		term := c.replicas[leader].Status().Term
		c.mu.Lock()
		defer c.mu.Unlock()
		var kinds []consensus.EventKind
		for _, e := range c.events {
			if e.Node == c.peers[leader].ID && (e.Term == term || e.Kind == consensus.EventCampaign) {
				kinds = append(kinds, e.Kind)
			}
		}
		n := len(kinds)
		if n < 3 || kinds[0] != consensus.EventCampaign || !slices.Equal(kinds[n-2:], []consensus.EventKind{consensus.EventLeader, consensus.EventCommit}) {
			t.Fatalf("events of the leader: %v", kinds)
		}
	})
}

func TestAnotherProtocolsLogIsRefused(t *testing.T) {
	fs := faultdisk.NewMem(1)
	cfg := consensus.Config{
		Cluster: "test", Self: 1, Peers: []consensus.Peer{{ID: 1, Addr: "n1:1"}}, Limits: consensus.Matched2(), StateMachine: &list{},
	}
	r, err := multipaxos.Open(cfg, engine.Deps{FS: fs, Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := etcdraft.Open(cfg, engine.Deps{FS: fs, Dir: "log"}); err == nil {
		t.Errorf("etcdraft opened a log of multipaxos: %v", r.Close())
	}
}
