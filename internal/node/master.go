package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/master"
)

// MasterConfig is what a master node needs.
type MasterConfig struct {
	// Backend names the protocol that replicates the operation log.
	Backend string
	// Consensus configures the replica; its StateMachine is set by StartMaster.
	Consensus consensus.Config
	// Doors are the replica's files and peer network.
	Doors engine.Deps
	// Clients is where clients and chunkservers reach the master. The node owns
	// it from here on.
	Clients net.Listener
	// Master configures the service; its Open is set by StartMaster.
	Master master.Options
}

// Master is a running master node.
type Master struct {
	*master.Master
	server *grpc.Server
	serve  sync.WaitGroup
	once   sync.Once
	err    error
}

// StartMaster opens the replica and serves the API.
func StartMaster(c MasterConfig) (*Master, error) {
	if c.Clients == nil {
		return nil, errors.New("node: a master needs a listener for clients")
	}
	o := c.Master
	o.Open = func(sm consensus.StateMachine) (consensus.Replica, error) {
		cfg := c.Consensus
		cfg.StateMachine = sm
		return OpenReplica(c.Backend, cfg, c.Doors)
	}
	m, err := master.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("node: master %d: %w", c.Consensus.Self, err), c.Clients.Close())
	}
	n := &Master{Master: m, server: grpc.NewServer(grpc.WaitForHandlers(true))}
	api.RegisterMasterServer(n.server, m)
	status := health.NewServer()
	status.SetServingStatus(api.Master_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(n.server, status)
	n.serve.Go(func() {
		// Serve ends when the server stops or the listener dies with its node;
		// both are the end of this node, and the caller sees it by the RPCs.
		_ = n.server.Serve(c.Clients)
	})
	return n, nil
}

// Close stops serving and closes the master and its replica. Calls in progress
// end with errors. It is idempotent.
func (n *Master) Close() error {
	n.once.Do(func() {
		// The master first: its handlers end with errors, and then Stop, which
		// waits for handlers, returns.
		n.err = n.Master.Close()
		n.server.Stop()
		n.serve.Wait()
	})
	return n.err
}

// Dialer connects to an address; see master.Options.Dial.
type Dialer = func(ctx context.Context, addr string) (net.Conn, error)
