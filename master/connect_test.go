package master

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// TestMuteChunkserver: a chunkserver that has just been started has its port before it
// has opened its store. Who calls it meanwhile is told soon, not when the call's time
// is over: every grant in which it takes part would wait for that.
func TestMuteChunkserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var peers []net.Conn
		servers := newChunkservers(Options{CallTimeout: time.Second, Dial: func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			mu.Lock()
			defer mu.Unlock()
			peers = append(peers, far) // whatever is written to it stays unread
			return near, nil
		}, Now: time.Now})
		conn, err := servers.dial("cs1")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err = api.NewChunkserverClient(conn).PrepareGrant(ctx, &api.GrantRequest{Handle: 1, Version: 1})
		cancel()
		if took := time.Since(begin); status.Code(err) != codes.Unavailable || took > 300*time.Millisecond {
			t.Errorf("after %v: %v", took, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range peers {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if len(peers) == 0 {
			t.Error("nobody was called")
		}
	})
}
