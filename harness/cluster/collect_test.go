package cluster

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/chunkserver"
	"gfslab/client"
	"gfslab/consensus"
	"gfslab/internal/disk"
	"gfslab/internal/node"
)

// What is only in the page cache when the run ends was not durable when it was
// acknowledged, and must not be taken for it.
func TestChunksAreReadAsAfterAPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		c, err := Start(ctx, Config{
			Plan: plan(node.EtcdRaft), Limits: consensus.Matched3(), World: VirtualWorld(3), Start: time.Now(), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		conns := client.NewConns(client.Dialer(c.Dialer("client")), 0)
		var masters []client.Master
		for id := uint64(1); id <= 3; id++ {
			masters = append(masters, client.Master{ID: id, Addr: c.MasterAddresses()[id]})
		}
		cl, err := client.New(client.Options{Name: "t", Masters: masters, Conns: conns, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		cl.Create(ctx, "/f")
		r := cl.RecordAppend(ctx, "/f", []byte("durable"))
		if r.Outcome != client.OK {
			t.Fatalf("append: %v %v", r.Outcome, r.Err)
		}
		if err := conns.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for _, s := range c.servers {
			spoil(t, s.disk.FS(), s.disk.Dir())
			found, err := chunkserver.Scan(s.disk.FS(), s.disk.Dir())
			if err != nil {
				t.Fatal(err)
			}
			if len(found) > 0 && found[0].Kind == chunkserver.KindRecord {
				t.Fatalf("%s: the test has spoilt nothing: %+v", s.name, found)
			}
		}
		chunks, err := c.Chunks()
		if err != nil {
			t.Fatal(err)
		}
		for name, found := range chunks {
			if len(found) != 1 || found[0].CRC != r.CRC || found[0].Offset != r.Offset || found[0].Client != r.Session.Client {
				t.Errorf("%s: %+v, want the one durable record", name, found)
			}
		}
	})
}

// spoil writes over the data of every chunk file without a sync.
func spoil(t *testing.T, fs disk.FS, dir string) {
	t.Helper()
	folder := fs.PathJoin(dir, "chunks")
	names, err := fs.List(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := fs.OpenReadWrite(fs.PathJoin(folder, name), disk.WriteCategory("test"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(strings.Repeat("x", int(info.Size())-1024)), 1024); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// An event keeps its place on the clock however late it is written down.
func TestLeaseEventsAreStampedExactly(t *testing.T) {
	start := time.Now()
	l := &leaseLog{node: "cs1", start: start}
	l.add(0, chunkserver.Event{Kind: chunkserver.EventClaim, At: start.Add(5 * time.Millisecond), Until: start.Add(500 * time.Millisecond)})
	l.add(0, chunkserver.Event{Kind: chunkserver.EventAccept, At: start.Add(5*time.Millisecond + 1)})
	got := l.all()
	if got[0].At != 5e6 || got[0].Until != 500e6 || got[1].At != 5e6+1 || got[1].Until != 0 {
		t.Errorf("stamped %+v", got)
	}
}
