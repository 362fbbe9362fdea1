package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/node/metrics"
)

// Serving bounds what strangers may ask of a daemon's port. Zero fields have
// defaults.
type Serving struct {
	// MessageBytes bounds one request (default 16 MiB; a chunkserver takes what its
	// chunk size asks for, if that is more).
	MessageBytes int
	// Streams bounds the calls at once on a connection (default 4096), Connections
	// those to the port (default 4096); what is above waits, or is turned away.
	Streams     uint32
	Connections int
	// Greeting bounds the time until a connection has said what it is (default 5 s).
	Greeting time.Duration
	// PingEvery is how often a client may ping at most (default 5 s); one that pings
	// more often is sent away.
	PingEvery time.Duration
}

// WithDefaults returns a copy in which every field is set.
func (s Serving) WithDefaults() Serving {
	if s.MessageBytes == 0 {
		s.MessageBytes = 16 << 20
	}
	if s.Streams == 0 {
		s.Streams = 4096
	}
	if s.Connections == 0 {
		s.Connections = 4096
	}
	if s.Greeting == 0 {
		s.Greeting = 5 * time.Second
	}
	if s.PingEvery == 0 {
		s.PingEvery = 5 * time.Second
	}
	return s
}

// Validate names the first bad value and how to mend it.
func (s Serving) Validate() error {
	switch s = s.WithDefaults(); {
	case s.MessageBytes < 64<<10:
		return fmt.Errorf("message_bytes is %d; it must be at least 65536, or paths and reports do not fit", s.MessageBytes)
	case s.Connections < 16:
		return fmt.Errorf("connections is %d; it must be at least 16, or peers and clients lock each other out", s.Connections)
	case s.Streams < 16:
		return fmt.Errorf("streams is %d; it must be at least 16", s.Streams)
	case s.Greeting < 100*time.Millisecond:
		return fmt.Errorf("greeting is %v; it must be at least 100ms", s.Greeting)
	case s.PingEvery < 0:
		return fmt.Errorf("ping_every is %v; it must not be negative", s.PingEvery)
	}
	return nil
}

// guard is what stands between a daemon's port and its services.
type guard struct {
	limits  Serving
	cluster string
	log     *slog.Logger
	metrics *metrics.Set
	health  *health.Server
}

func newGuard(limits Serving, cluster string, log *slog.Logger, set *metrics.Set) *guard {
	return &guard{limits: limits.WithDefaults(), cluster: cluster, log: log, metrics: set, health: health.NewServer()}
}

// options are the guard's for a gRPC server.
func (g *guard) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(g.limits.Streams),
		grpc.ConnectionTimeout(g.limits.Greeting),
		grpc.MaxHeaderListSize(16 << 10),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: g.limits.PingEvery, PermitWithoutStream: true}),
		// A peer that vanished without a word is noticed, and its streams end.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		grpc.ChainUnaryInterceptor(g.metrics.Unary, g.recoverUnary, g.sameCluster),
		grpc.ChainStreamInterceptor(g.metrics.Stream, g.recoverStream),
	}
}

// register adds the health service, which says that nobody serves yet, and
// reflection.
func (g *guard) register(s *grpc.Server, services ...string) {
	g.serving(false, services...)
	healthpb.RegisterHealthServer(s, g.health)
	reflection.Register(s)
}

// serving says whether the node as a whole, and these services, can be used.
func (g *guard) serving(able bool, services ...string) {
	as := healthpb.HealthCheckResponse_NOT_SERVING
	if able {
		as = healthpb.HealthCheckResponse_SERVING
	}
	for _, service := range append(services, "") {
		g.health.SetServingStatus(service, as)
	}
}

// recovered turns a panic into an error that its caller sees and the log keeps.
// The node goes on: what one request trips over should not take the others down.
func (g *guard) recovered(method string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	g.metrics.Panicked()
	g.log.Error("a handler panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	*err = status.Errorf(codes.Internal, "%s: the server tripped over this request; its log says how", method)
}

func (g *guard) recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (reply any, err error) {
	defer g.recovered(info.FullMethod, &err)
	return next(ctx, req)
}

func (g *guard) recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer g.recovered(info.FullMethod, &err)
	return next(srv, stream)
}

// sameCluster refuses the reports of chunkservers of another cell: this one knows
// none of their chunks, and would have them removed. Who asks for a master's health
// is told the cell's name.
func (g *guard) sameCluster(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if r, ok := req.(*api.HeartbeatRequest); ok && r.Cluster != "" && r.Cluster != g.cluster {
		return nil, status.Errorf(codes.FailedPrecondition, "chunkserver %q belongs to cluster %q; this is a master of %q", r.Chunkserver, r.Cluster, g.cluster)
	}
	reply, err := next(ctx, req)
	if r, ok := reply.(*api.HealthReply); ok && err == nil {
		r.Cluster = g.cluster
	}
	return reply, err
}

// bounded closes connections above a number at once.
func bounded(l net.Listener, most int) net.Listener {
	return &boundedListener{Listener: l, room: make(chan struct{}, most)}
}

type boundedListener struct {
	net.Listener
	room chan struct{}
}

// Accept implements net.Listener.
func (b *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.room <- struct{}{}:
			return &boundedConn{Conn: conn, room: b.room}, nil
		default:
			_ = conn.Close() // nothing was promised to it
		}
	}
}

type boundedConn struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.room })
	return err
}
