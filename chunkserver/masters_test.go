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
