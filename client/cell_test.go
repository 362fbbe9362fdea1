package client

import (
	"bytes"
	"context"
	"fmt"
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

const (
	cellSeed  = 11
	cellTerm  = 500 * time.Millisecond
	cellChunk = 8192
)

// cell is three masters and some chunkservers, as in production but for the
// disks and the network, which are in memory and can fail.
type cell struct {
	t       *testing.T
	fabric  *faultnet.Fabric
	masters map[uint64]*master.Master
	stops   []func()
	servers map[string]*chunkserver.Server
	disks   map[string]*faultdisk.FS
	conns   *Conns
	serving sync.WaitGroup
	list    []Master
}

func inCell(t *testing.T, chunkservers int, run func(t *testing.T, c *cell)) {
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", cellSeed)
		c := &cell{t: t, fabric: faultnet.NewFabric(wire.NewMemory()), masters: map[uint64]*master.Master{},
			servers: map[string]*chunkserver.Server{}, disks: map[string]*faultdisk.FS{}}
		c.conns = NewConns(c.fabric.Node("client").Dial, 0)
		for id := uint64(1); id <= 3; id++ {
			c.list = append(c.list, Master{ID: id, Addr: fmt.Sprintf("m%d-api", id)})
		}
		for id := uint64(1); id <= 3; id++ {
			c.startMaster(id)
		}
		for i := range chunkservers {
			name := fmt.Sprintf("cs%d", i+1)
			c.disks[name] = faultdisk.NewMem(cellSeed + uint64(i))
			c.startServer(name)
		}
		run(t, c)
		c.fabric.HealAll()
		if err := c.conns.Close(); err != nil {
			t.Error(err)
		}
		for _, s := range c.servers {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, stop := range c.stops {
			stop()
		}
		c.serving.Wait()
	})
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) startMaster(id uint64) {
	c.t.Helper()
	name := "m" + strconv.FormatUint(id, 10)
	network := c.fabric.Incarnation(name)
	cfg := consensus.Config{Cluster: "test", Self: consensus.NodeID(id), Limits: consensus.Matched2(), Seed: cellSeed + id}
	for i := 1; i <= 3; i++ {
		cfg.Peers = append(cfg.Peers, consensus.Peer{ID: consensus.NodeID(i), Addr: fmt.Sprintf("m%d-peer", i)})
	}
	m, err := master.New(master.Options{
		Open: func(sm consensus.StateMachine) (consensus.Replica, error) {
			cfg.StateMachine = sm
			return multipaxos.Open(cfg, engine.Deps{FS: faultdisk.NewMem(cellSeed + id), Dir: "/log", Network: network})
		},
		Dial: network.Dial, LeaseTerm: cellTerm, DeadAfter: 300 * time.Millisecond, CallTimeout: 200 * time.Millisecond, Seed: cellSeed,
	})
	c.must(err)
	l, err := network.Listen(c.list[id-1].Addr)
	c.must(err)
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterMasterServer(g, m)
	c.serving.Go(func() { _ = g.Serve(l) })
	c.masters[id] = m
	c.stops = append(c.stops, func() {
		if err := m.Close(); err != nil {
			c.t.Error(err)
		}
		g.Stop()
	})
}

func (c *cell) startServer(name string) {
	c.t.Helper()
	network := c.fabric.Incarnation(name)
	l, err := network.Listen(name)
	c.must(err)
	var masters []string
	for _, m := range c.list {
		masters = append(masters, m.Addr)
	}
	s, err := chunkserver.Start(chunkserver.Options{
		Name: name, FS: c.disks[name], Dir: "/cs", ChunkBytes: cellChunk, Masters: masters, Dial: network.Dial, Listener: l,
		HeartbeatEvery: 50 * time.Millisecond, MutateTimeout: 200 * time.Millisecond,
	})
	c.must(err)
	c.servers[name] = s
}

// crash cuts the chunkserver's power and starts it again.
func (c *cell) crash(name string, keepPercent int) {
	c.t.Helper()
	c.fabric.CloseNode(name)
	old := c.servers[name]
	c.disks[name] = c.disks[name].Crash(keepPercent)
	c.must(old.Close())
	c.fabric.OpenNode(name)
	c.startServer(name)
}

// leader waits for one.
func (c *cell) leader() uint64 {
	c.t.Helper()
	for range 500 {
		for id, m := range c.masters {
			if s := m.Replica().Status(); uint64(s.Leader) == id {
				return id
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("no leader in 5 s")
	return 0
}

func (c *cell) client(name string, seed uint64) *Client {
	c.t.Helper()
	cl, err := New(Options{Name: name, Masters: c.list, Conns: c.conns, Seed: seed})
	c.must(err)
	return cl
}

func (c *cell) create(cl *Client, path string) {
	c.t.Helper()
	if r := cl.Create(context.Background(), path); r.Outcome != OK || r.Reply.Code != api.Code_OK {
		c.t.Fatalf("create %s: %v %v %v", path, r.Outcome, r.Reply.GetCode(), r.Err)
	}
}

// acked is a record that was acknowledged.
type acked struct {
	AppendResult
	payload []byte
}

func (c *cell) append(cl *Client, path string, payload []byte) acked {
	c.t.Helper()
	r := cl.RecordAppend(context.Background(), path, payload)
	if r.Outcome != OK || r.Code != api.Code_OK {
		c.t.Fatalf("append to %s: %v %v %v", path, r.Outcome, r.Code, r.Err)
	}
	return acked{r, payload}
}

// verify reads every acknowledged record from every replica, and all of the file.
func (c *cell) verify(path string, records []acked) {
	c.t.Helper()
	reader := c.client("reader", 99)
	for _, a := range records {
		info := reader.ChunkInfo(context.Background(), a.Handle)
		if info.Outcome != OK || len(info.Reply.Replicas) == 0 {
			c.t.Fatalf("chunk %d: %v %v", a.Handle, info.Reply, info.Err)
		}
		for _, name := range info.Reply.Replicas {
			r := reader.ReadRecord(context.Background(), a.Handle, a.Offset, WithReplica(name))
			if r.Outcome != OK || r.Code != api.Code_OK || !bytes.Equal(r.Record.Payload, a.payload) || r.Replica != name {
				c.t.Fatalf("record %v at %d of chunk %d, replica %s: %v %v from %s, %v", a.Session, a.Offset, a.Handle, name, r.Outcome, r.Code, r.Replica, r.Err)
			}
			if (Session{Client: r.Record.Client, Seq: r.Record.Seq}) != a.Session {
				c.t.Fatalf("record of %v where %v was acknowledged", r.Record, a.Session)
			}
		}
	}
	all, err := reader.ReadAll(context.Background(), path)
	c.must(err)
	count := map[Session]int{}
	for _, r := range all {
		count[Session{Client: r.Client, Seq: r.Seq}]++
	}
	for _, a := range records {
		if count[a.Session] != 1 {
			c.t.Fatalf("record %v is %d times in the filtered file", a.Session, count[a.Session])
		}
	}
}
