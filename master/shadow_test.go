package master

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
)

// TestShadow: every replica answers stale reads, says how far behind it is, and
// never goes back behind an index that the client has seen.
func TestShadow(t *testing.T) {
	synctestCell(t, func(*Options) {}, 3, nil, func(t *testing.T, c *fakeCell) {
		var seen uint64
		for i := range 10 {
			path := fmt.Sprint("/f", i)
			made := code[*api.MutationReply](t, api.Code_OK)(c.masters[0].Create(t.Context(), &api.PathRequest{Session: c.session(), Path: path}))
			for _, m := range c.masters {
				r := code[*api.StatReply](t, api.Code_OK)(m.Stat(t.Context(), &api.ReadRequest{Path: path, Stale: true, AtLeast: made.At.Index}))
				if r.Id != made.Id || r.At.Index < seen || r.At.LagNs != 0 || r.At.Behind != 0 {
					t.Fatalf("%v; the file has id %d, index %d was seen", r, made.Id, seen)
				}
				seen = r.At.Index
			}
		}
		shadow := c.masters[2]
		if r := code[*api.ListReply](t, api.Code_OK)(shadow.List(t.Context(), &api.ListRequest{Path: "/", Stale: true})); len(r.Names) != 10 {
			t.Fatalf("names %v", r.Names)
		}
		if _, err := shadow.Stat(t.Context(), &api.ReadRequest{Path: "/f0"}); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("a linearizable read on a shadow: %v", err)
		}
	})
}

// TestShadowAhead: an index that the replica does not reach is waited for, but not
// for ever, whatever the client's deadline is.
func TestShadowAhead(t *testing.T) {
	synctestCell(t, func(*Options) {}, 2, nil, func(t *testing.T, c *fakeCell) {
		begin := time.Now()
		_, err := c.masters[1].List(t.Context(), &api.ListRequest{Path: "/", Stale: true, AtLeast: 1 << 60})
		if status.Code(err) != codes.DeadlineExceeded || time.Since(begin) != staleWait {
			t.Fatalf("%v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := c.masters[1].List(ctx, &api.ListRequest{Path: "/", Stale: true, AtLeast: 1 << 60})
			done <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-done; status.Code(err) != codes.Canceled {
			t.Fatal(err)
		}
	})
}

// TestShadowLag: without a leader the lag grows, also while nobody asks.
func TestShadowLag(t *testing.T) {
	synctestCell(t, func(*Options) {}, 2, nil, func(t *testing.T, c *fakeCell) {
		lag := func() time.Duration {
			r := code[*api.ListReply](t, api.Code_OK)(c.masters[1].List(t.Context(), &api.ListRequest{Path: "/", Stale: true}))
			return time.Duration(r.At.LagNs)
		}
		time.Sleep(time.Minute)
		if got := lag(); got != 0 {
			t.Fatalf("a lag of %v under a leader", got)
		}
		time.Sleep(time.Minute)
		c.group.elect(consensus.NodeID(0))
		time.Sleep(time.Minute)
		if got := lag(); got < time.Minute || got > time.Minute+contactEvery {
			t.Fatalf("a lag of %v after a minute without a leader", got)
		}
		c.group.elect(1)
		if got := lag(); got != 0 {
			t.Fatalf("a lag of %v under a new leader", got)
		}
	})
}
