// Package clienttest runs a cell for the tests of clients: masters and chunkservers
// as in production but for the disks and the network, which are in memory and can
// fail. It works inside a testing/synctest bubble.
//
// It judges nothing, and no product code imports it.
package clienttest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/chunkserver"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/multipaxos"
	"gfslab/consensus/wire"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
	"gfslab/master"
)

// What every cell has.
const (
	// Seed drives all that is random in a cell.
	Seed = 11
	// LeaseTerm is that of its leases, ChunkBytes the size of its chunks.
	LeaseTerm  = 500 * time.Millisecond
	ChunkBytes = 8192
	masters    = 3
)

// Cell is three masters and some chunkservers.
type Cell struct {
	Fabric *faultnet.Fabric
	// Masters that run, by node id; Servers and Disks by chunkserver.
	Masters map[uint64]*master.Master
	Servers map[string]*chunkserver.Server
	Disks   map[string]*faultdisk.FS

	t       *testing.T
	config  Config
	stops   map[uint64]func()
	serving sync.WaitGroup
}

// Config says how a cell differs from others.
type Config struct {
	// Chunkservers are cs1, cs2 and so on (default 3), with chunks of ChunkBytes
	// (default: the constant).
	Chunkservers int
	ChunkBytes   int64
	LeaseTerm    time.Duration // default: the constant
	Strict       bool
}

// Run makes a cell in a bubble, runs the test, and takes the cell down.
func Run(t *testing.T, config Config, test func(t *testing.T, c *Cell)) {
	config.Chunkservers, config.ChunkBytes = cmp.Or(config.Chunkservers, 3), cmp.Or(config.ChunkBytes, ChunkBytes)
	config.LeaseTerm = cmp.Or(config.LeaseTerm, LeaseTerm)
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", Seed)
		c := &Cell{t: t, config: config, Fabric: faultnet.NewFabric(wire.NewMemory()), Masters: map[uint64]*master.Master{}, stops: map[uint64]func(){},
			Servers: map[string]*chunkserver.Server{}, Disks: map[string]*faultdisk.FS{}}
		defer c.takeDown() // also after a failure: the bubble waits for all goroutines
		for id := uint64(1); id <= masters; id++ {
			c.startMaster(id)
		}
		for i := range config.Chunkservers {
			name := fmt.Sprintf("cs%d", i+1)
			c.Disks[name] = faultdisk.NewMem(Seed + uint64(i))
			c.startServer(name)
		}
		test(t, c)
	})
}

func (c *Cell) takeDown() {
	c.Fabric.HealAll()
	for _, s := range c.Servers {
		c.check(s.Close())
	}
	for id := range c.stops {
		c.KillMaster(id)
	}
	c.serving.Wait()
}

func (c *Cell) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Error(err)
	}
}

func (c *Cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// Addr is where clients reach a master.
func Addr(id uint64) string { return fmt.Sprintf("m%d-api", id) }

// Addrs are those of all masters, by node id from 1 on.
func Addrs() (all []string) {
	for id := uint64(1); id <= masters; id++ {
		all = append(all, Addr(id))
	}
	return all
}

// Dial connects a client to an address in the cell.
func (c *Cell) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return c.Fabric.Node("client").Dial(ctx, addr)
}

func (c *Cell) startMaster(id uint64) {
	c.t.Helper()
	name := "m" + strconv.FormatUint(id, 10)
	network := c.Fabric.Incarnation(name)
	cfg := consensus.Config{Cluster: "test", Self: consensus.NodeID(id), Limits: consensus.Matched2(), Seed: Seed + id}
	for i := 1; i <= masters; i++ {
		cfg.Peers = append(cfg.Peers, consensus.Peer{ID: consensus.NodeID(i), Addr: fmt.Sprintf("m%d-peer", i)})
	}
	m, err := master.New(master.Options{
		Open: func(sm consensus.StateMachine) (consensus.Replica, error) {
			cfg.StateMachine = sm
			return multipaxos.Open(cfg, engine.Deps{FS: faultdisk.NewMem(Seed + id), Dir: "/log", Network: network})
		},
		Dial: network.Dial, LeaseTerm: c.config.LeaseTerm, DeadAfter: 300 * time.Millisecond, CallTimeout: 200 * time.Millisecond, Seed: Seed,
		Strict: c.config.Strict,
	})
	c.must(err)
	l, err := network.Listen(Addr(id))
	c.must(err)
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterMasterServer(g, m)
	c.serving.Go(func() { _ = g.Serve(l) })
	c.Masters[id] = m
	c.stops[id] = func() {
		c.check(m.Close())
		g.Stop()
	}
}

// KillMaster ends a master for good; its connections break.
func (c *Cell) KillMaster(id uint64) {
	c.t.Helper()
	c.Fabric.CloseNode("m" + strconv.FormatUint(id, 10))
	c.stops[id]()
	delete(c.stops, id)
	delete(c.Masters, id)
}

func (c *Cell) startServer(name string) {
	c.t.Helper()
	network := c.Fabric.Incarnation(name)
	l, err := network.Listen(name)
	c.must(err)
	s, err := chunkserver.Start(chunkserver.Options{
		Name: name, FS: c.Disks[name], Dir: "/cs", ChunkBytes: c.config.ChunkBytes, Masters: Addrs(), Dial: network.Dial, Listener: l,
		HeartbeatEvery: 50 * time.Millisecond, ReportChunks: 4, MutateTimeout: 200 * time.Millisecond,
	})
	c.must(err)
	c.Servers[name] = s
}

// Crash cuts the chunkserver's power, which keeps this share of what it had not
// synced, and starts it again.
func (c *Cell) Crash(name string, keepPercent int) {
	c.t.Helper()
	c.Fabric.CloseNode(name)
	old := c.Servers[name]
	c.Disks[name] = c.Disks[name].Crash(keepPercent)
	c.must(old.Close())
	c.Fabric.OpenNode(name)
	c.startServer(name)
}

// Leader waits for a master that leads.
func (c *Cell) Leader() uint64 {
	c.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		for id, m := range c.Masters {
			if s := m.Replica().Status(); uint64(s.Leader) == id {
				return id
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	c.t.Fatal("no leader in 5 s")
	return 0
}

// StopServer ends a chunkserver; what is on its disk stays. StartServer starts it
// again.
func (c *Cell) StopServer(name string) {
	c.t.Helper()
	c.Fabric.CloseNode(name)
	c.must(c.Servers[name].Close())
	delete(c.Servers, name)
}

// StartServer starts a chunkserver that was stopped.
func (c *Cell) StartServer(name string) {
	c.t.Helper()
	c.Fabric.OpenNode(name)
	c.startServer(name)
}
