package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
)

type conn = grpc.ClientConn

// mutate runs a mutation under one session.
func (c *Client) mutate(ctx context.Context, options []CallOption,
	do func(context.Context, api.MasterClient, *api.Session) (*api.MutationReply, error)) Result[*api.MutationReply] {
	return c.mutateWithin(ctx, c.o.AttemptTimeout, options, do)
}

func (c *Client) mutateWithin(ctx context.Context, attempt time.Duration, options []CallOption,
	do func(context.Context, api.MasterClient, *api.Session) (*api.MutationReply, error)) Result[*api.MutationReply] {
	o := gather(options)
	s, settle := c.session.Identify(o.session)
	r := run(ctx, c, false, o.first, attempt, func(ctx context.Context, m api.MasterClient) (*api.MutationReply, error) {
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

// Delete hides a file or an empty directory until its retention is over. With
// WithRecursive all that is below goes with it; with WithDeleted the entry hidden
// under that id is removed now.
func (c *Client) Delete(ctx context.Context, path string, options ...CallOption) Result[*api.MutationReply] {
	o := gather(options)
	if o.recursive {
		c.forgetAll()
	}
	c.Forget(path)
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Delete(ctx, &api.DeleteRequest{Session: s, Path: path, Recursive: o.recursive, Id: o.deleted})
	})
}

// Undelete brings back what was hidden under the path: the entry with the id, or,
// if id is 0, what was hidden last.
func (c *Client) Undelete(ctx context.Context, path string, id uint64, options ...CallOption) Result[*api.MutationReply] {
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Undelete(ctx, &api.UndeleteRequest{Session: s, Path: path, Id: id})
	})
}

// Rename moves a file or a directory with all below it, WithReplace a file to where
// another one is.
func (c *Client) Rename(ctx context.Context, from, to string, options ...CallOption) Result[*api.MutationReply] {
	// A directory takes its files along: forget all rather than some.
	c.forgetAll()
	replace := gather(options).replace
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Rename(ctx, &api.RenameRequest{Session: s, From: from, To: to, Replace: replace})
	})
}

// Snapshot copies a file or a tree at one point of the log (GFS paper, 3.4). It
// may have to wait for leases to end: LeaseTimeout bounds each attempt.
func (c *Client) Snapshot(ctx context.Context, from, to string, options ...CallOption) Result[*api.MutationReply] {
	return c.mutateWithin(ctx, c.o.LeaseTimeout, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.Snapshot(ctx, &api.SnapshotTreeRequest{Session: s, From: from, To: to})
	})
}

// SetAttributes sets what is set in set on a file or directory, and clears what
// clear names (see api.SetAttributesRequest). Either may be empty.
func (c *Client) SetAttributes(ctx context.Context, path string, set *api.Attributes, clear []string, options ...CallOption) Result[*api.MutationReply] {
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.SetAttributes(ctx, &api.SetAttributesRequest{Session: s, Path: path, Set: set, Clear: clear})
	})
}

// AllocateChunk adds the chunk at index to a file, of the kind that WithKind names
// (default: records); EXISTS comes with the handle that is there.
func (c *Client) AllocateChunk(ctx context.Context, path string, index uint32, options ...CallOption) Result[*api.MutationReply] {
	o := gather(options)
	return c.mutate(ctx, options, func(ctx context.Context, m api.MasterClient, s *api.Session) (*api.MutationReply, error) {
		return m.AllocateChunk(ctx, &api.AllocateRequest{Session: s, Path: path, ChunkIndex: index, Kind: o.kind})
	})
}

// FindLeaseHolder returns the chunk's primary, granting a lease if none is live. A
// chunk that a snapshot shares is answered SHARED: ask by path.
func (c *Client) FindLeaseHolder(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return c.lease(ctx, &api.LeaseRequest{Handle: handle}, options, api.MasterClient.FindLeaseHolder)
}

// FindLeaseHolderAt is FindLeaseHolder of the chunk at an index of a file. A shared
// chunk is copied first, and the reply has the copy's handle.
func (c *Client) FindLeaseHolderAt(ctx context.Context, path string, index uint32, options ...CallOption) Result[*api.ChunkReply] {
	return c.lease(ctx, &api.LeaseRequest{Path: path, ChunkIndex: index}, options, api.MasterClient.FindLeaseHolder)
}

// RevokeLease ends the chunk's lease before its time.
func (c *Client) RevokeLease(ctx context.Context, handle uint64, options ...CallOption) Result[*api.ChunkReply] {
	return c.lease(ctx, &api.LeaseRequest{Handle: handle}, options, api.MasterClient.RevokeLease)
}

type leaseCall func(api.MasterClient, context.Context, *api.LeaseRequest, ...grpc.CallOption) (*api.ChunkReply, error)

func (c *Client) lease(ctx context.Context, r *api.LeaseRequest, options []CallOption, call leaseCall) Result[*api.ChunkReply] {
	o := gather(options)
	s, settle := c.session.Identify(o.session)
	r.Session = s.Proto()
	res := run(ctx, c, false, o.first, c.o.LeaseTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return call(m, ctx, r)
	})
	res.Session = s
	settle(res.Outcome)
	return res
}
