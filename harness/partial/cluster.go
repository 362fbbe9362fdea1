package partial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/harness/cluster"
	faultnet "gfslab/internal/fault/net"
	"gfslab/internal/node"
)

// member is one replica and who proposes at it.
type member struct {
	id      consensus.NodeID
	name    string
	replica consensus.Replica
	leading atomic.Bool
}

// world is the cluster of one trial, in a bubble.
type world struct {
	fabric  *faultnet.Fabric
	members []*member
	load    sync.WaitGroup
	cancel  context.CancelFunc
	paused  atomic.Bool

	mu      sync.Mutex
	commits []commit
	leads   []time.Time // when somebody became leader
}

// commit is a proposal that was applied where it was made.
type commit struct {
	began, ended time.Time
	by           consensus.NodeID
}

// machine is a state machine that does nothing.
type machine struct{}

func (machine) Apply(_ uint64, commands [][]byte) [][]byte { return make([][]byte, len(commands)) }
func (machine) Snapshot() (consensus.Snapshot, error)      { return empty{}, nil }
func (machine) Restore(io.Reader) error                    { return nil }

type empty struct{}

func (empty) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (empty) Release()                         {}

// open starts a cluster of the mode.
func open(m Mode, nodes int, seed uint64) (*world, error) {
	place := cluster.VirtualWorld(seed)
	w := &world{fabric: faultnet.NewFabric(place.Network), cancel: func() {}}
	var peers []consensus.Peer
	for i := range nodes {
		n := &member{id: consensus.NodeID(i + 1), name: fmt.Sprintf("n%d", i+1)}
		w.members = append(w.members, n)
		peers = append(peers, consensus.Peer{ID: n.id, Addr: place.Address(n.name)})
	}
	for i, n := range w.members {
		disk, err := place.Disk(n.name)
		if err != nil {
			return w, err
		}
		network := w.fabric.Node(n.name)
		listener, err := network.Listen(peers[i].Addr)
		if err != nil {
			return w, err
		}
		n.replica, err = node.OpenReplica(m.Backend, consensus.Config{
			Cluster: "partial", Self: n.id, Peers: peers, Limits: m.Limits(), StateMachine: machine{},
			Seed: rand.New(rand.NewPCG(seed, uint64(n.id))).Uint64(), Observe: func(e consensus.Event) { w.observe(n, e) },
		}, engine.Deps{FS: disk.FS(), Dir: disk.Dir(), Network: network, Listener: listener})
		if err != nil {
			return w, fmt.Errorf("open %s: %w", n.name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	for _, n := range w.members {
		w.load.Go(func() { w.propose(ctx, n) })
	}
	return w, nil
}

// observe is called from the replicas' goroutines.
func (w *world) observe(n *member, e consensus.Event) {
	switch e.Kind {
	case consensus.EventLeader:
		n.leading.Store(true)
		w.mu.Lock()
		w.leads = append(w.leads, time.Now())
		w.mu.Unlock()
	case consensus.EventStepDown:
		n.leading.Store(false)
	}
}

// Every pace a member that leads is given a command, unless the last is still under
// way; that is given up after patience.
const (
	pace     = 5 * time.Millisecond
	patience = 200 * time.Millisecond
)

func (w *world) propose(ctx context.Context, n *member) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !n.leading.Load() || w.paused.Load() {
			continue
		}
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, patience)
		_, err := n.replica.Propose(attempt, []byte("a command"))
		cancel()
		if err == nil {
			w.mu.Lock()
			w.commits = append(w.commits, commit{began, time.Now(), n.id})
			w.mu.Unlock()
		}
	}
}

// close ends everything.
func (w *world) close() error {
	w.fabric.HealAll()
	w.cancel()
	w.load.Wait()
	var errs []error
	for _, n := range w.members {
		if n.replica != nil {
			errs = append(errs, n.replica.Close())
		}
	}
	return errors.Join(errs...)
}

// leader returns who leads with everybody's knowledge, 0 if nobody does.
func (w *world) leader() consensus.NodeID {
	var leader consensus.NodeID
	for i, n := range w.members {
		s := n.replica.Status()
		if i == 0 {
			leader = s.Leader
		}
		if s.Leader == 0 || s.Leader != leader {
			return 0
		}
	}
	return leader
}

// last returns each member's last index.
func (w *world) last() []uint64 {
	out := make([]uint64, len(w.members))
	for i, n := range w.members {
		out[i] = n.replica.Status().Last
	}
	return out
}

// await waits until done holds, at most limit.
func await(limit time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(limit); !done(); {
		if time.Now().After(deadline) {
			return false
		}
		rest(2 * time.Millisecond)
	}
	return true
}

// rest lets virtual time pass.
func rest(d time.Duration) { <-time.NewTimer(d).C }
