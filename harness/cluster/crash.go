package cluster

import (
	"context"
	"errors"
	"fmt"
)

// Crash kills a node as a power cut does, in this order: its connections are
// cut, so that nobody hears what it still says; its file system is frozen and
// rolled back to what was synced, with keepPercent of the rest; and the old
// instance shuts down in the background, writing into the void.
func (c *Cluster) Crash(name string, keepPercent int) error {
	if s := c.server(name); s != nil {
		return c.crashServer(s, keepPercent)
	}
	m := c.master(name)
	if m == nil {
		return fmt.Errorf("cluster: there is no node %q", name)
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

func (c *Cluster) crashServer(s *serverNode, keepPercent int) error {
	old := s.stop()
	if old == nil {
		return fmt.Errorf("cluster: %s is down already", s.name)
	}
	c.fabric.CloseNode(s.name)
	s.leases.silence()
	s.disk.Crash(keepPercent)
	c.closing.Go(func() {
		// As with a master.
		_ = old.Close()
	})
	return nil
}

// Restart opens a crashed node again.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	if s := c.server(name); s != nil {
		if s.get() != nil {
			return fmt.Errorf("cluster: %s is up already", name)
		}
		c.fabric.OpenNode(name)
		return c.startServer(ctx, s)
	}
	m := c.master(name)
	if m == nil {
		return fmt.Errorf("cluster: there is no node %q", name)
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

// PowerLoss crashes every node at once: first nobody hears anybody any more, then
// the disks stop.
func (c *Cluster) PowerLoss(keepPercent int) error {
	var names []string
	for _, m := range c.present() {
		names = append(names, m.name)
	}
	names = append(names, c.Chunkservers()...)
	for _, name := range names {
		c.fabric.CloseNode(name)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, c.Crash(name, keepPercent))
	}
	return errors.Join(errs...)
}
