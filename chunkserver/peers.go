package chunkserver

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// maxPeers bounds the connections kept: addresses may come from a client's chain.
// Beyond it, one gives way behind whose address nobody answers.
const maxPeers = 256

var errTooManyPeers = errors.New("too many peers")

// peers keeps one connection an address.
type peers struct {
	dial     func(ctx context.Context, addr string) (net.Conn, error)
	maxBytes int

	mu     sync.Mutex
	closed bool
	conns  map[string]*grpc.ClientConn
}

func newPeers(dial func(context.Context, string) (net.Conn, error), maxBytes int) *peers {
	return &peers{dial: dial, maxBytes: maxBytes, conns: make(map[string]*grpc.ClientConn)}
}

// get returns the connection to addr; it is dialled in the background.
func (p *peers) get(addr string) (*grpc.ClientConn, error) {
	var silent *grpc.ClientConn
	defer func() {
		if silent != nil {
			silent.Close()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if c, ok := p.conns[addr]; ok {
		return c, nil
	}
	if len(p.conns) >= maxPeers {
		if silent = p.takeSilent(); silent == nil {
			return nil, errTooManyPeers
		}
	}
	// The passthrough resolver leaves the address alone; the short backoff keeps
	// gRPC's reconnection out of failover figures.
	c, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(p.dial),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 150 * time.Millisecond},
			MinConnectTimeout: 250 * time.Millisecond,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(p.maxBytes), grpc.MaxCallSendMsgSize(p.maxBytes)))
	if err != nil {
		return nil, err
	}
	p.conns[addr] = c
	return c, nil
}

// takeSilent takes out a connection that does not stand; nil: all do. Call it with mu
// held.
func (p *peers) takeSilent() *grpc.ClientConn {
	for addr, c := range p.conns {
		if c.GetState() == connectivity.TransientFailure {
			delete(p.conns, addr)
			return c
		}
	}
	return nil
}

func (p *peers) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}
