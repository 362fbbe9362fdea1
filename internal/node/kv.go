package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/kv"
)

// KVConfig is what a node of the key-value store needs.
type KVConfig struct {
	ReplicaConfig
	// KV configures the service; its Open and Directory are set by StartKV.
	KV kv.Options
}

// KV is a running node of the key-value store.
type KV struct {
	*kv.Server
	server *server
	once   sync.Once
	err    error
}

// StartKV opens the replica and serves the API.
func StartKV(c KVConfig) (*KV, error) {
	if c.Clients == nil {
		return nil, errors.New("node: a key-value node needs a listener for clients")
	}
	o := c.KV
	o.Open, o.Directory = c.opener()
	s, err := kv.New(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("node: key-value node %d: %w", c.Consensus.Self, err), c.Clients.Close())
	}
	n := &KV{Server: s}
	n.server = c.start(s.Replica(), o.Directory, s.Machine().Hash, api.KV_ServiceDesc.ServiceName, func(g *grpc.Server) {
		api.RegisterKVServer(g, s)
	})
	return n, nil
}

// Retire hands the lead over, if it is this node's, takes no more calls, and lets
// those in progress end until ctx does. Close is still to be called.
func (n *KV) Retire(ctx context.Context) { n.server.retire(ctx) }

// Close stops serving and closes the replica. Calls in progress end with errors.
// It is idempotent.
func (n *KV) Close() error {
	n.once.Do(func() {
		n.err = n.Server.Close() // ends the handlers that stop waits for
		n.server.stop()
	})
	return n.err
}
