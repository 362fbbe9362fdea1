package call

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus/wire"
)

// replica answers every read as it is told, and describes its members.
type replica struct {
	api.UnimplementedKVServer
	api.UnimplementedAdminServer
	mu       sync.Mutex
	redirect *api.NotLeader // set: it does not lead
	members  *api.MembersReply
	asked    int
}

func (r *replica) Get(context.Context, *api.KVGetRequest) (*api.KVReply, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if r.redirect == nil {
		return &api.KVReply{At: &api.Position{Members: r.members.GetIndex()}}, nil
	}
	s, err := status.New(codes.FailedPrecondition, "not the leader").WithDetails(r.redirect)
	if err != nil {
		return nil, err
	}
	return nil, s.Err()
}

func (r *replica) Describe(context.Context, *api.DescribeRequest) (*api.DescribeReply, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &api.DescribeReply{Members: r.members}, nil
}

func get(ctx context.Context, cc *grpc.ClientConn) (*api.KVReply, error) {
	return api.NewKVClient(cc).Get(ctx, &api.KVGetRequest{})
}

// A caller follows its cluster: from a redirect it learns the members and where
// the leader is, from a reply that they have changed since.
func TestCallerFollowsTheMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := wire.NewMemory()
		conns := NewConns(network.Dial, 0)
		replicas := map[string]*replica{"a": {}, "b": {}, "c": {}}
		var serving sync.WaitGroup
		defer serving.Wait()
		for addr, r := range replicas {
			l, err := network.Listen(addr)
			if err != nil {
				t.Fatal(err)
			}
			g := grpc.NewServer(grpc.WaitForHandlers(true))
			api.RegisterKVServer(g, r)
			api.RegisterAdminServer(g, r)
			serving.Go(func() { _ = g.Serve(l) })
			defer g.Stop()
		}
		defer conns.Close()
		member := func(id uint64, addr string) *api.Member { return &api.Member{Id: id, Clients: addr} }
		replicas["a"].redirect = &api.NotLeader{Leader: 9, MembersIndex: 5, Members: []*api.Member{member(8, "c"), member(9, "b"), {Id: 10}}}
		replicas["b"].members = &api.MembersReply{Index: 5}

		c, err := New(Options{Nodes: []Node{{ID: 1, Addr: "a"}}, Conns: conns})
		if err != nil {
			t.Fatal(err)
		}
		r := Run(context.Background(), c, true, 0, time.Second, get)
		if r.Outcome != OK || r.Node != 9 || len(r.Attempts) != 2 {
			t.Fatalf("%v by %d after %v: %v", r.Outcome, r.Node, r.Attempts, r.Err)
		}
		if want := []Node{{ID: 8, Addr: "c"}, {ID: 9, Addr: "b"}}; !slices.Equal(c.Nodes(), want) || c.Leader() != 9 {
			t.Fatalf("nodes %v, leader %d", c.Nodes(), c.Leader())
		}
		// The same configuration again is no reason to ask; a newer one is.
		replicas["b"].members = &api.MembersReply{Index: 7, Voters: []*api.Member{member(9, "b")}, Outgoing: []*api.Member{member(11, "c")}, Learners: []*api.Member{member(12, "a")}}
		if r := Run(context.Background(), c, true, 0, time.Second, get); r.Outcome != OK {
			t.Fatal(r.Err)
		}
		if want := []Node{{ID: 9, Addr: "b"}, {ID: 11, Addr: "c"}}; !slices.Equal(c.Nodes(), want) || c.Leader() != 9 {
			t.Fatalf("nodes %v, leader %d", c.Nodes(), c.Leader())
		}
		// An old configuration is not taken back.
		replicas["b"].redirect = &api.NotLeader{Leader: 11, MembersIndex: 6, Members: []*api.Member{member(1, "a")}}
		replicas["c"].members = &api.MembersReply{Index: 7}
		if r := Run(context.Background(), c, true, 0, time.Second, get); r.Outcome != OK || r.Node != 11 {
			t.Fatalf("%v by %d: %v", r.Outcome, r.Node, r.Err)
		}
		if asked := replicas["a"].asked; asked != 1 {
			t.Errorf("the first replica was asked %d times", asked)
		}
	})
}
