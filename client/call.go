package client

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/client/call"
)

// CallOption changes one operation.
type CallOption func(*callOptions)

type callOptions struct {
	session *Session
	first   uint64
	replica string
}

// WithSession performs a mutation or append as this session. The caller keeps
// the rules: one open operation a client name, seq rising by one, a new name
// after an unknown outcome.
func WithSession(s Session) CallOption { return func(o *callOptions) { o.session = &s } }

// WithFirst sends the first attempt to the master with this node id, whoever
// leads; later attempts go to the leader.
func WithFirst(node uint64) CallOption { return func(o *callOptions) { o.first = node } }

// WithReplica reads from the named chunkserver first.
func WithReplica(name string) CallOption { return func(o *callOptions) { o.replica = name } }

func gather(options []CallOption) callOptions {
	var o callOptions
	for _, set := range options {
		set(&o)
	}
	return o
}

// op is one operation while it runs.
type op struct {
	*call.Op
	c *Client
}

func (c *Client) start(ctx context.Context) (*op, context.CancelFunc) {
	o, end := c.Start(ctx)
	return &op{Op: o, c: c}, end
}

// ask calls masters until one gives a definite reply.
func ask[T any](o *op, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) (reply T, node uint64, ok bool) {
	return call.Ask(o.Op, first, timeout, func(ctx context.Context, cc *grpc.ClientConn) (T, error) {
		return do(ctx, api.NewMasterClient(cc))
	})
}

// run makes a whole operation of one kind of call.
func run[T any](ctx context.Context, c *Client, read bool, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) Result[T] {
	return call.Run(ctx, c.Caller, read, first, timeout, func(ctx context.Context, cc *grpc.ClientConn) (T, error) {
		return do(ctx, api.NewMasterClient(cc))
	})
}
