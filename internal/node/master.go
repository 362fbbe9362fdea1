package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/master"
)

// MasterConfig is what a master node needs.
type MasterConfig struct {
	ReplicaConfig
	// Master configures the service; its Open and Directory are set by StartMaster.
	Master master.Options
}

// Master is a running master node.
type Master struct {
	*master.Master
	server *server
	once   sync.Once
	err    error
}

// StartMaster opens the replica and serves the API.
func StartMaster(c MasterConfig) (*Master, error) {
	if c.Clients == nil {
		return nil, errors.New("node: a master needs a listener for clients")
	}
	o := c.Master
	o.Open, o.Directory = c.opener()
	m, err := master.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("node: master %d: %w", c.Consensus.Self, err), c.Clients.Close())
	}
	n := &Master{Master: m}
	n.server = c.start(m.Replica(), o.Directory, m.Machine().Hash, api.Master_ServiceDesc.ServiceName, func(s *grpc.Server) {
		api.RegisterMasterServer(s, m)
	})
	return n, nil
}

// Close stops serving and closes the master and its replica. Calls in progress
// end with errors. It is idempotent.
func (n *Master) Close() error {
	n.once.Do(func() {
		// The master first: its handlers end with errors, and then stop, which
		// waits for handlers, returns.
		n.err = n.Master.Close()
		n.server.stop()
	})
	return n.err
}

// Dialer connects to an address; see master.Options.Dial.
type Dialer = func(ctx context.Context, addr string) (net.Conn, error)
