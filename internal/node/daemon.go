package node

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
	"gfslab/kv"
)

// KVDaemon says how a node of the key-value store runs as a process of its own:
// real files, TCP, and one address for peers and clients alike.
type KVDaemon struct {
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
}

// ServeKV starts the node.
func ServeKV(d KVDaemon) (*KV, error) {
	for _, p := range d.Peers {
		if p.ID == d.Self && d.Listen == "" {
			d.Listen = p.Addr
		}
	}
	if d.Dir == "" || d.Listen == "" {
		return nil, errors.New("node: a node needs a folder and an address of its own")
	}
	l, err := wire.TCP().Listen(d.Listen)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	peers, clients := share(l)
	n, err := StartKV(KVConfig{
		ReplicaConfig: ReplicaConfig{
			Backend: d.Backend,
			Consensus: consensus.Config{
				Cluster: d.Cluster, Self: d.Self, Peers: d.Peers, Join: d.Join, Limits: d.Limits, Seed: d.Seed,
				Logger: d.Logger, Observe: logEvents(d.Logger),
			},
			Doors:   engine.Deps{FS: disk.Default, Dir: filepath.Join(d.Dir, "log"), Network: wire.TCP(), Listener: peers},
			Clients: clients,
		},
		KV: kv.Options{},
	})
	if err != nil {
		return nil, errors.Join(err, peers.Close())
	}
	return n, nil
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
		}
	}
}
