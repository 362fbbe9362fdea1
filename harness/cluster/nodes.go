package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

	"gfslab/chunkserver"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	"gfslab/internal/node"
	"gfslab/kv"
	"gfslab/master"
	"gfslab/results/rundir"
	"gfslab/workloads"
)

// startMaster opens a master's next incarnation on what its disk holds.
func (c *Cluster) startMaster(ctx context.Context, m *masterNode) error {
	network := c.fabric.Incarnation(m.name)
	peer, err := c.listen(ctx, network, m.peer)
	if err != nil {
		return err
	}
	clients, err := c.listen(ctx, network, m.address)
	if err != nil {
		return errors.Join(err, peer.Close())
	}
	o := m.rec.incarnation()
	p := c.cfg.Plan
	base := node.ReplicaConfig{
		Backend: p.Backend,
		Consensus: consensus.Config{
			Cluster: "gfslab", Self: m.id, Peers: m.peers, Join: m.join, Limits: c.cfg.Limits,
			Seed: p.Seed<<8 | uint64(m.id), Observe: o.event, Logger: c.cfg.Logger.With("node", m.name),
		},
		Doors:         engine.Deps{FS: m.disk.FS(), Dir: path.Join(m.disk.Dir(), "log"), Network: network, Listener: peer},
		Clients:       clients,
		ClientAddress: c.clientAddress,
	}
	var running replica
	if workloads.IsKV(p.Workload) {
		running, err = node.StartKV(node.KVConfig{ReplicaConfig: base, KV: kv.Options{OnApply: o.applied, OnRestore: o.restored}})
	} else {
		running, err = node.StartMaster(node.MasterConfig{
			ReplicaConfig: base,
			Master: master.Options{
				Dial: network.Dial, LeaseTerm: time.Duration(p.LeaseTerm), LeaseWait: !p.Fencing, Strict: p.Strict, Seed: p.Seed, OnApply: o.applied, OnRestore: o.restored,
				Replicas: replication(p), Logger: c.cfg.Logger.With("node", m.name),
			},
		})
	}
	if err != nil {
		return fmt.Errorf("cluster: start %s: %w", m.name, err)
	}
	m.mu.Lock()
	m.running = running
	m.mu.Unlock()
	return nil
}

// replication is the goal of new chunks.
func replication(p rundir.Plan) int {
	if p.Replication > 0 {
		return p.Replication
	}
	return min(3, max(1, p.Chunkservers))
}

// clientAddress is where clients reach a member.
func (c *Cluster) clientAddress(p consensus.Peer) string {
	if i := int(p.ID) - 1; i >= 0 && i < len(c.masters) {
		return c.masters[i].address
	}
	return ""
}

// listen retries while the port is still held by the crashed incarnation or
// was taken as somebody's outgoing port.
func (c *Cluster) listen(ctx context.Context, n wire.Network, addr string) (l net.Listener, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pollErr := c.poll(ctx, func() error {
		l, err = n.Listen(addr)
		return err
	})
	if pollErr != nil {
		return nil, fmt.Errorf("cluster: listen at %s: %w", addr, pollErr)
	}
	return l, nil
}

// Crash kills a master as a power cut does, in this order: its connections are
// cut, so that nobody hears what it still says; its file system is frozen and
// rolled back to what was synced, with keepPercent of the rest; and the old
// instance shuts down in the background, writing into the void.
func (c *Cluster) Crash(name string, keepPercent int) error {
	m := c.master(name)
	if m == nil {
		return fmt.Errorf("cluster: there is no master %q", name)
	}
	m.mu.Lock()
	old := m.running
	m.running = nil
	m.mu.Unlock()
	if old == nil {
		return fmt.Errorf("cluster: %s is down already", name)
	}
	c.fabric.CloseNode(name)
	m.remember(old.Replica().Status().Counters)
	m.rec.silence()
	m.disk.Crash(keepPercent)
	c.closing.Go(func() {
		// Its errors are those of a node that lost its network and its disk.
		_ = old.Close()
	})
	return nil
}

// Restart opens a crashed master again.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	m := c.master(name)
	if m == nil {
		return fmt.Errorf("cluster: there is no master %q", name)
	}
	if m.stage.Load() == left {
		return nil // it went while it was down
	}
	if m.get() != nil {
		return fmt.Errorf("cluster: %s is up already", name)
	}
	c.fabric.OpenNode(name)
	return c.startMaster(ctx, m)
}

func (c *Cluster) startServer(s *serverNode) error {
	network := c.fabric.Incarnation(s.name)
	l, err := network.Listen(s.address)
	if err != nil {
		return fmt.Errorf("cluster: listen at %s: %w", s.address, err)
	}
	var masters []string
	for _, m := range c.present() {
		masters = append(masters, m.address)
	}
	s.running, err = chunkserver.Start(chunkserver.Options{
		Name: s.name, FS: s.disk.FS(), Dir: s.disk.Dir(), ChunkBytes: c.cfg.Plan.ChunkBytes,
		Masters: masters, Dial: network.Dial, Listener: l, HeartbeatEvery: 50 * time.Millisecond,
		Logger: c.cfg.Logger.With("node", s.name), OnEvent: s.leases.add,
	})
	if err != nil {
		return fmt.Errorf("cluster: start %s: %w", s.name, err)
	}
	return nil
}
