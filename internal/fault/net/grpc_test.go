package net

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestGRPCSurvives drives a gRPC client through a cut, a heal and a killed
// node: calls time out while the link is silent and succeed afterwards, on the
// same ClientConn.
func TestGRPCSurvives(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		l := listen(t, f.Node("server"))
		server := grpc.NewServer()
		healthpb.RegisterHealthServer(server, health.NewServer())
		go server.Serve(l)
		defer server.Stop()
		dialer := f.Node("client")
		params := grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1.6, MaxDelay: 100 * time.Millisecond},
			MinConnectTimeout: 200 * time.Millisecond,
		}
		cc, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(params),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dialer.Dial(ctx, addr) }))
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		call := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			_, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
			return err
		}
		if err := call(5 * time.Second); err != nil {
			t.Fatalf("before: %v", err)
		}
		for _, cut := range []Link{{"client", "server"}, {"server", "client"}} {
			f.Cut(cut.From, cut.To)
			if err := call(100 * time.Millisecond); status.Code(err) != codes.DeadlineExceeded {
				t.Fatalf("cut %v: %v", cut, err)
			}
			f.HealAll()
			if err := call(5 * time.Second); err != nil {
				t.Fatalf("healed %v: %v", cut, err)
			}
		}
		f.CloseNode("server")
		// A call may be under way on the connection that died, or find none.
		if c := status.Code(call(100 * time.Millisecond)); c != codes.DeadlineExceeded && c != codes.Unavailable {
			t.Fatalf("server killed: %v", c)
		}
		f.OpenNode("server")
		if err := call(5 * time.Second); err != nil {
			t.Fatalf("server back: %v", err)
		}
	})
}
