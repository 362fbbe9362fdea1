package chunkserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
	faultnet "gfslab/internal/fault/net"
)

const (
	testSeed  = 7
	testChunk = 8192
	handle    = 42
	leaseTerm = 600 * time.Millisecond
)

// fakeMaster confirms claims and notes reports; it keeps no namespace.
type fakeMaster struct {
	api.UnimplementedMasterServer

	mu       sync.Mutex
	term     uint64
	follows  bool // answers as a replica that does not lead
	refuse   bool // refuses claims
	extends  bool // answers the claims of heartbeats
	wantFull bool // the next heartbeat is asked for everything
	parts    bool // parts of full reports are asked for to the end
	lose     bool // notes heartbeats and does not answer
	delay    time.Duration
	reads    time.Duration      // how long it takes for each chunk of a report
	remove   []*api.ChunkReport // for the next heartbeat
	sealCode api.Code
	claims   int
	extended int
	beats    map[string][]*api.HeartbeatRequest
	revoked  []*api.LeaseRequest
	seals    []*api.SealRequest
}

func (m *fakeMaster) Heartbeat(ctx context.Context, r *api.HeartbeatRequest) (*api.HeartbeatReply, error) {
	m.mu.Lock()
	if reading := m.reads * time.Duration(len(r.Chunks)); reading > 0 {
		m.mu.Unlock()
		select {
		case <-time.After(reading):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	m.beats[r.Chunkserver] = append(m.beats[r.Chunkserver], r)
	if m.lose {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	reply := &api.HeartbeatReply{Term: m.term, Leader: !m.follows, WantFull: m.wantFull, Remove: m.remove}
	m.wantFull, m.remove = false, nil
	if m.parts && r.Part != nil && r.Part.Below != 0 {
		reply.WantFull, reply.FullFrom = true, r.Part.Below
	}
	if m.extends && !m.follows {
		for range r.Claims {
			m.extended++
			reply.Claims = append(reply.Claims, &api.ClaimReply{Granted: !m.refuse, Term: m.term, DurationNs: int64(leaseTerm)})
		}
	}
	return reply, nil
}

func (m *fakeMaster) RevokeLease(_ context.Context, r *api.LeaseRequest) (*api.ChunkReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked = append(m.revoked, r)
	return &api.ChunkReply{}, nil
}

func (m *fakeMaster) Seal(_ context.Context, r *api.SealRequest) (*api.MutationReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seals = append(m.seals, r)
	return &api.MutationReply{Code: m.sealCode}, nil
}

func (m *fakeMaster) ClaimLease(ctx context.Context, r *api.ClaimRequest) (*api.ClaimReply, error) {
	m.mu.Lock()
	delay := m.delay
	m.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.follows {
		return nil, status.Error(codes.FailedPrecondition, "not leader")
	}
	m.claims++
	return &api.ClaimReply{Granted: !m.refuse, Term: m.term, DurationNs: int64(leaseTerm)}, nil
}

func (m *fakeMaster) set(change func(*fakeMaster)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

func (m *fakeMaster) claimed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claims
}

// cell is a few chunkservers with crashable disks on a network in memory. It
// lives in a synctest bubble: a loaded machine makes no timeout.
type cell struct {
	t       *testing.T
	fabric  *faultnet.Fabric
	master  *fakeMaster
	disks   map[string]*faultdisk.FS
	wrapped map[string]disk.FS // over the disk of the next start, if there is one
	servers map[string]*Server
	clients map[string]api.ChunkserverClient
	peers   *peers
	kind    api.ChunkKind // of what is granted
	size    int64         // of a chunk
	strict  bool          // mode of what is granted
	beat    time.Duration // between heartbeats
	scrub   int64         // bytes a second
	log     *slog.Logger
	files   int // that may be open at once; 0: the default

	mu     sync.Mutex
	events map[string][]Event
}

func newCell(t *testing.T, names ...string) *cell { return newSizedCell(t, testChunk, names...) }

func newSizedCell(t *testing.T, size int64, names ...string) *cell {
	t.Logf("seed %d", testSeed)
	c := &cell{
		t: t, size: size, beat: 100 * time.Millisecond, fabric: faultnet.NewFabric(wire.NewMemory()), disks: map[string]*faultdisk.FS{}, servers: map[string]*Server{},
		clients: map[string]api.ChunkserverClient{}, events: map[string][]Event{},
		master: &fakeMaster{term: 5, beats: map[string][]*api.HeartbeatRequest{}},
	}
	c.peers = newPeers(func(ctx context.Context, addr string) (net.Conn, error) { return c.fabric.Node("test").Dial(ctx, addr) }, 8<<20)
	l, err := c.fabric.Node("master").Listen("master")
	c.must(err)
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	api.RegisterMasterServer(g, c.master)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	for i, name := range names {
		c.disks[name] = faultdisk.NewMem(testSeed + uint64(i))
		c.start(name)
	}
	t.Cleanup(func() {
		c.peers.close()
		for _, s := range c.servers {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		g.Stop()
		serving.Wait()
	})
	return c
}

func (c *cell) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cell) start(name string) {
	c.t.Helper()
	node := c.fabric.Incarnation(name)
	l, err := node.Listen(name)
	c.must(err)
	var fs disk.FS = c.disks[name]
	if w := c.wrapped[name]; w != nil {
		fs = w
	}
	s, err := Start(Options{
		Name: name, FS: fs, Dir: "/cs", ChunkBytes: c.size, Masters: []string{"master"}, Dial: node.Dial, Listener: l,
		HeartbeatEvery: c.beat, OpenFiles: c.files, ScrubBytesPerSecond: c.scrub, Logger: c.log, ScrubEvery: time.Second, MutateTimeout: 400 * time.Millisecond, HoleWait: 150 * time.Millisecond,
		OnEvent: func(e Event) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.events[name] = append(c.events[name], e)
		},
	})
	c.must(err)
	c.servers[name] = s
	conn, err := c.peers.get(name)
	c.must(err)
	c.clients[name] = api.NewChunkserverClient(conn)
}

// crash stops the chunkserver as a power cut does and starts it again.
func (c *cell) crash(name string, keepPercent int) {
	c.t.Helper()
	c.fabric.CloseNode(name)
	old := c.servers[name]
	c.disks[name] = c.disks[name].Crash(keepPercent)
	c.must(old.Close())
	c.fabric.OpenNode(name)
	c.start(name)
	// Connections to the old incarnation break when they are used or read next.
	for via := range c.servers {
		chain := []string{via, name}
		if via == name {
			chain = chain[:1]
		}
		c.eventually(via+" reaches "+name, func() bool {
			_, err := c.clients[chain[0]].PushData(c.ctx(), &api.PushRequest{Id: id(1 << 40), Chain: chain[1:]})
			return err == nil
		})
	}
}

func (c *cell) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cell) request(version, epoch, term uint64, replicas ...string) *api.GrantRequest {
	r := &api.GrantRequest{Handle: handle, Version: version, Epoch: epoch, Term: term, Kind: c.kind, Strict: c.strict, Replicas: replicas, Addresses: map[string]string{}}
	for _, name := range replicas {
		r.Addresses[name] = name
	}
	r.Primary = replicas[0]
	return r
}

func (c *cell) prepare(name string, r *api.GrantRequest) *api.GrantReply {
	c.t.Helper()
	reply, err := c.clients[name].PrepareGrant(c.ctx(), r)
	c.must(err)
	return reply
}

// grant runs the master's steps; the first replica becomes primary.
func (c *cell) grant(version, epoch, term uint64, replicas ...string) {
	c.t.Helper()
	r := c.request(version, epoch, term, replicas...)
	for _, name := range replicas {
		if reply := c.prepare(name, r); !reply.Ok {
			c.t.Fatalf("%s refused to prepare version %d: %s", name, version, reply.Reason)
		}
	}
	reply, err := c.clients[r.Primary].ActivateGrant(c.ctx(), r)
	c.must(err)
	if !reply.Ok {
		c.t.Fatalf("%s refused to activate epoch %d: %s", r.Primary, epoch, reply.Reason)
	}
}

func id(seq uint64) *api.DataId { return &api.DataId{Client: "client", Seq: seq} }

func (c *cell) push(seq uint64, data []byte, chain ...string) {
	c.t.Helper()
	_, err := c.clients[chain[0]].PushData(c.ctx(), &api.PushRequest{Id: id(seq), Data: data, Crc32C: api.Checksum(data), Chain: chain[1:]})
	c.must(err)
}

func (c *cell) tryAppend(primary string, version, seq uint64) (*api.AppendReply, error) {
	return c.clients[primary].RecordAppend(c.ctx(), &api.AppendRequest{Id: id(seq), Handle: handle, Version: version})
}

// append pushes to all replicas and appends; it must succeed.
func (c *cell) append(version, seq uint64, data []byte, replicas ...string) *api.AppendReply {
	c.t.Helper()
	c.push(seq, data, replicas...)
	reply, err := c.tryAppend(replicas[0], version, seq)
	c.must(err)
	if reply.Code != api.Code_OK {
		c.t.Fatalf("append %d: %v", seq, reply.Code)
	}
	return reply
}

func (c *cell) read(name string, version, offset uint64) (api.Frame, api.Code) {
	c.t.Helper()
	reply, err := c.clients[name].ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: handle, Version: version, Offset: offset})
	c.must(err)
	if reply.Code != api.Code_OK {
		return api.Frame{}, reply.Code
	}
	f, _, err := api.ParseFrame(reply.Data)
	c.must(err)
	return f, api.Code_OK
}

func (c *cell) expectRecord(name string, offset, seq uint64, data []byte) {
	c.t.Helper()
	f, code := c.read(name, 0, offset)
	if code != api.Code_OK || f.Seq != seq || !bytes.Equal(f.Payload, data) {
		c.t.Fatalf("%s at %d: %v, seq %d, %d bytes; want record %d of %d bytes", name, offset, code, f.Seq, len(f.Payload), seq, len(data))
	}
}

func (c *cell) kinds(name, kind string) (found []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events[name] {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// eventually polls a condition; works in real and in virtual time.
func (c *cell) eventually(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); ; {
		if ok() {
			return
		}
		if <-tick.C; time.Now().After(end) {
			c.t.Fatalf("never happened: %s", what)
		}
	}
}

func payload(seq uint64, n int) []byte {
	b := bytes.Repeat([]byte{byte(seq)}, n)
	copy(b, fmt.Sprintf("record %d ", seq))
	return b
}
