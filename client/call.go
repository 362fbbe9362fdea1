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
	session   *Session
	first     uint64
	replica   string
	stale     bool
	staleNode uint64
	replace   bool
	recursive bool
	deleted   uint64
	kind      api.ChunkKind
	turn      <-chan struct{}
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

// WithStale lets a lookup see a prefix of the log, as the replica with this node
// id has applied it (one attempt; 0: any that answers), but nothing older than the
// client has already seen. The reply's Position says how far behind it is.
func WithStale(node uint64) CallOption {
	return func(o *callOptions) { o.stale, o.staleNode = true, node }
}

// WithRecursive lets Delete take a directory with all that is below it.
func WithRecursive() CallOption { return func(o *callOptions) { o.recursive = true } }

// WithReplace lets Rename put a file in the place of another one, which is deleted in
// the same step.
func WithReplace() CallOption { return func(o *callOptions) { o.replace = true } }

// WithDeleted names what is hidden under the path by its id.
func WithDeleted(id uint64) CallOption { return func(o *callOptions) { o.deleted = id } }

// WithKind is the kind of the chunk that AllocateChunk makes.
func WithKind(k api.ChunkKind) CallOption { return func(o *callOptions) { o.kind = k } }

// WithTurn makes Write push its data at once and order the mutation only when turn
// is closed: several clients then push side by side what has to be written in order.
func WithTurn(turn <-chan struct{}) CallOption { return func(o *callOptions) { o.turn = turn } }

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
	c   *Client
	ctx context.Context
}

func (c *Client) start(ctx context.Context) (*op, context.CancelFunc) {
	o, end := c.Start(ctx)
	return &op{Op: o, c: c, ctx: o.Context()}, end
}

// ask calls masters until one gives a definite reply.
func ask[T any](o *op, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) (reply T, node uint64, ok bool) {
	reply, node, ok = call.Ask(o.Op, first, timeout, func(ctx context.Context, cc *grpc.ClientConn) (T, error) {
		return do(ctx, api.NewMasterClient(cc))
	})
	o.c.note(reply, ok)
	return reply, node, ok
}

// note remembers the log index that a reply has shown.
func (c *Client) note(reply any, ok bool) {
	if p, placed := reply.(positioned); ok && placed {
		c.See(p.GetAt().GetIndex())
	}
}

// run makes a whole operation of one kind of call.
func run[T any](ctx context.Context, c *Client, read bool, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) Result[T] {
	r := call.Run(ctx, c.Caller, read, first, timeout, func(ctx context.Context, cc *grpc.ClientConn) (T, error) {
		return do(ctx, api.NewMasterClient(cc))
	})
	c.note(r.Reply, r.Outcome == OK)
	return r
}
