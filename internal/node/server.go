package node

import (
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/internal/serving"
)

// ReplicaConfig is what every node that holds a replica needs.
type ReplicaConfig struct {
	// Backend names the protocol that replicates the log.
	Backend string
	// Consensus configures the replica; its StateMachine is set by the node.
	Consensus consensus.Config
	// Doors are the replica's files and peer network.
	Doors engine.Deps
	// Clients is where clients reach the node. The node owns it from here on.
	Clients net.Listener
	// ClientAddress says where clients reach a member, "" if that is not known.
	// Nil: at the address where its peers do.
	ClientAddress func(consensus.Peer) string
}

// opener returns what opens the replica over a state machine, and the directory
// of its cluster.
func (c ReplicaConfig) opener() (func(consensus.StateMachine) (consensus.Replica, error), *serving.Directory) {
	directory := serving.NewDirectory(c.ClientAddress)
	return func(sm consensus.StateMachine) (consensus.Replica, error) {
		cfg := c.Consensus
		cfg.StateMachine = sm
		cfg.Observe = directory.Observe(cfg.Observe)
		replica, err := OpenReplica(c.Backend, cfg, c.Doors)
		if err == nil {
			directory.Attach(replica)
		}
		return replica, err
	}, directory
}

// server serves a node's services until it is stopped.
type server struct {
	grpc  *grpc.Server
	serve sync.WaitGroup
}

// start serves the admin service, the health service and what register adds.
func (c ReplicaConfig) start(replica consensus.Replica, d *serving.Directory, hash func() string, service string, register func(*grpc.Server)) *server {
	s := &server{grpc: grpc.NewServer(grpc.WaitForHandlers(true))}
	register(s.grpc)
	api.RegisterAdminServer(s.grpc, &serving.Admin{Replica: replica, Directory: d, Cluster: c.Consensus.Cluster, Backend: c.Backend, Hash: hash})
	status := health.NewServer()
	status.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s.grpc, status)
	s.serve.Go(func() {
		// Serve ends when the server stops or the listener dies with its node;
		// both are the end of this node, and the caller sees it by the RPCs.
		_ = s.grpc.Serve(c.Clients)
	})
	return s
}

// stop waits for handlers, which must be about to end.
func (s *server) stop() {
	s.grpc.Stop()
	s.serve.Wait()
}
