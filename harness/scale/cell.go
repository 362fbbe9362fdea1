package scale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"gfslab/client"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	"gfslab/harness/cluster"
	"gfslab/internal/disk"
	"gfslab/internal/node"
	"gfslab/master"
)

// cell is three masters on plain files and loopback TCP, in this process.
type cell struct {
	backend string
	dir     string
	limits  consensus.Limits
	peers   []consensus.Peer
	clients []string // addresses
	nodes   []*cellNode
}

// cellNode is one master, or the place of one that is stopped.
type cellNode struct {
	running  *node.Master
	restored atomic.Uint64 // index of the newest snapshot put into the state machine
	files    *disk.Counted
}

func openCell(backend, dir string, limits consensus.Limits, seed uint64) (*cell, error) {
	c := &cell{backend: backend, dir: dir, limits: limits}
	address := cluster.Addresses(rand.New(rand.NewPCG(seed, 0x5ca1e)))
	for i := range 3 {
		c.peers = append(c.peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: address(fmt.Sprint("peer", i))})
		c.clients = append(c.clients, address(fmt.Sprint("client", i)))
		c.nodes = append(c.nodes, &cellNode{files: disk.Count(disk.Default)})
	}
	for i := range c.nodes {
		if err := c.start(i); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

// start opens a master on what its folder holds.
func (c *cell) start(i int) error {
	dir := filepath.Join(c.dir, fmt.Sprintf("m%d", i+1))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	l, err := wire.TCP().Listen(c.clients[i])
	if err != nil {
		return err
	}
	n := c.nodes[i]
	n.restored.Store(0)
	n.running, err = node.StartMaster(node.MasterConfig{
		ReplicaConfig: node.ReplicaConfig{
			Backend: c.backend,
			Consensus: consensus.Config{
				Cluster: "scale", Self: c.peers[i].ID, Peers: c.peers, Limits: c.limits, Seed: uint64(i + 1),
				Observe: func(e consensus.Event) {
					if e.Kind == consensus.EventRestored {
						n.restored.Store(e.Index)
					}
				},
			},
			Doors:   engine.Deps{FS: n.files, Dir: dir, Network: wire.TCP()},
			Clients: l,
			ClientAddress: func(p consensus.Peer) string {
				if p.ID < 1 || int(p.ID) > len(c.clients) {
					return ""
				}
				return c.clients[p.ID-1]
			},
		},
		Master: master.Options{Dial: wire.TCP().Dial, Logger: slog.New(slog.DiscardHandler)},
	})
	return err
}

func (c *cell) stop(i int) error {
	n := c.nodes[i]
	if n.running == nil {
		return nil
	}
	err := n.running.Close()
	n.running = nil
	return err
}

func (c *cell) close() (err error) {
	for i := range c.nodes {
		err = errors.Join(err, c.stop(i))
	}
	return err
}

// status is what a running node says; the zero Status of one that is stopped.
func (c *cell) status(i int) consensus.Status {
	if n := c.nodes[i].running; n != nil {
		return n.Replica().Status()
	}
	return consensus.Status{}
}

// leader waits for a leader that answers a read, and returns its place.
func (c *cell) leader(ctx context.Context) (int, error) {
	for {
		for i := range c.nodes {
			if c.status(i).Role != consensus.Leader {
				continue
			}
			if _, err := c.nodes[i].running.Replica().ReadBarrier(ctx); err == nil {
				return i, nil
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return 0, fmt.Errorf("scale: %s has no leader: %w", c.backend, err)
		}
	}
}

// follower is a running node that does not lead.
func (c *cell) follower(ctx context.Context) (int, error) {
	leader, err := c.leader(ctx)
	return (leader + 1) % len(c.nodes), err
}

// reach waits until a node has applied index.
func (c *cell) reach(ctx context.Context, i int, index uint64) error {
	at, since := uint64(0), time.Now()
	for {
		now := c.status(i).Applied
		if now >= index {
			return nil
		}
		if now != at {
			at, since = now, time.Now()
		}
		if time.Since(since) > standstill {
			return fmt.Errorf("scale: node %d of %s has applied %d, not %d, and nothing for %v", i+1, c.backend, now, index, standstill)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("scale: node %d of %s has applied %d, not %d: %w", i+1, c.backend, now, index, err)
		}
	}
}

// standstill is after what time a node that applies nothing has failed; a snapshot of
// a large namespace takes seconds to arrive and to load.
const standstill = 2 * time.Minute

// snapshot makes the given nodes take a snapshot, all at once, and waits.
func (c *cell) snapshot(ctx context.Context, nodes ...int) ([]consensus.SnapshotInfo, error) {
	infos := make([]consensus.SnapshotInfo, len(nodes))
	errs := make(chan error, len(nodes))
	for k, i := range nodes {
		s, ok := c.nodes[i].running.Replica().(consensus.Snapshotter)
		if !ok {
			return nil, fmt.Errorf("scale: %s takes no snapshots", c.backend)
		}
		go func() {
			info, err := s.SnapshotNow(ctx)
			infos[k] = info
			errs <- err
		}()
	}
	var err error
	for range nodes {
		err = errors.Join(err, <-errs)
	}
	return infos, err
}

// masters are the addresses for clients.
func (c *cell) masters() []client.Master {
	var all []client.Master
	for i, addr := range c.clients {
		all = append(all, client.Master{ID: uint64(c.peers[i].ID), Addr: addr})
	}
	return all
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
