package node

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/node/metrics"
)

// clumsy panics at one key.
type clumsy struct{ api.UnimplementedKVServer }

func (clumsy) Get(_ context.Context, r *api.KVGetRequest) (*api.KVReply, error) {
	if string(r.Key) == "trip" {
		panic("over a key")
	}
	return &api.KVReply{}, nil
}

// A handler that panics costs its own call, not the process; the log says where.
func TestPanicsBecomeInternal(t *testing.T) {
	var log bytes.Buffer
	set := metrics.New()
	g := newGuard(Serving{}, "test", slog.New(slog.NewTextHandler(&log, nil)), set)
	s := grpc.NewServer(append(g.options(), grpc.WaitForHandlers(true))...)
	api.RegisterKVServer(s, clumsy{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for key, want := range map[string]codes.Code{"fine": codes.OK, "trip": codes.Internal} {
		for range 3 {
			if _, err := api.NewKVClient(cc).Get(ctx, &api.KVGetRequest{Key: []byte(key)}); status.Code(err) != want {
				t.Errorf("%s: %v, want %v", key, err, want)
			}
		}
	}
	cc.Close()
	s.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "over a key") != 3 || !strings.Contains(text, "clumsy") {
		t.Errorf("the log does not say three times what happened where:\n%s", text)
	}
	page := httptest.NewRecorder()
	set.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"gfslab_rpc_panics_total 3", `gfslab_rpc_handled_total{code="Internal",method="gfslab.v1.KV/Get",result=""} 3`} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// Connections above the bound are turned away, and room that becomes free is used.
func TestConnectionsAreBounded(t *testing.T) {
	under, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bounded(under, 2)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", under.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	<-accepted
	third := dial()
	if err := third.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a third connection: %v, want it closed", err)
	}
	first.Close()
	first.Close() // twice frees one place
	dial()
	(<-accepted).Close()
}

// What no node can serve with is refused, with what to do.
func TestServingNamesBadValues(t *testing.T) {
	for want, s := range map[string]Serving{
		"message_bytes is 100; it must be at least 65536": {MessageBytes: 100},
		"connections is 3; it must be at least 16":        {Connections: 3},
		"streams is 1; it must be at least 16":            {Streams: 1},
		"greeting is 1ms; it must be at least 100ms":      {Greeting: time.Millisecond},
		"ping_every is -1s; it must not be negative":      {PingEvery: -time.Second},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := (Serving{}).Validate(); err != nil {
		t.Error(err)
	}
}
