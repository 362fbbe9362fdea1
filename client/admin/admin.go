// Package admin is the operator's client: it describes every replica of a
// cluster and changes its members, leader and snapshots, following redirects and
// waiting until a change is in effect.
//
// It does not know what state machine the replicas run, and starts or stops no
// node: to replace one, start the new node first.
package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/client/call"
)

// ErrRefused: the request makes no sense for the cluster as it is. Surely not
// done.
var ErrRefused = errors.New("refused")

// Admin operates one cluster. Its methods are called by one goroutine at a time.
type Admin struct {
	conns     *call.Conns
	endpoints []string
	// pause lies between tries, timeout bounds one call that only asks.
	pause, timeout time.Duration
}

// New returns an operator's client that knows some replicas' addresses. The
// connections stay the caller's.
func New(conns *call.Conns, endpoints []string) (*Admin, error) {
	if len(endpoints) == 0 {
		return nil, errors.New("no endpoints: name at least one replica's address")
	}
	return &Admin{conns: conns, endpoints: endpoints, pause: 50 * time.Millisecond, timeout: time.Second}, nil
}

// Node is what one replica says, or why it says nothing.
type Node struct {
	Address string
	*api.DescribeReply
	Err error
}

// Describe asks all replicas that the endpoints lead to: those named, and the
// members that any of them knows. They come in order of their ids, those that do
// not answer last.
func (a *Admin) Describe(ctx context.Context) []Node {
	seen := map[string]bool{}
	var all []Node
	for todo := a.endpoints; len(todo) > 0; {
		round := make([]Node, len(todo))
		var wg sync.WaitGroup
		for i, addr := range todo {
			seen[addr] = true
			wg.Go(func() { round[i] = a.describeOne(ctx, addr) })
		}
		wg.Wait()
		all = append(all, round...)
		todo = nil
		for _, n := range round {
			for _, m := range members(n.GetMembers()) {
				if m.Clients != "" && !seen[m.Clients] {
					seen[m.Clients] = true
					todo = append(todo, m.Clients)
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Node) int {
		switch {
		case a.Err == nil && b.Err != nil:
			return -1
		case a.Err != nil && b.Err == nil:
			return 1
		}
		return cmp.Compare(a.GetNode(), b.GetNode())
	})
	return slices.CompactFunc(all, func(a, b Node) bool { return a.Err == nil && b.Err == nil && a.Node == b.Node })
}

// GetMembers is nil-safe: a silent replica has none.
func (n Node) GetMembers() *api.MembersReply { return n.DescribeReply.GetMembers() }

// GetNode is nil-safe: a silent replica's id is 0.
func (n Node) GetNode() uint64 { return n.DescribeReply.GetNode() }

func members(m *api.MembersReply) []*api.Member {
	return slices.Concat(m.GetVoters(), m.GetOutgoing(), m.GetLearners())
}

func (a *Admin) describeOne(ctx context.Context, addr string) Node {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	n := Node{Address: addr}
	cc, err := a.conns.Get(addr)
	if err == nil {
		n.DescribeReply, err = api.NewAdminClient(cc).Describe(ctx, &api.DescribeRequest{})
	}
	n.Err = err
	return n
}

// Leader finds the replica that leads, at the highest term, and waits until there
// is one.
func (a *Admin) Leader(ctx context.Context) (Node, error) {
	var why error
	for {
		var leader *Node
		nodes := a.Describe(ctx)
		for i, n := range nodes {
			if n.Err == nil && n.Role == "leader" && (leader == nil || n.Term > leader.Term) {
				leader = &nodes[i]
			}
		}
		if leader != nil {
			return *leader, nil
		}
		why = noLeader(nodes)
		if !a.wait(ctx) {
			return Node{}, why
		}
	}
}

func noLeader(nodes []Node) error {
	var silent []string
	for _, n := range nodes {
		if n.Err != nil {
			silent = append(silent, fmt.Sprintf("%s: %s", n.Address, status.Convert(n.Err).Message()))
		}
	}
	if len(silent) == len(nodes) {
		return fmt.Errorf("no endpoint answers:\n%s", strings.Join(silent, "\n"))
	}
	if len(silent) > 0 {
		return fmt.Errorf("no replica leads; these do not answer:\n%s", strings.Join(silent, "\n"))
	}
	return errors.New("no replica leads")
}

func (a *Admin) wait(ctx context.Context) bool {
	t := time.NewTimer(a.pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Nodes are the members as a client of the service needs them.
func (a *Admin) Nodes(ctx context.Context) ([]call.Node, error) {
	for {
		nodes := a.Describe(ctx)
		var newest *api.MembersReply
		for _, n := range nodes {
			if m := n.GetMembers(); m != nil && (newest == nil || m.Index > newest.Index) {
				newest = m
			}
		}
		var out []call.Node
		for _, m := range slices.Concat(newest.GetVoters(), newest.GetOutgoing()) {
			if m.Clients != "" {
				out = append(out, call.Node{ID: m.Id, Addr: m.Clients})
			}
		}
		if len(out) == 0 { // replicas without a membership name themselves
			for _, n := range nodes {
				if n.Err == nil {
					out = append(out, call.Node{ID: n.Node, Addr: n.Address})
				}
			}
		}
		if len(out) > 0 {
			return out, nil
		}
		if err := noLeader(nodes); !a.wait(ctx) {
			return nil, err
		}
	}
}

// ask makes a call to the leader until it is answered, refused, or done says that
// what it asks for is so already.
func ask[T any](ctx context.Context, a *Admin, done func(Node) (T, bool), do func(context.Context, api.AdminClient) (T, error)) (reply T, err error) {
	var last error
	for {
		leader, err := a.Leader(ctx)
		if err != nil {
			return reply, errors.Join(last, err)
		}
		if last != nil {
			if reply, ok := done(leader); ok {
				return reply, nil
			}
		}
		cc, err := a.conns.Get(leader.Address)
		if err != nil {
			return reply, err
		}
		reply, err = do(ctx, api.NewAdminClient(cc))
		switch status.Code(err) {
		case codes.OK:
			return reply, nil
		case codes.InvalidArgument:
			return reply, fmt.Errorf("%w: %s", ErrRefused, status.Convert(err).Message())
		case codes.Unimplemented:
			return reply, errors.New(status.Convert(err).Message())
		}
		last = errors.New(status.Convert(err).Message())
		if !a.wait(ctx) {
			return reply, last
		}
	}
}
