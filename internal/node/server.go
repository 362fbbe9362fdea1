package node

import (
	"context"
	"net"
	"sync"
	"time"

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

	// guard is set for daemons: nodes inside a process have no strangers.
	guard *guard
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
	grpc    *grpc.Server
	guard   *guard
	replica consensus.Replica
	service string
	stopped context.Context // done when the node begins to stop
	halt    context.CancelFunc
	serve   sync.WaitGroup
}

// start serves the admin service, the health service and what register adds.
func (c ReplicaConfig) start(replica consensus.Replica, d *serving.Directory, hash func() string, service string, register func(*grpc.Server)) *server {
	s := &server{guard: c.guard, replica: replica, service: service}
	s.stopped, s.halt = context.WithCancel(context.Background())
	options := []grpc.ServerOption{grpc.WaitForHandlers(true)}
	if c.guard != nil {
		options = append(options, grpc.MaxRecvMsgSize(c.guard.limits.MessageBytes))
		options = append(options, c.guard.options()...)
	}
	s.grpc = grpc.NewServer(options...)
	register(s.grpc)
	api.RegisterAdminServer(s.grpc, &serving.Admin{Replica: replica, Directory: d, Cluster: c.Consensus.Cluster, Backend: c.Backend, Hash: hash})
	if c.guard != nil {
		c.guard.register(s.grpc, service)
		s.serve.Go(s.watch)
	} else {
		status := health.NewServer()
		status.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
		healthpb.RegisterHealthServer(s.grpc, status)
	}
	s.serve.Go(func() {
		// Serve ends when the server stops or the listener dies with its node;
		// both are the end of this node, and the caller sees it by the RPCs.
		_ = s.grpc.Serve(c.Clients)
	})
	return s
}

// watchEvery is how old the health of a replica may be.
const watchEvery = 100 * time.Millisecond

// watch keeps the health service true: a replica that knows no leader can neither
// change nor look up anything.
func (s *server) watch() {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for able := false; ; {
		if now := s.replica.Status().Leader != 0; now != able {
			able = now
			s.guard.serving(able, s.service)
		}
		select {
		case <-t.C:
		case <-s.stopped.Done():
			s.guard.health.Shutdown()
			return
		}
	}
}

// retire hands the lead over, and lets calls in progress end until ctx does.
func (s *server) retire(ctx context.Context) {
	s.halt()
	if t, ok := s.replica.(consensus.Transferrer); ok && s.replica.Status().Role == consensus.Leader {
		// Best effort: without it the others elect a leader after a timeout.
		_ = t.Transfer(ctx, 0)
	}
	drain(ctx, s.grpc, &s.serve)
}

// drain takes no more calls, and waits until those in progress have ended, or ctx
// has: then what waits for them ends when the server is stopped, in wg.
func drain(ctx context.Context, g *grpc.Server, wg *sync.WaitGroup) {
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		g.GracefulStop()
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// stop waits for handlers, which must be about to end.
func (s *server) stop() {
	s.halt()
	s.grpc.Stop()
	s.serve.Wait()
}
