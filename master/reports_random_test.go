package master

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"gfslab/api"
	storage "gfslab/chunkserver"
	"gfslab/consensus/wire"
	faultdisk "gfslab/internal/fault/disk"
)

// reportsWorld is a chunkserver whose reports go to the tables of two masters over a
// network that loses, repeats and holds them back.
type reportsWorld struct {
	t       *testing.T
	network wire.Network
	disk    *faultdisk.FS
	server  *storage.Server
	conn    *grpc.ClientConn
	masters []*reportsMaster
	// versions are the highest that each handle ever had.
	versions map[uint64]uint64
	off      time.Duration // of the chunkserver's clock, set at each start
}

// reportsMaster is a master's table of what chunkservers hold.
type reportsMaster struct {
	api.UnimplementedMasterServer
	servers *chunkservers

	mu     sync.Mutex
	slow   time.Duration
	fate   string // of the next heartbeats: "", or lost, unanswered, twice
	remove []*api.ChunkReport
	old    []*api.HeartbeatRequest // that are held back somewhere
	parts  int
}

// Heartbeat takes a heartbeat as the network lets it.
func (m *reportsMaster) Heartbeat(_ context.Context, r *api.HeartbeatRequest) (*api.HeartbeatReply, error) {
	m.mu.Lock()
	slow := m.slow
	m.mu.Unlock()
	time.Sleep(slow) // so that much can happen between two parts
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.old) < 100 {
		m.old = append(m.old, r)
	}
	if r.Part != nil {
		m.parts++
	}
	if m.fate == "lost" {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	h, err := m.servers.note(r)
	if err == nil && m.fate == "twice" {
		h, err = m.servers.note(r)
	}
	if err == nil && m.fate == "unanswered" {
		err = status.Error(codes.Unavailable, "the answer is lost")
	}
	if err != nil {
		return nil, err
	}
	reply := &api.HeartbeatReply{Term: 1, Leader: true, WantFull: h.wantFull, FullFrom: h.fullFrom, Remove: m.remove}
	m.remove = nil
	return reply, nil
}

func (w *reportsWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// start starts the chunkserver over its disk.
func (w *reportsWorld) start() {
	w.t.Helper()
	l, err := w.network.Listen("cs1")
	w.must(err)
	off := w.off
	w.server, err = storage.Start(storage.Options{
		Name: "cs1", FS: w.disk, Dir: "/cs", ChunkBytes: 8192, Masters: []string{"m0", "m1"}, Dial: w.network.Dial, Listener: l,
		HeartbeatEvery: 40 * time.Millisecond, ReportChunks: 4, ScrubBytesPerSecond: -1,
		Now: func() time.Time { return time.Now().Add(off) },
	})
	w.must(err)
	w.conn, err = grpc.NewClient("passthrough:///cs1", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return w.network.Dial(ctx, addr) }))
	w.must(err)
}

func (w *reportsWorld) stop() {
	w.t.Helper()
	w.must(w.conn.Close())
	w.must(w.server.Close())
}

// raise makes a replica, or gives it the next version.
func (w *reportsWorld) raise(handle, version uint64) {
	_, err := api.NewChunkserverClient(w.conn).PrepareGrant(w.t.Context(), &api.GrantRequest{
		Handle: handle, Version: version, Epoch: version, Term: 1, Primary: "cs1", Replicas: []string{"cs1"}, Addresses: map[string]string{"cs1": "cs1"},
	})
	w.must(err) // a replica that is being removed refuses
}

// truth is what the chunkserver has, asked for one by one.
func (w *reportsWorld) truth() string {
	w.t.Helper()
	var out strings.Builder
	for h := uint64(1); h <= reportedHandles; h++ {
		reply, err := api.NewChunkserverClient(w.conn).ReadChunk(w.t.Context(), &api.ReadChunkRequest{Handle: h, Length: 1})
		w.must(err)
		if reply.Version != 0 && reply.Code != api.Code_NOT_FOUND || reply.Code == api.Code_OK {
			fmt.Fprintf(&out, "%d:%d ", h, reply.Version)
		}
	}
	return out.String()
}

func (m *reportsMaster) table() string {
	m.servers.mu.Lock()
	defer m.servers.mu.Unlock()
	c := m.servers.byName["cs1"]
	if c == nil || !c.complete {
		return "not complete"
	}
	var out strings.Builder
	for _, h := range c.replicas.between(0, 0) {
		x, _ := c.replicas.get(h)
		fmt.Fprintf(&out, "%d:%d ", h, x.version)
	}
	return out.String()
}

// reportsStep is one thing that happens; n means what suits it.
type reportsStep struct {
	what    string
	master  int
	handles []uint64
	n       int
}

const reportedHandles = 30

// TestReportsAtRandom: whatever becomes of the messages, in the end every master knows
// exactly what the chunkserver has; and a full report counts only if it is whole.
func TestReportsAtRandom(t *testing.T) {
	parts := 0
	step := rapid.Custom(func(rt *rapid.T) reportsStep {
		return reportsStep{
			what: rapid.SampledFrom([]string{
				"raise", "raise", "", "lost", "unanswered", "twice", "wait", "wait", "late", "late", "slow", "remove", "restart", "disk", "forgets",
			}).Draw(rt, "what"),
			master:  rapid.IntRange(0, 1).Draw(rt, "master"),
			handles: rapid.SliceOfN(rapid.Uint64Range(1, reportedHandles), 1, 20).Draw(rt, "handles"),
			n:       rapid.IntRange(0, 99).Draw(rt, "n"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(step, 1, 60).Draw(rt, "steps")
		fault := ""
		synctest.Test(t, func(t *testing.T) { fault = playReports(t, steps, &parts) })
		if fault != "" {
			rt.Fatal(fault)
		}
	})
	if parts == 0 {
		t.Error("no report was in parts")
	}
}

// playReports returns what is wrong in the end.
func playReports(t *testing.T, steps []reportsStep, parts *int) (fault string) {
	w := &reportsWorld{t: t, network: wire.NewMemory(), disk: faultdisk.NewMem(1), versions: make(map[uint64]uint64)}
	var serving sync.WaitGroup
	var stops []func()
	for i := range 2 {
		m := &reportsMaster{slow: 20 * time.Millisecond, servers: newChunkservers(Options{}.WithDefaults())}
		w.masters = append(w.masters, m)
		l, err := w.network.Listen(fmt.Sprintf("m%d", i))
		w.must(err)
		s := grpc.NewServer()
		api.RegisterMasterServer(s, m)
		stops = append(stops, s.Stop)
		serving.Go(func() { _ = s.Serve(l) })
	}
	w.start()
	defer func() {
		w.stop()
		for _, stop := range stops {
			stop()
		}
		serving.Wait()
	}()
	for _, s := range steps {
		w.step(s)
	}
	for _, m := range w.masters {
		m.mu.Lock()
		m.slow, m.fate, m.remove = 0, "", nil
		*parts += m.parts
		m.mu.Unlock()
	}
	time.Sleep(8 * time.Second) // a boot that seems to be over is heard again
	want := w.truth()
	for i, m := range w.masters {
		if got := m.table(); got != want {
			fault += fmt.Sprintf("master %d knows %s\nthere is       %s\n", i, got, want)
		}
	}
	return fault
}

// step lets one thing happen.
func (w *reportsWorld) step(s reportsStep) {
	m := w.masters[s.master]
	switch s.what {
	case "raise":
		for _, h := range s.handles {
			w.versions[h]++
			w.raise(h, w.versions[h])
		}
		return
	case "wait":
		time.Sleep(time.Duration(4*s.n) * time.Millisecond)
		return
	case "restart", "disk":
		w.stop()
		w.off = time.Duration(s.n-50) * time.Second
		if s.what == "disk" {
			w.disk = faultdisk.NewMem(1)
		}
		time.Sleep(time.Millisecond)
		w.start()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch s.what {
	case "remove":
		for _, h := range s.handles {
			m.remove = append(m.remove, &api.ChunkReport{Handle: h, Version: w.versions[h]})
		}
	case "forgets": // the master is another process, which nothing sent to this one reaches
		m.old = nil
		m.servers = newChunkservers(Options{}.WithDefaults())
	case "late":
		if n := len(m.old); n > 0 {
			_, _ = m.servers.note(m.old[s.n*n/100]) // refused or not
		}
	case "slow":
		m.slow = time.Duration(s.n) * time.Millisecond
	default:
		m.fate = s.what
	}
}
