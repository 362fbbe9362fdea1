package client

import (
	"bytes"
	"context"
	"testing"

	"gfslab/api"
	"gfslab/client/clienttest"
)

const (
	cellTerm  = clienttest.LeaseTerm
	cellChunk = clienttest.ChunkBytes
)

// cell is masters and chunkservers, and what clients of them share.
type cell struct {
	*clienttest.Cell
	t     *testing.T
	conns *Conns
	list  []Master
}

func inCell(t *testing.T, chunkservers int, run func(t *testing.T, c *cell)) {
	inCellOf(t, clienttest.Config{Chunkservers: chunkservers}, run)
}

func inCellOf(t *testing.T, config clienttest.Config, run func(t *testing.T, c *cell)) {
	clienttest.Run(t, config, func(t *testing.T, under *clienttest.Cell) {
		c := &cell{Cell: under, t: t, conns: NewConns(under.Dial, 0)}
		for i, addr := range clienttest.Addrs() {
			c.list = append(c.list, Master{ID: uint64(i + 1), Addr: addr})
		}
		defer func() {
			c.Fabric.HealAll()
			if err := c.conns.Close(); err != nil {
				t.Error(err)
			}
		}()
		run(t, c)
	})
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
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
