package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gfslab/chunkserver"
	"gfslab/results/rundir"
)

// serverNode is one chunkserver, over all its incarnations.
type serverNode struct {
	name, address, rack string
	disk                Disk
	leases              *leaseLog

	mu      sync.Mutex
	running *chunkserver.Server // nil while crashed
	past    map[string]uint64   // what earlier incarnations counted
	rotten  int                 // events up to the last rot
}

func (s *serverNode) get() *chunkserver.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// stop takes the running instance out, to be closed; nil if there is none.
func (s *serverNode) stop() *chunkserver.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := s.running
	s.running = nil
	if running != nil {
		if s.past == nil {
			s.past = map[string]uint64{}
		}
		addCounters(s.past, serverCounters(running))
	}
	return running
}

// counters adds up what all incarnations counted.
func (s *serverNode) counters() map[string]uint64 {
	s.mu.Lock()
	running, n := s.running, maps.Clone(s.past)
	s.mu.Unlock()
	if n == nil {
		n = map[string]uint64{}
	}
	if running != nil {
		addCounters(n, serverCounters(running))
	}
	return n
}

// serverCounters are the totals of one incarnation that measurements need; times in
// microseconds.
func serverCounters(s *chunkserver.Server) map[string]uint64 {
	c := s.Counters()
	us := func(d time.Duration) uint64 { return uint64(d.Microseconds()) }
	return map[string]uint64{
		"syncs": c.Syncs, "sync_us": us(c.SyncTime), "sync_busy_us": us(c.SyncBusy),
		"acknowledged": c.Acknowledged, "sync_wait_us": us(c.SyncWait),
	}
}

// startServers starts all chunkservers for the first time.
func (c *Cluster) startServers() error {
	for i := range c.cfg.Plan.Chunkservers {
		s := &serverNode{name: fmt.Sprintf("cs%d", i+1)}
		if racks := c.cfg.Plan.Racks; racks > 0 {
			s.rack = fmt.Sprintf("r%d", i%racks+1)
		}
		s.leases = &leaseLog{node: s.name, start: c.cfg.Start}
		s.address = c.cfg.World.Address(s.name)
		var err error
		if s.disk, err = c.cfg.World.Disk(s.name); err != nil {
			return err
		}
		if err := c.startServer(context.Background(), s); err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	return nil
}

func (c *Cluster) startServer(ctx context.Context, s *serverNode) error {
	network := c.fabric.Incarnation(s.name)
	l, err := c.listen(ctx, network, s.address)
	if err != nil {
		return err
	}
	var masters []string
	for _, m := range c.present() {
		masters = append(masters, m.address)
	}
	running, err := chunkserver.Start(chunkserver.Options{
		Name: s.name, FS: s.disk.FS(), Dir: s.disk.Dir(), ChunkBytes: c.cfg.Plan.ChunkBytes,
		Rack: s.rack, ScrubBytesPerSecond: c.cfg.Plan.ScrubRate, ScrubEvery: scrubEvery(c.cfg.Plan),
		Masters: masters, Dial: network.Dial, Listener: l, HeartbeatEvery: 50 * time.Millisecond,
		Logger: c.cfg.Logger.With("node", s.name), OnEvent: s.leases.incarnation(),
	})
	if err != nil {
		return fmt.Errorf("cluster: start %s: %w", s.name, err)
	}
	s.mu.Lock()
	s.running = running
	s.mu.Unlock()
	return nil
}

// scrubEvery is the pause between two rounds of a scrubber.
func scrubEvery(p rundir.Plan) time.Duration {
	if p.ScrubRate > 0 {
		return time.Millisecond
	}
	return 0
}

func (c *Cluster) server(name string) *serverNode {
	i := slices.IndexFunc(c.servers, func(s *serverNode) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return c.servers[i]
}

// Chunkservers names all chunkservers in order.
func (c *Cluster) Chunkservers() []string {
	var names []string
	for _, s := range c.servers {
		names = append(names, s.name)
	}
	return names
}

// Clients names the participants of the network that are no nodes.
func (c *Cluster) Clients() []string { return []string{"client", "operator"} }

// Primary returns the chunkserver that acknowledged a mutation last, or else the
// one that claimed a lease last, and is up.
func (c *Cluster) Primary() (name string, ok bool) {
	for _, kind := range []string{rundir.LeaseAccept, rundir.LeaseClaim} {
		last := int64(-1)
		for _, s := range c.servers {
			if at, found := s.leases.last(kind); found && at > last && s.get() != nil {
				name, last = s.name, at
			}
		}
		if last >= 0 {
			return name, true
		}
	}
	return "", false
}

// Rot flips bits in the second half of a chunk's bytes. It takes the longest
// chunk: it is most likely to be read.
func (c *Cluster) Rot(name string, pick uint64) (what string, err error) {
	s := c.server(name)
	if s == nil {
		return "", fmt.Errorf("cluster: there is no chunkserver %q", name)
	}
	fs := s.disk.FS()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var best chunkserver.FoundChunk
	err = c.poll(ctx, func() error {
		chunks, err := chunkserver.ScanChunks(fs, s.disk.Dir())
		for _, found := range chunks {
			if found.Length > best.Length {
				best = found
			}
		}
		if err == nil && best.Length == 0 {
			err = errors.New(name + " has no bytes of any chunk")
		}
		return err
	})
	if err != nil {
		return "nothing: " + err.Error(), nil // nobody will feel it
	}
	file := chunkserver.ChunkPath(fs, s.disk.Dir(), best.Handle)
	at := best.Length/2 + pick%max(best.Length/4, 1)
	offset := chunkserver.DataStart(c.cfg.Plan.ChunkBytes) + int64(at)
	for i := range int64(3) {
		if err := s.disk.Rot(file, offset+i, 0x55); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	s.rotten = s.leases.count(rundir.LeaseCorrupt)
	s.mu.Unlock()
	return fmt.Sprintf("chunk %d at %d", best.Handle, at), nil
}

// Rotten counts how often the chunkserver found bytes that do not match their
// checksum since the last Rot.
func (c *Cluster) Rotten(name string) uint64 {
	s := c.server(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(s.leases.count(rundir.LeaseCorrupt) - s.rotten)
}

// SlowDisk makes every sync of a master take d longer; 0 ends it.
func (c *Cluster) SlowDisk(name string, d time.Duration) {
	m := c.master(name)
	if m == nil {
		return
	}
	m.mu.Lock()
	if d > 0 {
		m.slowed = m.disk.Syncs()
	}
	m.mu.Unlock()
	m.disk.Slow(d)
}

// Slowed counts the syncs of a master since its disk became slow.
func (c *Cluster) Slowed(name string) uint64 {
	m := c.master(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.disk.Syncs() - m.slowed
}
