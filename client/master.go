package client

import (
	"context"

	"google.golang.org/grpc"

	"gfslab/api"
)

type conn = grpc.ClientConn

// mutate runs a mutation under one session.
func (c *Client) mutate(ctx context.Context, options []CallOption,
	do func(context.Context, api.MasterClient, *api.Session) (*api.MutationReply, error)) Result[*api.MutationReply] {
	o := gather(options)
	s, settle := c.session.Identify(o.session)
	r := run(ctx, c, false, o.first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.MutationReply, error) {
		return do(ctx, m, s.Proto())
	})
	r.Session = s
	settle(r.Outcome)
	return r
}

// Create makes an empty file.
func (c *Client) Create(ctx context.Context, path string, options ...CallOption) Result[*api.MutationReply] {
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Create(ctx, &api.PathRequest{Session: s, Path: path})
	})
}

// Mkdir makes a directory.
func (c *Client) Mkdir(ctx context.Context, path string, options ...CallOption) Result[*api.MutationReply] {
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Mkdir(ctx, &api.PathRequest{Session: s, Path: path})
	})
}

// Delete removes a file or an empty directory.
func (c *Client) Delete(ctx context.Context, path string, options ...CallOption) Result[*api.MutationReply] {
	delete(c.files, path)
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Delete(ctx, &api.DeleteRequest{Session: s, Path: path})
	})
}

// Rename moves a file or a directory with all below it.
func (c *Client) Rename(ctx context.Context, from, to string, options ...CallOption) Result[*api.MutationReply] {
	// A directory takes its files along: forget all tails rather than some.
	clear(c.files)
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Rename(ctx, &api.RenameRequest{Session: s, From: from, To: to})
	})
}

// AllocateChunk adds the chunk at index to a file; EXISTS comes with the handle
// that is there.
func (c *Client) AllocateChunk(ctx context.Context, path string, index uint32, options ...CallOption) Result[*api.MutationReply] {
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.AllocateChunk(ctx, &api.AllocateRequest{Session: s, Path: path, ChunkIndex: index})
	})
}

// Stat looks a path up.
func (c *Client) Stat(ctx context.Context, path string, options ...CallOption) Result[*api.StatReply] {
	return run(ctx, c, true, gather(options).first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.StatReply, error) {
		return m.Stat(ctx, &api.ReadRequest{Path: path})
	})
}

// List names what is in a directory.
func (c *Client) List(ctx context.Context, path string, options ...CallOption) Result[*api.ListReply] {
	return run(ctx, c, true, gather(options).first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.ListReply, error) {
		return m.List(ctx, &api.ListRequest{Path: path})
	})
}

// FindLocation looks a chunk up by path and index.
func (c *Client) FindLocation(ctx context.Context, path string, index uint32, options ...CallOption) Result[*api.ChunkReply] {
	return run(ctx, c, true, gather(options).first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return m.FindLocation(ctx, &api.LocationRequest{Path: path, ChunkIndex: index})
	})
}

// ChunkInfo looks a chunk up by handle.
func (c *Client) ChunkInfo(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return run(ctx, c, true, gather(options).first, c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return m.ChunkInfo(ctx, &api.LeaseRequest{Handle: handle})
	})
}

// FindLeaseHolder returns the chunk's primary, granting a lease if none is live.
func (c *Client) FindLeaseHolder(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return c.lease(ctx, handle, options, api.MasterClient.FindLeaseHolder)
}

// RevokeLease ends the chunk's lease before its time.
func (c *Client) RevokeLease(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return c.lease(ctx, handle, options, api.MasterClient.RevokeLease)
}

type leaseCall func(api.MasterClient, context.Context, *api.LeaseRequest, ...grpc.CallOption) (*api.ChunkReply, error)

func (c *Client) lease(ctx context.Context, handle uint64, options []CallOption, call leaseCall) Result[*api.ChunkReply] {
	o := gather(options)
	s, settle := c.session.Identify(o.session)
	r := run(ctx, c, false, o.first, c.o.LeaseTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return call(m, ctx, &api.LeaseRequest{Session: s.Proto(), Handle: handle})
	})
	r.Session = s
	settle(r.Outcome)
	return r
}

// Status asks one master what it believes: a single attempt.
func (c *Client) Status(ctx context.Context, node uint64) (*api.StatusReply, error) {
	addr := c.Address(node)
	if addr == "" {
		return nil, errNoSuchMaster
	}
	o, end := c.start(ctx)
	defer end()
	var reply *api.StatusReply
	_, err := o.Attempt(NodeName(node), addr, c.o.AttemptTimeout, func(ctx context.Context, cc *conn) (err error) {
		reply, err = api.NewMasterClient(cc).Status(ctx, &api.StatusRequest{})
		return err
	})
	return reply, err
}
