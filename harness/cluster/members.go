package cluster

import (
	"context"
	"errors"
	"fmt"

	"gfslab/consensus"
)

// The stages of a master's life in the cell.
const (
	spare  int32 = iota // not started yet
	member              // started; it is a member, or about to be one or to go
	left                // stopped on purpose, for ever
)

// present are the masters in the cell now, started those that ever were.
func (c *Cluster) present() []*masterNode {
	return c.inStage(func(s int32) bool { return s == member })
}

func (c *Cluster) started() []*masterNode {
	return c.inStage(func(s int32) bool { return s != spare })
}

func (c *Cluster) inStage(fits func(int32) bool) []*masterNode {
	var out []*masterNode
	for _, m := range c.masters {
		if fits(m.stage.Load()) {
			out = append(out, m)
		}
	}
	return out
}

// peers are the present masters as each other sees them.
func (c *Cluster) peers() []consensus.Peer {
	var out []consensus.Peer
	for _, m := range c.present() {
		out = append(out, consensus.Peer{ID: m.id, Addr: m.peer})
	}
	return out
}

// firstStart gives a master an empty disk and starts it.
func (c *Cluster) firstStart(ctx context.Context, m *masterNode) (err error) {
	if m.disk, err = c.cfg.World.Disk(m.name); err != nil {
		return err
	}
	return c.startMaster(ctx, m)
}

// Join starts the next spare master, which waits to be made a member. It returns
// its name and where the other masters reach it.
func (c *Cluster) Join(ctx context.Context) (name string, peer consensus.Peer, err error) {
	for _, m := range c.masters {
		if m.stage.Load() != spare {
			continue
		}
		m.join = true
		m.peers = append(c.peers(), consensus.Peer{ID: m.id, Addr: m.peer})
		if err := c.firstStart(ctx, m); err != nil {
			return "", peer, err
		}
		m.stage.Store(member)
		return m.name, consensus.Peer{ID: m.id, Addr: m.peer}, nil
	}
	return "", peer, errors.New("cluster: the plan has no master left that could join")
}

// Leave stops a master for ever, in good order. It may be down already.
func (c *Cluster) Leave(name string) error {
	m := c.master(name)
	if m == nil || m.stage.Load() != member {
		return fmt.Errorf("cluster: there is no master %q", name)
	}
	m.stage.Store(left)
	m.mu.Lock()
	running := m.running
	m.running, m.silent = nil, running == nil
	m.mu.Unlock()
	if running == nil {
		return nil
	}
	m.remember(running.Replica().Status().Counters)
	return running.Close()
}

// Left names the masters that left.
func (c *Cluster) Left() []string {
	var names []string
	for _, m := range c.inStage(func(s int32) bool { return s == left }) {
		names = append(names, m.name)
	}
	return names
}

// ID is a master's node id, 0 if there is none of that name.
func (c *Cluster) ID(name string) uint64 {
	if m := c.master(name); m != nil {
		return uint64(m.id)
	}
	return 0
}
