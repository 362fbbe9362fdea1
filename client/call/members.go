package call

import (
	"context"
	"time"

	"gfslab/api"
)

// learn takes over the members of a newer configuration than is known; it
// reports whether it did. Members that clients cannot reach are left out.
func (c *Caller) learn(index uint64, members []*api.Member) bool {
	if index <= c.members {
		return false
	}
	var nodes []Node
	for _, m := range members {
		if m.Clients != "" {
			nodes = append(nodes, Node{ID: m.Id, Addr: m.Clients})
		}
	}
	if len(nodes) == 0 {
		return false
	}
	leader := c.nodes[c.leader].ID
	c.nodes, c.members = nodes, index
	c.leader = max(0, c.indexOf(leader))
	return true
}

// refresh asks a replica that has just answered for the members. It is worth one
// try: the next answer will tell of them again.
func (c *Caller) refresh(ctx context.Context, n Node, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cc, err := c.o.Conns.Get(n.Addr)
	if err != nil {
		return
	}
	reply, err := api.NewAdminClient(cc).Describe(ctx, &api.DescribeRequest{})
	if err != nil {
		return
	}
	m := reply.GetMembers()
	c.learn(m.GetIndex(), append(append([]*api.Member(nil), m.GetVoters()...), m.GetOutgoing()...))
}
