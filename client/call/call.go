package call

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"gfslab/api"
)

// Node is one replica: its id and where clients reach it.
type Node struct {
	ID   uint64
	Addr string
}

// Name is how attempts name a replica.
func Name(id uint64) string { return "m" + strconv.FormatUint(id, 10) }

// Options configure a Caller. Fields with a default may be left zero.
type Options struct {
	// Nodes are the replicas known at first. Required.
	Nodes []Node
	// Conns are the connections to use, shared with other callers. The caller's
	// owner closes them. Required.
	Conns *Conns
	// Now is the clock of attempts (default time.Now).
	Now func() time.Time
	// Seed drives jitter and whom to ask first.
	Seed uint64
	// OpTimeout bounds an operation whose context has no deadline (default 10 s).
	OpTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause before a retry, which doubles and
	// carries jitter (default 3 ms and 60 ms).
	BackoffMin, BackoffMax time.Duration
	// OnAttempt sees each attempt when it ends; may be nil.
	OnAttempt func(Attempt)
}

// Attempt is one call of an operation to one node.
type Attempt struct {
	Node  string // "m1" for the replica with id 1, else a chunkserver's name
	Start time.Time
	End   time.Time
	Err   error // nil: answered
}

// Caller calls the replicas of one service, for one operation at a time.
type Caller struct {
	o       Options
	nodes   []Node
	members uint64 // log index of the configuration that nodes are from
	rng     *rand.Rand
	leader  int // index in nodes
}

// New returns a caller.
func New(o Options) (*Caller, error) {
	switch {
	case len(o.Nodes) == 0:
		return nil, errors.New("call: no replicas to ask")
	case o.Conns == nil:
		return nil, errors.New("call: no connections")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	defaultDuration(&o.OpTimeout, 10*time.Second)
	defaultDuration(&o.BackoffMin, 3*time.Millisecond)
	defaultDuration(&o.BackoffMax, 60*time.Millisecond)
	return &Caller{
		o: o, nodes: o.Nodes, leader: int(o.Seed % uint64(len(o.Nodes))),
		rng: rand.New(rand.NewPCG(o.Seed, 0x636c69656e74)),
	}, nil
}

func defaultDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Nodes are the replicas known now.
func (c *Caller) Nodes() []Node { return c.nodes }

// Leader is the replica that is thought to lead.
func (c *Caller) Leader() uint64 { return c.nodes[c.leader].ID }

// Rand is the caller's source of jitter and choices.
func (c *Caller) Rand() *rand.Rand { return c.rng }

// Now is the caller's clock.
func (c *Caller) Now() time.Time { return c.o.Now() }

// Address is where a replica is reached; "" if it is not known.
func (c *Caller) Address(node uint64) string {
	if i := c.indexOf(node); i >= 0 {
		return c.nodes[i].Addr
	}
	return ""
}

func (c *Caller) indexOf(node uint64) int {
	for i, n := range c.nodes {
		if n.ID == node {
			return i
		}
	}
	return -1
}

// Op is one operation while it runs.
type Op struct {
	c      *Caller
	ctx    context.Context
	Pauses int
	// Maybe: an attempt may have had its effect.
	Maybe    bool
	Attempts []Attempt
	// Last is the last attempt's error.
	Last error
}

// Start begins an operation; end must be called when it is over.
func (c *Caller) Start(ctx context.Context) (*Op, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, c.o.OpTimeout)
	}
	return &Op{c: c, ctx: ctx}, cancel
}

// Context is the operation's: it ends with it.
func (o *Op) Context() context.Context { return o.ctx }

// Live is false once the operation's context has ended.
func (o *Op) Live() bool { return o.ctx.Err() == nil }

// Outcome is that of an operation without a definite reply.
func (o *Op) Outcome() Outcome {
	if o.Maybe {
		return Unknown
	}
	return Fail
}

// Err says why there is no definite reply.
func (o *Op) Err() error {
	if o.Last == nil {
		return o.ctx.Err()
	}
	if o.ctx.Err() != nil {
		return fmt.Errorf("%w; last attempt: %w", o.ctx.Err(), o.Last)
	}
	return o.Last
}

// Attempt makes one call to a node and records it. left says whether the call
// was handed to a transport.
func (o *Op) Attempt(node string, addr string, timeout time.Duration, do func(context.Context, *grpc.ClientConn) error) (left bool, err error) {
	var d departure
	ctx, cancel := context.WithTimeout(withDeparture(o.ctx, &d), timeout)
	defer cancel()
	begin := o.c.o.Now()
	cc, err := o.c.o.Conns.Get(addr)
	if err == nil {
		err = do(ctx, cc)
	}
	a := Attempt{Node: node, Start: begin, End: o.c.o.Now(), Err: err}
	o.Attempts = append(o.Attempts, a)
	if o.c.o.OnAttempt != nil {
		o.c.o.OnAttempt(a)
	}
	o.Last = err
	return d.left.Load(), err
}

// Pause waits before a retry; false means that the context ended.
func (o *Op) Pause() bool {
	d := o.c.o.BackoffMin << min(o.Pauses, 16)
	if d > o.c.o.BackoffMax || d <= 0 {
		d = o.c.o.BackoffMax
	}
	o.Pauses++
	// Between half of it and all of it, so that clients spread.
	d = d/2 + time.Duration(o.c.rng.Int64N(int64(d/2)+1))
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.ctx.Done():
		return false
	}
}

// Ask calls replicas until one gives a definite reply: first that with the id
// first, if it is not 0, then whoever leads.
func Ask[T any](o *Op, first uint64, timeout time.Duration, do func(context.Context, *grpc.ClientConn) (T, error)) (reply T, node uint64, ok bool) {
	c := o.c
	at := c.leader
	if i := c.indexOf(first); first != 0 && i >= 0 {
		at = i
	}
	moved := 0 // redirects without a pause
	for o.ctx.Err() == nil {
		n := c.nodes[at]
		left, err := o.Attempt(Name(n.ID), n.Addr, timeout, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
			reply, err = do(ctx, cc)
			return err
		})
		if err == nil {
			c.leader = at
			if p, ok := any(reply).(interface{ GetAt() *api.Position }); ok && p.GetAt().GetMembers() > c.members {
				c.refresh(o.ctx, n, timeout)
			}
			return reply, n.ID, true
		}
		v, redirect := classify(err, left)
		next := (at + 1) % len(c.nodes)
		switch v {
		case giveUp:
			return reply, 0, false
		case retryUnknown:
			o.Maybe = true
		case retryLater:
			if left { // a leader that is full stays the leader
				next = at
			}
		case retryElsewhere:
			if c.learn(redirect.MembersIndex, redirect.Members) {
				next = int(c.rng.Int64N(int64(len(c.nodes))))
				at = -1
			}
			if i := c.indexOf(redirect.Leader); redirect.Leader != 0 && i >= 0 && i != at {
				next = i
			}
			if moved++; moved < len(c.nodes) {
				at = next
				continue
			}
			moved = 0
		}
		at = next
		if !o.Pause() {
			break
		}
	}
	return reply, 0, false
}

// Result is how an operation ended. Reply is set if Outcome is OK, Err if not.
type Result[T any] struct {
	Reply   T
	Outcome Outcome
	Err     error
	// Node answered: the replica's id; 0 if none did.
	Node uint64
	// Session is the mutation's; zero for reads.
	Session  Session
	Attempts []Attempt
}

// Run makes a whole operation of one kind of call. A read without a reply has
// failed: it has no effect that could be in doubt.
func Run[T any](ctx context.Context, c *Caller, read bool, first uint64, timeout time.Duration, do func(context.Context, *grpc.ClientConn) (T, error)) Result[T] {
	o, end := c.Start(ctx)
	defer end()
	reply, node, ok := Ask(o, first, timeout, do)
	r := Result[T]{Attempts: o.Attempts}
	if ok {
		r.Reply, r.Outcome, r.Node = reply, OK, node
		return r
	}
	o.Maybe = o.Maybe && !read
	r.Outcome, r.Err = o.Outcome(), o.Err()
	return r
}
