package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"gfslab/api"
	"gfslab/chunkserver"
	"gfslab/consensus"
	"gfslab/internal/node"
	"gfslab/internal/ports"
)

// freeAddresses returns loopback addresses that are the test's until it ends.
func freeAddresses(t testing.TB, n int) []string {
	t.Helper()
	held := &ports.Set{}
	t.Cleanup(func() { _ = held.Close() })
	var out []string
	for range n {
		address, err := held.Take(rand.IntN)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, address)
	}
	return out
}

// journal is a log that tests can look into.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// patience is how long something that must happen may take on a machine that is
// busy with other work. Nothing here waits for it to end.
const patience = time.Minute

// calm is an election timeout, in ticks, that followers of a healthy leader do not
// reach on a busy machine: most tests talk to one leader from beginning to end.
const calm = 75

// served is a cell of daemons in this process: real files, real sockets.
type served struct {
	t            testing.TB
	dir          string
	backend      string
	peers        []consensus.Peer
	masters      []*node.ServedMaster
	chunkservers []*node.ServedChunkserver
	addresses    []string // of the chunkservers
	limits       consensus.Limits
	log          journal
}

func serveCell(t testing.TB, backend string, masters, chunkservers int) *served {
	t.Helper()
	c := &served{t: t, dir: t.TempDir(), backend: backend, masters: make([]*node.ServedMaster, masters), limits: consensus.Matched2()}
	c.limits.ElectionTicks = calm
	for i, addr := range freeAddresses(t, masters+chunkservers) {
		if i < masters {
			c.peers = append(c.peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: addr})
		} else {
			c.addresses = append(c.addresses, addr)
		}
	}
	t.Cleanup(c.close)
	for i := range c.masters {
		c.startMaster(i)
	}
	for i := range c.addresses {
		s, err := node.ServeChunkserver(c.chunkserver(i))
		c.must(err)
		c.chunkservers = append(c.chunkservers, s)
	}
	return c
}

func (c *served) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *served) close() {
	for _, s := range c.chunkservers {
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	}
	for _, m := range c.masters {
		if m != nil {
			if err := m.Close(); err != nil {
				c.t.Error(err)
			}
		}
	}
}

func (c *served) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&c.log, nil)) }

func (c *served) master(i int) node.MasterDaemon {
	return node.MasterDaemon{ReplicaDaemon: node.ReplicaDaemon{
		Backend: c.backend, Cluster: "test", Self: c.peers[i].ID, Peers: c.peers, Dir: filepath.Join(c.dir, fmt.Sprintf("m%d", i+1)),
		Limits: c.limits, Seed: uint64(i + 1), Logger: c.logger(), MetricsAddr: "127.0.0.1:0",
	}}
}

func (c *served) startMaster(i int) {
	c.t.Helper()
	m, err := node.ServeMaster(c.master(i))
	c.must(err)
	c.masters[i] = m
}

func (c *served) chunkserver(i int) node.ChunkserverDaemon {
	var masters []string
	for _, p := range c.peers {
		masters = append(masters, p.Addr)
	}
	return node.ChunkserverDaemon{
		Cluster: "test", Listen: c.addresses[i], Dir: filepath.Join(c.dir, fmt.Sprintf("cs%d", i+1)), Logger: c.logger(), MetricsAddr: "127.0.0.1:0",
		Chunkserver: chunkserver.Options{Name: fmt.Sprintf("cs%d", i+1), Masters: masters, ChunkBytes: 1 << 20},
	}
}

// eventually waits for a condition of real daemons.
func (c *served) eventually(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for over := time.After(patience); ; {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			c.t.Fatalf("%s: not in %v\n%s", what, patience, c.log.String())
		}
	}
}

// leader waits until one master leads and hears that many chunkservers.
func (c *served) leader() int {
	c.t.Helper()
	found := -1
	c.eventually("a leader that hears all chunkservers", func() bool {
		for i, m := range c.masters {
			if m != nil && m.Replica().Status().Role == consensus.Leader && m.AliveChunkservers() >= len(c.chunkservers) {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

// dial connects as a client that is not ours would.
func (c *served) dial(addr string, options ...grpc.DialOption) *grpc.ClientConn {
	c.t.Helper()
	cc, err := grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	c.must(err)
	c.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// A founder that is started again alone founds nothing, be it with all founders
// among its peers or with itself alone: it does not lead, says so, and what it knew
// is there when the others come back.
func TestIsolatedRestartNeverForks(t *testing.T) {
	for _, backend := range node.Replicated() {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, alone := range []bool{false, true} {
				neverForks(t, backend, alone)
			}
		})
	}
}

func neverForks(t *testing.T, backend string, alone bool) {
	c := serveCell(t, backend, 3, 0)
	lead := c.leader()
	r, err := api.NewMasterClient(c.dial(c.peers[lead].Addr)).Mkdir(within(t, patience), &api.PathRequest{Path: "/kept"})
	if err != nil || r.Code != api.Code_OK {
		t.Fatalf("%v %v", r, err)
	}
	for i := range c.masters {
		c.must(c.masters[i].Close())
		c.masters[i] = nil
	}
	c.limits = consensus.Matched2() // it is watched for ten election timeouts
	again := c.master(lead)
	if alone {
		again.Peers = again.Peers[lead : lead+1] // as if it were to found a cluster of its own
	}
	m, err := node.ServeMaster(again)
	c.must(err)
	c.masters[lead] = m
	cc := c.dial(c.peers[lead].Addr)
	over := time.After(10 * c.master(lead).Limits.ElectionTimeout())
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting; {
		select {
		case <-over:
			waiting = false
		case <-look.C:
			if st := c.masters[lead].Replica().Status(); st.Role == consensus.Leader || st.Leader != 0 {
				t.Fatalf("it leads, or follows %d, alone: %+v", st.Leader, st)
			}
		}
	}
	h, err := healthpb.NewHealthClient(cc).Check(within(t, patience), &healthpb.HealthCheckRequest{Service: api.Master_ServiceDesc.ServiceName})
	if err != nil || h.Status != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health of a master without a leader: %v %v", h, err)
	}
	if _, err := api.NewMasterClient(cc).Create(within(t, time.Second), &api.PathRequest{Path: "/fork"}); err == nil {
		t.Error("a master without a majority created a file")
	}
	for i := range c.masters {
		if i != lead {
			c.startMaster(i)
		}
	}
	c.eventually("the directory to be there once all are back", func() bool { // whoever leads by then
		s, err := api.NewMasterClient(c.dial(c.peers[c.leader()].Addr)).Stat(within(t, patience), &api.ReadRequest{Path: "/kept"})
		return err == nil && s.Code == api.Code_OK && s.Directory
	})
}

// A folder serves whom it belongs to, and one process at a time.
func TestFoldersAreOwned(t *testing.T) {
	t.Parallel() // it waits for a lock
	c := serveCell(t, node.MultiPaxos, 1, 1)
	c.leader()
	c.must(c.masters[0].Close())
	c.masters[0] = nil
	refused := func(what, want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	serve := func(change func(*node.MasterDaemon)) error {
		d := c.master(0)
		change(&d)
		m, err := node.ServeMaster(d)
		if err == nil {
			err = errors.Join(errors.New("it was served"), m.Close())
		}
		return err
	}
	refused("another cluster", "belongs to master 1 of cluster test", serve(func(d *node.MasterDaemon) { d.Cluster = "other" }))
	refused("another backend", "backend multipaxos", serve(func(d *node.MasterDaemon) { d.Backend = node.EtcdRaft }))
	refused("another node", "not to master 2", serve(func(d *node.MasterDaemon) {
		d.Self = 2
		d.Peers = append(d.Peers, consensus.Peer{ID: 2, Addr: freeAddresses(t, 1)[0]})
	}))
	refused("a chunkserver's folder in use", "another process uses", serve(func(d *node.MasterDaemon) { d.Dir = c.chunkserver(0).Dir }))
	c.must(c.chunkservers[0].Close())
	refused("a chunkserver's folder", "belongs to chunkserver cs1", serve(func(d *node.MasterDaemon) { d.Dir = c.chunkserver(0).Dir }))
	foreign := t.TempDir()
	c.must(os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600))
	refused("a folder of somebody else", "thesis.tex", serve(func(d *node.MasterDaemon) { d.Dir = foreign }))
	c.must(os.RemoveAll(filepath.Join(c.master(0).Dir, "data")))
	refused("a folder that lost its log", "has lost its data", serve(func(*node.MasterDaemon) {}))
	cs := c.chunkserver(0)
	cs.Chunkserver.ChunkBytes = 2 << 20
	_, err := node.ServeChunkserver(cs)
	refused("another chunk size", "chunks of 1048576 bytes", err)
	cs = c.chunkserver(0)
	cs.Chunkserver.Name = "cs2"
	_, err = node.ServeChunkserver(cs)
	refused("another name", "not to chunkserver cs2", err)
	again, err := node.ServeChunkserver(c.chunkserver(0))
	c.must(err)
	c.must(again.Close())
}

// Metrics parse, and are named as Prometheus wants it.
func TestMetricsParseAndLint(t *testing.T) {
	for _, backend := range node.Backends() {
		t.Run(backend, func(t *testing.T) {
			c := serveCell(t, backend, 1, 1)
			m := api.NewMasterClient(c.dial(c.peers[c.leader()].Addr))
			for _, path := range []string{"/f", "/f", "no path"} {
				_, err := m.Create(within(t, patience), &api.PathRequest{Path: path})
				c.must(err)
			}
			families := c.scrape(c.masters[0].MetricsAddr())
			created := map[string]float64{}
			for _, x := range families["gfslab_rpc_handled_total"].GetMetric() {
				labels := map[string]string{}
				for _, l := range x.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				if labels["method"] == "gfslab.v1.Master/Create" {
					created[labels["code"]+" "+labels["result"]] += x.GetCounter().GetValue()
				}
			}
			if len(created) != 3 || created["OK OK"] != 1 || created["OK EXISTS"] != 1 || created["OK INVALID"] != 1 {
				t.Errorf("calls of Create: %v", created)
			}
			for _, name := range []string{"gfslab_consensus_fsyncs_total", "gfslab_consensus_term", "gfslab_consensus_role", "gfslab_consensus_applied_index",
				"gfslab_master_files", "gfslab_master_chunkservers_alive", "gfslab_rpc_duration_seconds", "go_goroutines", "process_open_fds"} {
				if families[name] == nil {
					t.Errorf("no %s", name)
				}
			}
			families = c.scrape(c.chunkservers[0].MetricsAddr())
			for _, name := range []string{"gfslab_chunkserver_mutations_total", "gfslab_chunkserver_disk_syncs_total", "process_cpu_seconds_total"} {
				if families[name] == nil {
					t.Errorf("no %s", name)
				}
			}
		})
	}
}

// scrape reads the metrics as Prometheus does, and lints their names.
func (c *served) scrape(at net.Addr) map[string]*dto.MetricFamily {
	c.t.Helper()
	r, err := http.Get("http://" + at.String() + "/metrics")
	c.must(err)
	text, err := io.ReadAll(r.Body)
	c.must(errors.Join(err, r.Body.Close()))
	if r.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %s", r.Status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	c.must(err)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	c.must(err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gfslab_") {
			c.t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	return families
}
