package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"gfslab/api"
	"gfslab/consensus"
)

// fakeGroup is a replicated log without a protocol: what the leader proposes is
// applied everywhere at once. Tests name the leader and inject errors.
type fakeGroup struct {
	mu       sync.Mutex
	term     uint64
	leader   consensus.NodeID
	index    uint64
	replicas []*fakeReplica
}

type fakeReplica struct {
	group  *fakeGroup
	id     consensus.NodeID
	sm     consensus.StateMachine
	closed bool
	// proposeErr and barrierErr are returned when set; a Propose is still applied
	// first if applyFirst.
	proposeErr, barrierErr error
	applyFirst             bool
	proposed, barriers     int
	afterBarrier           func() // called by ReadBarrier before it returns
}

func (g *fakeGroup) open(sm consensus.StateMachine) (consensus.Replica, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &fakeReplica{group: g, id: consensus.NodeID(len(g.replicas) + 1), sm: sm}
	g.replicas = append(g.replicas, r)
	return r, nil
}

func (g *fakeGroup) elect(id consensus.NodeID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.term++
	g.leader = id
}

func (r *fakeReplica) fail(propose, barrier error, applyFirst bool) {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	r.proposeErr, r.barrierErr, r.applyFirst = propose, barrier, applyFirst
}

func (r *fakeReplica) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	r.proposed++
	switch {
	case ctx.Err() != nil:
		return consensus.Result{}, fmt.Errorf("%w: %w", consensus.ErrDropped, ctx.Err())
	case r.closed:
		return consensus.Result{}, consensus.ErrClosed
	case r.proposeErr != nil && !r.applyFirst:
		return consensus.Result{}, r.proposeErr
	case g.leader != r.id:
		return consensus.Result{}, &consensus.NotLeaderError{Hint: g.leader}
	}
	g.index++
	var value []byte
	for _, x := range g.replicas {
		if results := x.sm.Apply(g.index, [][]byte{command}); x == r {
			value = results[0]
		}
	}
	return consensus.Result{Index: g.index, Value: value}, r.proposeErr
}

func (r *fakeReplica) ReadBarrier(ctx context.Context) (uint64, error) {
	index, err := r.barrier(ctx)
	if r.afterBarrier != nil {
		r.afterBarrier()
	}
	return index, err
}

func (r *fakeReplica) barrier(ctx context.Context) (uint64, error) {
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	r.barriers++
	switch {
	case r.closed:
		return 0, consensus.ErrClosed
	case r.barrierErr != nil:
		return 0, r.barrierErr
	case g.leader != r.id:
		return 0, &consensus.NotLeaderError{Hint: g.leader}
	}
	return g.index, ctx.Err()
}

func (r *fakeReplica) Status() consensus.Status {
	g := r.group
	g.mu.Lock()
	defer g.mu.Unlock()
	st := consensus.Status{ID: r.id, Term: g.term, Leader: g.leader, Committed: g.index, Applied: g.index}
	if g.leader == r.id {
		st.Role = consensus.Leader
	}
	return st
}

// Term makes it a consensus.TermReader.
func (r *fakeReplica) Term() uint64 {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	return r.group.term
}

func (r *fakeReplica) Close() error {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	r.closed = true
	return nil
}

// fakeChunkserver is a chunkserver that stores no data: it keeps versions and
// leases by the rules and notes until when it may act as a primary. What it would
// have on its disk is in its fakeStore.
type fakeChunkserver struct {
	api.UnimplementedChunkserverServer
	name string
	cell *fakeCell

	mu     sync.Mutex
	grants map[uint64]*api.GrantRequest // active, by handle
	until  map[uint64]time.Time         // may act as primary, by handle
	silent bool                         // answers nothing
	refuse string                       // the method that it refuses
	calls  map[string]int

	store   fakeStore
	onClone func(r *api.CloneRequest, done bool)
}

func (c *fakeChunkserver) enter(ctx context.Context, method string) (bool, error) {
	c.mu.Lock()
	c.calls[method]++
	silent, refuse := c.silent, c.refuse
	c.mu.Unlock()
	if silent {
		<-ctx.Done()
		return false, ctx.Err()
	}
	return refuse != method, nil
}

func (c *fakeChunkserver) set(silent bool, refuse string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent, c.refuse = silent, refuse
}

func (c *fakeChunkserver) count(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

func (c *fakeChunkserver) PrepareGrant(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	ok, err := c.enter(ctx, "prepare")
	if ok && err == nil {
		ok = c.store.prepare(r)
	}
	return &api.GrantReply{Ok: ok, Version: r.Version, Term: r.Term}, err
}

func (c *fakeChunkserver) ActivateGrant(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	ok, err := c.enter(ctx, "activate")
	if !ok || err != nil {
		return &api.GrantReply{}, err
	}
	c.mu.Lock()
	if old := c.grants[r.Handle]; old == nil || old.Epoch != r.Epoch {
		c.grants[r.Handle] = r
		delete(c.until, r.Handle)
	}
	c.mu.Unlock()
	c.claim(ctx, r.Handle)
	return &api.GrantReply{Ok: true, Version: r.Version, Term: r.Term}, nil
}

func (c *fakeChunkserver) EndLease(ctx context.Context, r *api.GrantRequest) (*api.GrantReply, error) {
	ok, err := c.enter(ctx, "end")
	if ok && err == nil {
		c.mu.Lock()
		delete(c.grants, r.Handle)
		delete(c.until, r.Handle)
		c.mu.Unlock()
	}
	return &api.GrantReply{Ok: ok}, err
}

// claim claims or extends the lease at whichever master leads.
func (c *fakeChunkserver) claim(ctx context.Context, handle uint64) bool {
	c.mu.Lock()
	grant := c.grants[handle]
	c.mu.Unlock()
	if grant == nil {
		return false
	}
	sent := time.Now()
	for _, m := range c.cell.masters {
		r, err := m.ClaimLease(ctx, &api.ClaimRequest{Chunkserver: c.name, Handle: handle, Version: grant.Version, Epoch: grant.Epoch})
		if err != nil || !r.Granted {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.grants[handle] != grant { // ended meanwhile
			return false
		}
		term := time.Duration(r.DurationNs)
		if !c.cell.slow { // D(1-rho) by a clock that is slow by rho takes D
			term = scaled(term, 1-c.cell.o.Rho)
		}
		c.until[handle] = sent.Add(term)
		return true
	}
	return false
}

// acting reports the epoch under which the chunkserver may act as primary now.
func (c *fakeChunkserver) acting(handle uint64) (epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until[handle]) {
		return c.grants[handle].Epoch
	}
	return 0
}

// fakeCell is a cell of masters over one fakeGroup, with fake chunkservers.
type fakeCell struct {
	t       testing.TB
	o       Options
	group   *fakeGroup
	masters []*Master
	servers map[string]*fakeChunkserver
	seq     uint64
	slow    bool          // the chunkservers' clocks are as slow as rho allows
	late    bool          // clones may be asked for by a leader that is deposed meanwhile, which makes no members
	unheard atomic.Uint64 // a bit for each master that no heartbeat reaches

	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	events    []LeaseEvent
	onLease   func(LeaseEvent) // called besides, if set
}

const (
	leaseTerm = 500 * time.Millisecond
	leaseRho  = 0.1
)

// newCell starts masters and chunkservers; node 1 leads. It stops them when the
// test ends: in a bubble, call stop yourself before the bubble's function returns.
func newCell(t testing.TB, masters int, chunkservers ...string) *fakeCell {
	return newCellWith(t, func(*Options) {}, masters, chunkservers...)
}

func newCellWith(t testing.TB, change func(*Options), masters int, chunkservers ...string) *fakeCell {
	c := &fakeCell{
		t: t, group: &fakeGroup{}, servers: make(map[string]*fakeChunkserver), listeners: make(map[string]*bufconn.Listener),
		o: Options{LeaseTerm: leaseTerm, Rho: leaseRho, LeaseWait: true, DeadAfter: 300 * time.Millisecond, CallTimeout: 100 * time.Millisecond, Seed: 1},
	}
	c.o.Open = c.group.open
	c.o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		c.mu.Lock()
		l := c.listeners[addr]
		c.mu.Unlock()
		if l == nil {
			return nil, errors.New("nobody listens")
		}
		return l.DialContext(ctx)
	}
	c.o.OnLease = func(e LeaseEvent) {
		c.mu.Lock()
		c.events = append(c.events, e)
		onLease := c.onLease
		c.mu.Unlock()
		if onLease != nil {
			onLease(e)
		}
	}
	change(&c.o)
	for range masters {
		m, err := New(c.o)
		if err != nil {
			t.Fatal(err)
		}
		c.masters = append(c.masters, m)
	}
	c.group.elect(1)
	for _, name := range chunkservers {
		c.serve(name)
	}
	c.heartbeat(chunkservers...)
	return c
}

func (c *fakeCell) serve(name string) {
	s := &fakeChunkserver{
		name: name, cell: c, grants: make(map[uint64]*api.GrantRequest), until: make(map[uint64]time.Time), calls: make(map[string]int),
	}
	c.servers[name] = s
	l := bufconn.Listen(64 << 10)
	c.mu.Lock()
	c.listeners["addr-"+name] = l
	c.mu.Unlock()
	server := grpc.NewServer()
	api.RegisterChunkserverServer(server, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) { // stopped before it began
			c.t.Errorf("chunkserver %s: %v", name, err)
		}
	}()
	c.t.Cleanup(func() { server.Stop(); <-done })
}

// heartbeat sends reports of the named chunkservers, but of those that are down,
// to all masters, and obeys.
func (c *fakeCell) heartbeat(names ...string) {
	for _, name := range names {
		for i, m := range c.masters {
			if c.unheard.Load()&(1<<i) != 0 {
				continue
			}
			r := c.servers[name].store.report(i)
			if r == nil {
				continue
			}
			r.Chunkserver, r.Address = name, "addr-"+name
			reply, err := m.Heartbeat(c.t.Context(), r)
			if err != nil {
				c.t.Fatal(err)
			}
			c.servers[name].store.obey(i, reply)
		}
	}
}

// keepAlive sends heartbeats for all chunkservers until ctx ends.
func (c *fakeCell) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for name := range c.servers {
			c.heartbeat(name)
		}
	}
}

func (c *fakeCell) stop() {
	for _, m := range c.masters {
		if err := m.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

func (c *fakeCell) session() *api.Session {
	c.seq++
	return &api.Session{Client: "client", Seq: c.seq}
}

// newChunk makes a file with one chunk.
func (c *fakeCell) newChunk(path string) (handle uint64) {
	c.t.Helper()
	m := c.masters[c.group.replicas[0].Status().Leader-1]
	if r, err := m.Create(c.t.Context(), &api.PathRequest{Session: c.session(), Path: path}); err != nil || r.Code != api.Code_OK {
		c.t.Fatal(r, err)
	}
	r, err := m.AllocateChunk(c.t.Context(), &api.AllocateRequest{Session: c.session(), Path: path})
	if err != nil || r.Code != api.Code_OK {
		c.t.Fatal(r, err)
	}
	return r.Handle
}

// find calls FindLeaseHolder and wants OK.
func (c *fakeCell) find(m *Master, handle uint64) *api.ChunkReply {
	c.t.Helper()
	r, err := m.FindLeaseHolder(c.t.Context(), &api.LeaseRequest{Handle: handle})
	if err != nil || r.Code != api.Code_OK {
		c.t.Fatalf("FindLeaseHolder: %v, %v", r, err)
	}
	return r
}

// count returns how many lease events of a kind were observed.
func (c *fakeCell) count(kind string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
