package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
	"gfslab/harness/nemesis"
	faultnet "gfslab/internal/fault/net"
	"gfslab/internal/node"
	"gfslab/results/rundir"
)

// Config says what to start.
type Config struct {
	Plan   rundir.Plan
	Limits consensus.Limits
	World  World
	// Start is the zero of the run's clock; every record is stamped in nanoseconds
	// since then.
	Start  time.Time
	Logger *slog.Logger
}

// Cluster is a running cell. Its methods may be called from any goroutine,
// but a node is crashed and restarted by one goroutine at a time.
type Cluster struct {
	cfg    Config
	fabric *faultnet.Fabric
	// masters and servers are in order of their names. Masters that may join later
	// are there from the start.
	masters []*masterNode
	servers []*serverNode
	// closing waits for crashed instances that shut down in the background.
	closing sync.WaitGroup
}

var _ nemesis.Target = (*Cluster)(nil)

// replica is a running node that holds a replica: a master, or a node of the
// key-value store.
type replica interface {
	Replica() consensus.Replica
	Close() error
}

// masterNode is one node that holds a replica, over all its incarnations.
type masterNode struct {
	name    string
	id      consensus.NodeID
	address string // where clients reach it
	peer    string // where the other masters do
	// peers are whom it knows when it starts for the first time: the founders, or
	// with join those that it joins.
	peers []consensus.Peer
	join  bool
	stage atomic.Int32 // see the stages
	disk  Disk
	rec   *recorder
	// replicas are the events of its work on replicas, while it led.
	replicas *replicaLog

	mu      sync.Mutex
	silent  bool    // it left while it was down
	running replica // nil while crashed
	// past are the counters of the incarnations that crashed, added up.
	past map[string]uint64
	// slowed is the number of syncs when the disk became slow.
	slowed uint64
}

// Start starts the cell and waits until a master leads and, if there are
// chunkservers, the leader knows them all.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, fabric: faultnet.NewFabric(cfg.World.Network)}
	for i := range cfg.Plan.Replicas + cfg.Plan.Replace {
		m := &masterNode{name: fmt.Sprintf("m%d", i+1), id: consensus.NodeID(i + 1)}
		m.rec = &recorder{node: m.name, now: func() int64 { return int64(time.Since(cfg.Start)) }, session: sessionOf(cfg.Plan)}
		m.replicas = &replicaLog{node: m.name, start: cfg.Start}
		m.address = cfg.World.Address(m.name + "-client")
		m.peer = cfg.World.Address(m.name + "-peer")
		c.masters = append(c.masters, m)
		if i < cfg.Plan.Replicas {
			m.stage.Store(member)
		}
	}
	founders := c.peers()
	for _, m := range c.present() {
		m.peers = founders
		if err := c.firstStart(ctx, m); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	if err := c.startServers(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// awaitReady polls until the cell can serve.
func (c *Cluster) awaitReady(ctx context.Context) error {
	return c.poll(ctx, func() error {
		name, _, ok := c.Leader()
		if !ok {
			return errors.New("no master leads")
		}
		for _, m := range c.present() {
			if m.name != name || len(c.servers) == 0 {
				continue
			}
			if m, up := m.get().(*node.Master); !up || m.AliveChunkservers() < len(c.servers) {
				return errors.New("not every chunkserver has reported to the leader")
			}
		}
		return nil
	})
}

// poll calls check every few milliseconds until it returns nil or ctx ends; the
// error then says what was still missing.
func (c *Cluster) poll(ctx context.Context, check func() error) error {
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster: %w: %w", err, ctx.Err())
		case <-t.C:
		}
	}
}

// Masters names the masters that are in the cell now, in order.
func (c *Cluster) Masters() []string {
	var names []string
	for _, m := range c.present() {
		names = append(names, m.name)
	}
	return names
}

// Nodes names all nodes, masters first.
func (c *Cluster) Nodes() []string {
	names := c.Masters()
	for _, s := range c.servers {
		names = append(names, s.name)
	}
	return names
}

// MasterAddresses maps the present masters' ids to where clients reach them.
func (c *Cluster) MasterAddresses() map[uint64]string {
	out := map[uint64]string{}
	for _, m := range c.present() {
		out[uint64(m.id)] = m.address
	}
	return out
}

// Dialer dials as the named participant ("client").
func (c *Cluster) Dialer(name string) node.Dialer { return c.fabric.Node(name).Dial }

func (c *Cluster) master(name string) *masterNode {
	i := slices.IndexFunc(c.masters, func(m *masterNode) bool { return m.name == name })
	if i < 0 {
		return nil
	}
	return c.masters[i]
}

func (m *masterNode) get() replica {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running
}

// Status returns what a master's replica believes; ok is false while it is
// down.
func (c *Cluster) Status(name string) (s consensus.Status, ok bool) {
	m := c.master(name)
	if m == nil {
		return s, false
	}
	running := m.get()
	if running == nil {
		return s, false
	}
	return running.Replica().Status(), true
}

// Leader returns the master that leads at the highest term.
func (c *Cluster) Leader() (name string, term uint64, ok bool) {
	for _, m := range c.masters {
		if s, up := c.Status(m.name); up && s.Role == consensus.Leader && s.Term >= term {
			name, term, ok = m.name, s.Term, true
		}
	}
	return name, term, ok
}

// Cut stalls bytes on the peer links from one master to another; Heal undoes
// it.
func (c *Cluster) Cut(from, to string)  { c.fabric.Cut(from, to) }
func (c *Cluster) Heal(from, to string) { c.fabric.Heal(from, to) }

// Felt counts how often cuts and crashes have touched a connection.
func (c *Cluster) Felt() uint64 {
	s := c.fabric.Stats()
	return s.Stalled + s.Refused + s.Killed
}

// Events returns the protocol events of all masters by time.
func (c *Cluster) Events() []nemesis.Seen {
	var all []nemesis.Seen
	for _, m := range c.masters {
		all = append(all, m.rec.seen()...)
	}
	slices.SortStableFunc(all, func(a, b nemesis.Seen) int { return int(a.At - b.At) })
	return all
}

// Quiesce waits until every master is up and has applied every command that the
// leader had applied after a barrier of its own. Entries of the protocol itself
// do not count: a replica may report them late or never.
func (c *Cluster) Quiesce(ctx context.Context) error {
	var target uint64
	if err := c.poll(ctx, func() error {
		name, _, ok := c.Leader()
		if !ok {
			return errors.New("no master leads")
		}
		m := c.master(name)
		running := m.get()
		if running == nil {
			return fmt.Errorf("%s is down", name)
		}
		if _, err := running.Replica().ReadBarrier(ctx); err != nil {
			return err
		}
		target = m.rec.last()
		return nil
	}); err != nil {
		return err
	}
	return c.poll(ctx, func() error {
		for _, m := range c.present() {
			if m.get() == nil {
				return fmt.Errorf("%s is down", m.name)
			}
			if at := m.rec.last(); at < target {
				return fmt.Errorf("%s has applied commands up to index %d of %d", m.name, at, target)
			}
		}
		return nil
	})
}

// Quiet waits until every node is up and every master follows one leader.
func (c *Cluster) Quiet(ctx context.Context) error {
	return c.poll(ctx, func() error {
		name, _, ok := c.Leader()
		if !ok {
			return errors.New("no master leads")
		}
		leader := c.master(name).id
		for _, m := range c.present() {
			s, up := c.Status(m.name)
			if !up {
				return fmt.Errorf("%s is down", m.name)
			}
			if s.Leader != leader {
				return fmt.Errorf("%s follows node %d, not %d", m.name, s.Leader, leader)
			}
		}
		for _, s := range c.servers {
			if s.get() == nil {
				return fmt.Errorf("%s is down", s.name)
			}
		}
		return nil
	})
}

// Close stops every node and waits for crashed instances that still shut down. The
// masters go first: else they would have the chunks of those that went before cloned.
func (c *Cluster) Close() error {
	c.fabric.HealAll() // a node that waits for a cut link could not close
	var errs []error
	for _, m := range c.masters {
		m.mu.Lock()
		running := m.running
		m.running = nil
		m.mu.Unlock()
		if running != nil {
			m.rec.silence()
			errs = append(errs, running.Close())
		}
	}
	for _, s := range c.servers {
		if running := s.stop(); running != nil {
			errs = append(errs, running.Close())
		}
	}
	c.closing.Wait()
	return errors.Join(errs...)
}
