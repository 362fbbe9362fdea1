package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

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
				Replicas: replication(p), DeadAfter: time.Duration(p.DeadAfter), ReplicateAfter: time.Duration(p.ReplicateAfter),
				OrphanAge: time.Duration(p.OrphanAge), BalanceEvery: balanceEvery(p), CloneBytesPerSecond: p.CloneRate, OnReplication: m.replicas.add, Logger: c.cfg.Logger.With("node", m.name),
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

// balanceEvery turns moves between chunkservers off in a run that waits for rest:
// they would begin again while it looks.
func balanceEvery(p rundir.Plan) time.Duration {
	if p.Settle > 0 {
		return -1
	}
	return 0
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
