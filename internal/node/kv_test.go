package node_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/client/call"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
	"gfslab/internal/node"
	"gfslab/kv/client"
)

const seed = 5

// cell is three nodes of the key-value store in a bubble of virtual time.
type cell struct {
	t      *testing.T
	fabric *faultnet.Fabric
	nodes  map[uint64]*node.KV
	disks  map[uint64]*faultdisk.FS
	conns  *call.Conns
}

func peerName(id uint64) string   { return fmt.Sprintf("m%d", id) }
func clientAddr(id uint64) string { return fmt.Sprintf("m%d-client", id) }

func inCell(t *testing.T, run func(t *testing.T, c *cell)) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Logf("seed %d", seed)
				c := &cell{t: t, fabric: faultnet.NewFabric(wire.NewMemory()), nodes: map[uint64]*node.KV{}, disks: map[uint64]*faultdisk.FS{}}
				c.conns = call.NewConns(c.fabric.Node("client").Dial, 0)
				for id := uint64(1); id <= 3; id++ {
					c.disks[id] = faultdisk.NewMem(seed + id)
					c.start(backend, id)
				}
				run(t, c)
				c.must(c.conns.Close())
				for _, n := range c.nodes {
					c.must(n.Close())
				}
			})
		})
	}
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) start(backend string, id uint64) {
	c.t.Helper()
	network := c.fabric.Incarnation(peerName(id))
	clients, err := network.Listen(clientAddr(id))
	c.must(err)
	cfg := consensus.Config{Cluster: "test", Self: consensus.NodeID(id), Limits: consensus.Matched2(), Seed: seed + id}
	for i := uint64(1); i <= 3; i++ {
		cfg.Peers = append(cfg.Peers, consensus.Peer{ID: consensus.NodeID(i), Addr: peerName(i)})
	}
	n, err := node.StartKV(node.KVConfig{ReplicaConfig: node.ReplicaConfig{
		Backend: backend, Consensus: cfg, Doors: engine.Deps{FS: c.disks[id], Dir: "/log", Network: network}, Clients: clients,
		ClientAddress: func(p consensus.Peer) string { return clientAddr(uint64(p.ID)) },
	}})
	c.must(err)
	c.nodes[id] = n
}

func (c *cell) client(name string) *client.Client {
	c.t.Helper()
	o := client.Options{Name: name}
	o.Conns, o.Seed = c.conns, seed
	for id := uint64(1); id <= 3; id++ {
		o.Nodes = append(o.Nodes, call.Node{ID: id, Addr: clientAddr(id)})
	}
	kv, err := client.New(o)
	c.must(err)
	return kv
}

func (c *cell) want(r client.Result, code api.KVCode, value string) {
	c.t.Helper()
	if r.Outcome != call.OK || r.Reply.Code != code || string(r.Reply.Value) != value {
		c.t.Fatalf("%v %v %v, want %v %q", r.Outcome, r.Err, r.Reply, code, value)
	}
}

// The operations do what they say, and revisions rise with every change.
func TestKVOperations(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		ctx, kv := context.Background(), c.client("a")
		c.want(kv.Get(ctx, "k"), api.KVCode_KV_NOT_FOUND, "")
		put := kv.Put(ctx, "k", []byte("1"))
		c.want(put, api.KVCode_KV_OK, "")
		get := kv.Get(ctx, "k")
		c.want(get, api.KVCode_KV_OK, "1")
		if get.Reply.Revision != put.Reply.Revision || get.Reply.At.Index < put.Reply.At.Index {
			t.Fatalf("put at %v, read %v", put.Reply, get.Reply)
		}
		c.want(kv.CompareAndSwap(ctx, "k", []byte("0"), []byte("2")), api.KVCode_KV_CONFLICT, "")
		swap := kv.CompareAndSwap(ctx, "k", []byte("1"), []byte("2"))
		c.want(swap, api.KVCode_KV_OK, "")
		if swap.Reply.Revision <= put.Reply.Revision {
			t.Fatalf("revision %d follows %d", swap.Reply.Revision, put.Reply.Revision)
		}
		c.want(kv.CreateKey(ctx, "k", []byte("3")), api.KVCode_KV_CONFLICT, "")
		c.want(kv.Get(ctx, "k"), api.KVCode_KV_OK, "2")
		c.want(kv.Delete(ctx, "k"), api.KVCode_KV_OK, "")
		c.want(kv.Delete(ctx, "k"), api.KVCode_KV_NOT_FOUND, "")
		c.want(kv.CreateKey(ctx, "k", nil), api.KVCode_KV_OK, "")
		c.want(kv.Get(ctx, "k"), api.KVCode_KV_OK, "")
		if r := kv.Put(ctx, "", nil); r.Outcome != call.Fail {
			t.Fatalf("an empty key: %v %v", r.Outcome, r.Reply)
		}
	})
}

// A change that is sent again after the leader died happens once.
func TestKVExactlyOnceAcrossLeaders(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		ctx, kv := context.Background(), c.client("a")
		session := call.Session{Client: "s", Seq: 1}
		first := kv.CreateKey(ctx, "k", []byte("1"), client.WithSession(session))
		c.want(first, api.KVCode_KV_OK, "")
		c.fabric.CloseNode(peerName(first.Node))
		begin := time.Now()
		again := kv.CreateKey(ctx, "k", []byte("1"), client.WithSession(session))
		c.want(again, api.KVCode_KV_OK, "")
		if !again.Reply.Replayed || again.Reply.Revision != first.Reply.Revision || again.Node == first.Node {
			t.Fatalf("first %v from %d, again %v from %d", first.Reply, first.Node, again.Reply, again.Node)
		}
		t.Logf("answered %v after the leader was cut off", time.Since(begin))
	})
}

// Every node describes itself; one that does not lead redirects, with the members.
func TestKVAdminAndRedirects(t *testing.T) {
	inCell(t, func(t *testing.T, c *cell) {
		ctx, kv := context.Background(), c.client("a")
		leader := kv.Put(ctx, "k", nil).Node
		roles := map[string]int{}
		for id := uint64(1); id <= 3; id++ {
			cc, err := c.conns.Get(clientAddr(id))
			c.must(err)
			d, err := api.NewAdminClient(cc).Describe(ctx, &api.DescribeRequest{})
			c.must(err)
			if d.Node != id || d.Cluster != "test" || d.StateHash == "" || d.Counters["fsyncs"] == 0 {
				t.Errorf("node %d describes itself as %v", id, d)
			}
			roles[d.Role]++
			other := id%3 + 1
			r := kv.Get(ctx, "k", client.WithFirst(other))
			c.want(r, api.KVCode_KV_OK, "")
			if r.Node != leader {
				t.Errorf("node %d answered, not the leader %d", r.Node, leader)
			}
		}
		if roles["leader"] != 1 || roles["follower"] != 2 {
			t.Errorf("roles: %v", roles)
		}
	})
}
