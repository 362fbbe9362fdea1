package call

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
)

// Dialer opens a connection to an address.
type Dialer func(ctx context.Context, addr string) (net.Conn, error)

// Conns keeps one gRPC connection an address. It is safe for concurrent use.
type Conns struct {
	dial     Dialer
	maxBytes int

	mu     sync.Mutex
	closed bool
	conns  map[string]*grpc.ClientConn
}

// NewConns returns an empty set; a nil dialer means TCP. maxBytes bounds one
// message: a quarter of a chunk and a little more; 0 means 20 MiB.
func NewConns(dial Dialer, maxBytes int) *Conns {
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	if maxBytes == 0 {
		maxBytes = 20 << 20
	}
	return &Conns{dial: dial, maxBytes: maxBytes, conns: make(map[string]*grpc.ClientConn)}
}

// Get returns the connection to addr, which may not be established yet. The set
// owns it.
func (c *Conns) Get(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	if conn, ok := c.conns[addr]; ok {
		return conn, nil
	}
	// The short backoff keeps gRPC's reconnection out of failover figures.
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(c.dial),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithStatsHandler(departures{}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 150 * time.Millisecond},
			MinConnectTimeout: 250 * time.Millisecond,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(c.maxBytes), grpc.MaxCallSendMsgSize(c.maxBytes)))
	if err != nil {
		return nil, err
	}
	c.conns[addr] = conn
	return conn, nil
}

// Close closes all connections; operations under way fail.
func (c *Conns) Close() error {
	c.mu.Lock()
	conns := c.conns
	c.closed, c.conns = true, nil
	c.mu.Unlock()
	var first error
	for _, conn := range conns {
		if err := conn.Close(); first == nil {
			first = err
		}
	}
	return first
}

// departure notes whether a call was handed to a transport: if not, it surely
// did not happen.
type departure struct{ left atomic.Bool }

type departureKey struct{}

func withDeparture(ctx context.Context, d *departure) context.Context {
	return context.WithValue(ctx, departureKey{}, d)
}

// departures is the stats handler that fills in departure.
type departures struct{}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (departures) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); ok {
		if d, ok := ctx.Value(departureKey{}).(*departure); ok {
			d.left.Store(true)
		}
	}
}

func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (departures) HandleConn(context.Context, stats.ConnStats) {}
