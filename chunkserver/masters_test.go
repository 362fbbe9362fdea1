package chunkserver

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
)

// movingMaster answers heartbeats with the members of a newer configuration.
type movingMaster struct {
	api.UnimplementedMasterServer
	mu      sync.Mutex
	members []*api.Member
	index   uint64
	heard   int
}

func (m *movingMaster) Heartbeat(_ context.Context, r *api.HeartbeatRequest) (*api.HeartbeatReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard++
	reply := &api.HeartbeatReply{Term: 1}
	if r.MembersIndex < m.index {
		reply.Members, reply.MembersIndex = m.members, m.index
	}
	return reply, nil
}

func (m *movingMaster) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.heard
}

// Heartbeats follow the masters: they go to new members, and no longer to those
// that left; an older configuration changes nothing.
func TestHeartbeatsFollowTheMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "cs1")
		masters := map[string]*movingMaster{}
		for _, name := range []string{"old", "new"} {
			m := &movingMaster{}
			masters[name] = m
			l, err := c.fabric.Node(name).Listen(name)
			c.must(err)
			g := grpc.NewServer(grpc.WaitForHandlers(true))
			api.RegisterMasterServer(g, m)
			var serving sync.WaitGroup
			serving.Go(func() { _ = g.Serve(l) })
			defer func() {
				g.Stop()
				serving.Wait()
			}()
		}
		s := c.servers["cs1"]
		old, fresh := masters["old"], masters["new"]
		s.follow(3, []*api.Member{{Id: 1, Clients: "old"}, {Id: 2}})
		time.Sleep(time.Second)
		if old.count() == 0 || fresh.count() != 0 {
			t.Fatalf("old heard %d, new %d", old.count(), fresh.count())
		}
		old.mu.Lock()
		old.members, old.index = []*api.Member{{Id: 9, Clients: "new"}}, 7
		old.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		before, first := old.count(), fresh.count()
		s.follow(5, []*api.Member{{Id: 1, Clients: "old"}})
		time.Sleep(time.Second)
		if old.count() != before || first == 0 || fresh.count() <= first {
			t.Fatalf("old heard %d and then %d, new %d and then %d", before, old.count(), first, fresh.count())
		}
		if order := s.masterOrder(); len(order) != 1 || order[0] != "new" {
			t.Fatalf("the masters are %v", order)
		}
	})
}

// One master hears one count of reports at a time: it may be named twice, and become
// one again before the reports to it have ended.
func TestOneGoroutineReportsToAMaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "cs1")
		s := c.servers["cs1"]
		follow := func(addrs ...string) {
			s.masters.mu.Lock()
			defer s.masters.mu.Unlock()
			s.followLocked(addrs)
		}
		follow()
		c.nextBeats("cs1")
		one := make(chan struct{}) // an earlier one that has not ended
		s.masters.mu.Lock()
		s.masters.over["master"] = one
		s.masters.mu.Unlock()
		follow("master", "master")
		if beats := c.nextBeats("cs1"); len(beats) != 0 {
			t.Errorf("%d heartbeats beside those of another one", len(beats))
		}
		close(one)
		synctest.Wait()
		beats := c.nextBeats("cs1")
		if len(beats) < 3 || len(beats) > 4 {
			t.Errorf("%d heartbeats in 350 ms, want one every 100 ms", len(beats))
		}
		follow()
		synctest.Wait()
		if n := len(c.nextBeats("cs1")); n != 0 {
			t.Errorf("%d heartbeats to a master that is none", n)
		}
		s.reports.mu.Lock()
		defer s.reports.mu.Unlock()
		if len(s.reports.masters) != 0 {
			t.Errorf("%d masters are remembered", len(s.reports.masters))
		}
	})
}
