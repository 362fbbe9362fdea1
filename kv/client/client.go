// Package client is the client of the replicated key-value store: it finds the
// leader, retries until an outcome is certain or the context ends, and follows
// the cluster as its members change.
//
// Every operation ends as OK (a definite reply, whatever its code: a conflict is
// a reply), Fail (surely nothing was done) or Unknown. A change keeps its session
// over all attempts, so that it happens once. It caches nothing.
package client

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
	"gfslab/client/call"
)

// Options configure a client. Fields with a default may be left zero.
type Options struct {
	// Name identifies the client in sessions (1 to 180 bytes). It must be unique
	// in the cluster, over all time.
	Name string
	// AttemptTimeout bounds one call to a replica, so that an isolated leader does
	// not eat the operation (default 250 ms).
	AttemptTimeout time.Duration
	// Nodes and Conns are required, the rest has defaults.
	call.Options
}

const maxName = api.MaxClientBytes - 20

// Result is how an operation ended.
type Result = call.Result[*api.KVReply]

// Client performs operations, one at a time.
type Client struct {
	*call.Caller
	attempt  time.Duration
	sessions call.Sessions
	// seen is the highest index that any reply has shown.
	seen uint64
}

// New returns a client.
func New(o Options) (*Client, error) {
	if o.Name == "" || len(o.Name) > maxName {
		return nil, errors.New("kv: the client's name must have 1 to 180 bytes")
	}
	if o.AttemptTimeout <= 0 {
		o.AttemptTimeout = 250 * time.Millisecond
	}
	caller, err := call.New(o.Options)
	if err != nil {
		return nil, err
	}
	return &Client{Caller: caller, attempt: o.AttemptTimeout, sessions: call.NewSessions(o.Name)}, nil
}

// Option changes one operation.
type Option func(*options)

type options struct {
	session *call.Session
	first   uint64
}

// WithSession performs a change as this session. The caller keeps the rules: one
// open operation a client name, seq rising by one, a new name after an unknown
// outcome.
func WithSession(s call.Session) Option { return func(o *options) { o.session = &s } }

// WithFirst sends the first attempt to this replica, whoever leads.
func WithFirst(node uint64) Option { return func(o *options) { o.first = node } }

func gather(opts []Option) options {
	var o options
	for _, set := range opts {
		set(&o)
	}
	return o
}

// Put sets a key.
func (c *Client) Put(ctx context.Context, key string, value []byte, opts ...Option) Result {
	return c.change(ctx, opts, func(ctx context.Context, kv api.KVClient, s *api.Session) (*api.KVReply, error) {
		return kv.Put(ctx, &api.KVPutRequest{Session: s, Key: []byte(key), Value: value})
	})
}

// Delete removes a key.
func (c *Client) Delete(ctx context.Context, key string, opts ...Option) Result {
	return c.change(ctx, opts, func(ctx context.Context, kv api.KVClient, s *api.Session) (*api.KVReply, error) {
		return kv.Delete(ctx, &api.KVDeleteRequest{Session: s, Key: []byte(key)})
	})
}

// CompareAndSwap sets a key to value if it has the value expect.
func (c *Client) CompareAndSwap(ctx context.Context, key string, expect, value []byte, opts ...Option) Result {
	return c.swap(ctx, &api.KVSwapRequest{Key: []byte(key), Expect: expect, Value: value}, opts)
}

// CreateKey sets a key to value if there is none.
func (c *Client) CreateKey(ctx context.Context, key string, value []byte, opts ...Option) Result {
	return c.swap(ctx, &api.KVSwapRequest{Key: []byte(key), Absent: true, Value: value}, opts)
}

func (c *Client) swap(ctx context.Context, r *api.KVSwapRequest, opts []Option) Result {
	return c.change(ctx, opts, func(ctx context.Context, kv api.KVClient, s *api.Session) (*api.KVReply, error) {
		r.Session = s
		return kv.CompareAndSwap(ctx, r)
	})
}

func (c *Client) change(ctx context.Context, opts []Option, do func(context.Context, api.KVClient, *api.Session) (*api.KVReply, error)) Result {
	o := gather(opts)
	s, settle := c.sessions.Identify(o.session)
	r := call.Run(ctx, c.Caller, false, o.first, c.attempt, func(ctx context.Context, cc *grpc.ClientConn) (*api.KVReply, error) {
		return do(ctx, api.NewKVClient(cc), s.Proto())
	})
	r.Session = s
	settle(r.Outcome)
	return c.note(r)
}

// Get reads a key from the leader, in the way that the cluster's read mode says.
func (c *Client) Get(ctx context.Context, key string, opts ...Option) Result {
	return c.note(call.Run(ctx, c.Caller, true, gather(opts).first, c.attempt, func(ctx context.Context, cc *grpc.ClientConn) (*api.KVReply, error) {
		return api.NewKVClient(cc).Get(ctx, &api.KVGetRequest{Key: []byte(key)})
	}))
}

// GetStale reads a key from one replica, leader or not, which answers with a
// prefix of the log that holds at least everything that this client has seen: it
// never goes back in time. One attempt.
func (c *Client) GetStale(ctx context.Context, key string, node uint64) Result {
	op, end := c.Start(ctx)
	defer end()
	r := Result{Outcome: call.Fail}
	addr := c.Address(node)
	if addr == "" {
		r.Err = errors.New("kv: no replica has that id")
		return r
	}
	_, r.Err = op.Attempt(call.Name(node), addr, c.attempt, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		r.Reply, err = api.NewKVClient(cc).Get(ctx, &api.KVGetRequest{Key: []byte(key), Stale: true, AtLeast: c.seen})
		return err
	})
	if r.Attempts = op.Attempts; r.Err == nil {
		r.Outcome, r.Node = call.OK, node
	}
	return c.note(r)
}

// Seen is the highest index that any reply has shown.
func (c *Client) Seen() uint64 { return c.seen }

// See makes stale reads show at least everything up to index.
func (c *Client) See(index uint64) { c.seen = max(c.seen, index) }

// note remembers what the client has seen.
func (c *Client) note(r Result) Result {
	if r.Outcome == call.OK {
		c.seen = max(c.seen, r.Reply.GetAt().GetIndex())
	}
	return r
}
