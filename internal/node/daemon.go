package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	"gfslab/internal/node/metrics"
	"gfslab/kv"
)

// ReplicaDaemon says how a node that holds a replica runs as a process of its own:
// real files, TCP, and one address for peers and clients alike.
type ReplicaDaemon struct {
	Backend, Cluster string
	Self             consensus.NodeID
	// Peers are the founders, or whom to talk to if the node joins; Self included.
	Peers []consensus.Peer
	Join  bool
	// Listen is the address to listen at; empty: the node's own among Peers.
	Listen string
	// Dir is the node's folder.
	Dir    string
	Limits consensus.Limits
	Seed   uint64
	Logger *slog.Logger
	// Serving bounds what strangers may ask.
	Serving Serving
	// MetricsAddr is where HTTP serves /metrics; empty: nowhere.
	MetricsAddr string
}

// KVDaemon says how a node of the key-value store runs as a process of its own.
type KVDaemon struct{ ReplicaDaemon }

// ServeKV starts the node.
func ServeKV(d KVDaemon) (*KV, error) {
	c, err := d.listen(filepath.Join(d.Dir, "log"), newGuard(d.Serving, d.Cluster, d.Logger, metrics.New()))
	if err != nil {
		return nil, err
	}
	n, err := StartKV(KVConfig{ReplicaConfig: c, KV: kv.Options{}})
	if err != nil {
		return nil, errors.Join(err, c.Doors.Listener.Close())
	}
	return n, nil
}

// listen opens the node's port and says how its replica runs. logs is the folder
// of the log.
func (d ReplicaDaemon) listen(logs string, g *guard) (ReplicaConfig, error) {
	for _, p := range d.Peers {
		if p.ID == d.Self && d.Listen == "" {
			d.Listen = p.Addr
		}
	}
	if d.Dir == "" || d.Listen == "" {
		return ReplicaConfig{}, errors.New("node: a node needs a folder and an address of its own")
	}
	l, err := wire.TCP().Listen(d.Listen)
	if err != nil {
		return ReplicaConfig{}, fmt.Errorf("node: %w", err)
	}
	peers, clients := share(bounded(l, g.limits.Connections))
	return ReplicaConfig{
		Backend: d.Backend,
		Consensus: consensus.Config{
			Cluster: d.Cluster, Self: d.Self, Peers: d.Peers, Join: d.Join, Limits: d.Limits, Seed: d.Seed,
			Logger: d.Logger, Observe: logEvents(d.Logger),
		},
		Doors:   engine.Deps{FS: disk.Default, Dir: logs, Network: wire.TCP(), Listener: peers},
		Clients: clients,
		guard:   g,
	}, nil
}

// logEvents logs what an operator wants to know of a replica's life.
func logEvents(log *slog.Logger) func(consensus.Event) {
	return func(e consensus.Event) {
		switch e.Kind {
		case consensus.EventCampaign:
			log.Info("campaigns", "term", e.Term)
		case consensus.EventLeader:
			log.Info("leads", "term", e.Term)
		case consensus.EventStepDown:
			log.Info("leads no longer", "term", e.Term)
		case consensus.EventRestored:
			log.Info("restored a snapshot", "index", e.Index)
		case consensus.EventSnapshot:
			log.Info("wrote a snapshot", "index", e.Index)
		case consensus.EventMembers:
			log.Info("has new members", "index", e.Index, "members", fmt.Sprint(e.Members.Voters), "learners", fmt.Sprint(e.Members.Learners))
		case consensus.EventStalled:
			log.Warn("gives up the lead: a write to its log takes too long", "term", e.Term)
		}
	}
}

// page serves a daemon's metrics over HTTP until it is closed.
type page struct {
	server *http.Server
	addr   net.Addr
	wg     sync.WaitGroup
}

// servePage serves at addr; a nil page, of an empty address, serves nothing.
func servePage(addr string, set *metrics.Set) (*page, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("node: metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", set.Handler())
	p := &page{addr: l.Addr(), server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	p.wg.Go(func() { _ = p.server.Serve(l) }) // it ends when the page is closed
	return p, nil
}

// Close is nil-safe.
func (p *page) Close() error {
	if p == nil {
		return nil
	}
	err := p.server.Close()
	p.wg.Wait()
	return err
}

// Addr is where the page is served, nil for a nil page.
func (p *page) Addr() net.Addr {
	if p == nil {
		return nil
	}
	return p.addr
}

// tcp dials chunkservers and masters.
func tcp(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}
