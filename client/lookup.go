package client

import (
	"context"
	"fmt"

	"gfslab/api"
)

// pin says which state a lookup may see.
type pin struct {
	stale   bool
	atLeast uint64
}

// positioned is what every reply of a master has.
type positioned interface{ GetAt() *api.Position }

// Seen is the highest log index that any reply has shown. A stale read shows at
// least that: the client never goes back in time.
func (c *Client) Seen() uint64 { return c.seen }

// See makes stale reads show at least everything up to index.
func (c *Client) See(index uint64) { c.seen = max(c.seen, index) }

// lookup runs a read of the masters' state: linearizable, or, with WithStale, from
// any replica.
func lookup[T positioned](ctx context.Context, c *Client, options []CallOption, do func(context.Context, api.MasterClient, pin) (T, error)) Result[T] {
	o := gather(options)
	if o.stale {
		return staleLookup(ctx, c, o.staleNode, do)
	}
	return run(ctx, c, true, o.first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (T, error) {
		return do(ctx, m, pin{})
	})
}

// staleLookup asks one replica once, or, if node is 0, all of them from a random
// one on, until one answers.
func staleLookup[T positioned](ctx context.Context, c *Client, node uint64, do func(context.Context, api.MasterClient, pin) (T, error)) Result[T] {
	o, end := c.start(ctx)
	defer end()
	r := Result[T]{Outcome: Fail}
	try := func(m Master) bool {
		_, err := o.Attempt(NodeName(m.ID), m.Addr, c.o.AttemptTimeout, func(ctx context.Context, cc *conn) (err error) {
			r.Reply, err = do(ctx, api.NewMasterClient(cc), pin{stale: true, atLeast: c.seen})
			return err
		})
		if err == nil {
			c.See(r.Reply.GetAt().GetIndex())
			r.Outcome, r.Node = OK, m.ID
		}
		return err == nil
	}
	if node != 0 {
		if addr := c.Address(node); addr == "" {
			o.Last = errNoSuchMaster
		} else {
			try(Master{ID: node, Addr: addr})
		}
	} else {
		for answered := false; !answered && o.Live(); {
			nodes := c.Nodes()
			first := c.Rand().IntN(len(nodes))
			for i := range nodes {
				if answered = try(nodes[(first+i)%len(nodes)]); answered || !o.Live() {
					break
				}
			}
			if !answered && !o.Pause() {
				break
			}
		}
	}
	if r.Attempts = o.Attempts; r.Outcome != OK {
		var none T
		r.Reply, r.Err = none, o.Err()
	}
	return r
}

// Stat looks a path up; with WithDeleted, what is hidden under it.
func (c *Client) Stat(ctx context.Context, path string, options ...CallOption) Result[*api.StatReply] {
	o := gather(options)
	return lookup(ctx, c, options, func(ctx context.Context, m api.MasterClient, p pin) (*api.StatReply, error) {
		return m.Stat(ctx, &api.ReadRequest{Path: path, Stale: p.stale, AtLeast: p.atLeast, DeletedId: o.deleted})
	})
}

// List names what is in a directory.
func (c *Client) List(ctx context.Context, path string, options ...CallOption) Result[*api.ListReply] {
	return c.ListPage(ctx, &api.ListRequest{Path: path}, options...)
}

// ListPage lists as the request says; WithStale overrides its Stale and AtLeast.
// The reply may be one page of several: pass its Next as After.
func (c *Client) ListPage(ctx context.Context, r *api.ListRequest, options ...CallOption) Result[*api.ListReply] {
	return lookup(ctx, c, options, func(ctx context.Context, m api.MasterClient, p pin) (*api.ListReply, error) {
		// Fields one by one: a message must not be copied.
		return m.List(ctx, &api.ListRequest{
			Path: r.Path, Stale: p.stale || r.Stale, AtLeast: max(p.atLeast, r.AtLeast), Long: r.Long, Recursive: r.Recursive,
			Prefix: r.Prefix, After: r.After, Limit: r.Limit, Deleted: r.Deleted,
		})
	})
}

// Usage counts what is below a path.
func (c *Client) Usage(ctx context.Context, path string, options ...CallOption) Result[*api.UsageReply] {
	o := gather(options)
	return lookup(ctx, c, options, func(ctx context.Context, m api.MasterClient, p pin) (*api.UsageReply, error) {
		return m.Usage(ctx, &api.ReadRequest{Path: path, Stale: p.stale, AtLeast: p.atLeast, DeletedId: o.deleted})
	})
}

// FindLocation looks a chunk up by path and index. WARMING_UP is a reply: ask
// again.
func (c *Client) FindLocation(ctx context.Context, path string, index uint32, options ...CallOption) Result[*api.ChunkReply] {
	o := gather(options)
	return lookup(ctx, c, options, func(ctx context.Context, m api.MasterClient, p pin) (*api.ChunkReply, error) {
		return m.FindLocation(ctx, &api.LocationRequest{Path: path, ChunkIndex: index, Stale: p.stale, AtLeast: p.atLeast, DeletedId: o.deleted})
	})
}

// ChunkInfo looks a chunk up by handle.
func (c *Client) ChunkInfo(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return run(ctx, c, true, gather(options).first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return m.ChunkInfo(ctx, &api.LeaseRequest{Handle: handle})
	})
}

// Status asks one master what it believes: a single attempt.
func (c *Client) Status(ctx context.Context, node uint64) (*api.StatusReply, error) {
	return askOne(ctx, c, node, func(ctx context.Context, m api.MasterClient) (*api.StatusReply, error) {
		return m.Status(ctx, &api.StatusRequest{})
	})
}

// Health asks one master how chunkservers and replication are: a single attempt.
func (c *Client) Health(ctx context.Context, node uint64) (*api.HealthReply, error) {
	return askOne(ctx, c, node, func(ctx context.Context, m api.MasterClient) (*api.HealthReply, error) {
		return m.Health(ctx, &api.StatusRequest{})
	})
}

// LeaderHealth asks the masters in turn until one that leads has answered Health,
// and returns its id.
func (c *Client) LeaderHealth(ctx context.Context) (*api.HealthReply, uint64, error) {
	o, end := c.start(ctx)
	defer end()
	var why error
	for o.Live() {
		for _, m := range c.Nodes() {
			reply, err := c.Health(o.ctx, m.ID)
			if err == nil && reply.Leader {
				return reply, m.ID, nil
			}
			if why == nil && err != nil {
				why = fmt.Errorf("%s: %w", NodeName(m.ID), err)
			}
		}
		if !o.Pause() {
			break
		}
	}
	return nil, 0, fmt.Errorf("no master leads: %w", firstOf(why, o.Err()))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// askOne makes a single attempt at one master.
func askOne[T any](ctx context.Context, c *Client, node uint64, do func(context.Context, api.MasterClient) (T, error)) (reply T, err error) {
	addr := c.Address(node)
	if addr == "" {
		return reply, errNoSuchMaster
	}
	o, end := c.start(ctx)
	defer end()
	_, err = o.Attempt(NodeName(node), addr, c.o.AttemptTimeout, func(ctx context.Context, cc *conn) (err error) {
		reply, err = do(ctx, api.NewMasterClient(cc))
		return err
	})
	return reply, err
}
