package client

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"gfslab/api"
)

// Result is how an operation ended. Reply is set if Outcome is OK, Err if not.
type Result[T any] struct {
	Reply   T
	Outcome Outcome
	Err     error
	// Node answered: the master's node id; 0 if none did.
	Node uint64
	// Session is the mutation's; zero for reads.
	Session  Session
	Attempts []Attempt
}

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
	c        *Client
	ctx      context.Context
	pauses   int
	maybe    bool // an attempt may have had its effect
	attempts []Attempt
	last     error
}

// start begins an operation; end must be called when it is over.
func (c *Client) start(ctx context.Context) (*op, context.CancelFunc) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, c.o.OpTimeout)
	}
	return &op{c: c, ctx: ctx}, cancel
}

// outcome without a definite reply.
func (o *op) outcome() Outcome {
	if o.maybe {
		return Unknown
	}
	return Fail
}

func (o *op) err() error {
	if o.last == nil {
		return o.ctx.Err()
	}
	if o.ctx.Err() != nil {
		return fmt.Errorf("%w; last attempt: %w", o.ctx.Err(), o.last)
	}
	return o.last
}

// attempt makes one call to a node and records it. left says whether the call
// was handed to a transport.
func (o *op) attempt(node string, addr string, timeout time.Duration, do func(context.Context, *conn) error) (left bool, err error) {
	var d departure
	ctx, cancel := context.WithTimeout(withDeparture(o.ctx, &d), timeout)
	defer cancel()
	begin := o.c.o.Now()
	cc, err := o.c.o.Conns.get(addr)
	if err == nil {
		err = do(ctx, cc)
	}
	a := Attempt{Node: node, Start: begin, End: o.c.o.Now(), Err: err}
	o.attempts = append(o.attempts, a)
	if o.c.o.OnAttempt != nil {
		o.c.o.OnAttempt(a)
	}
	o.last = err
	return d.left.Load(), err
}

// pause waits before a retry; false means that the context ended.
func (o *op) pause() bool {
	d := o.c.o.BackoffMin << min(o.pauses, 16)
	if d > o.c.o.BackoffMax || d <= 0 {
		d = o.c.o.BackoffMax
	}
	o.pauses++
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

// NodeName is how attempts name the master with this node id.
func NodeName(id uint64) string { return "m" + strconv.FormatUint(id, 10) }

// ask calls masters until one gives a definite reply.
func ask[T any](o *op, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) (reply T, node uint64, ok bool) {
	c := o.c
	at := c.leader
	if i := c.indexOf(first); first != 0 && i >= 0 {
		at = i
	}
	moved := 0 // redirects without a pause
	for o.ctx.Err() == nil {
		m := c.o.Masters[at]
		left, err := o.attempt(NodeName(m.ID), m.Addr, timeout, func(ctx context.Context, cc *conn) (err error) {
			reply, err = do(ctx, api.NewMasterClient(cc))
			return err
		})
		if err == nil {
			c.leader = at
			return reply, m.ID, true
		}
		v, hint := classify(err, left)
		next := (at + 1) % len(c.o.Masters)
		switch v {
		case giveUp:
			return reply, 0, false
		case retryUnknown:
			o.maybe = true
		case retryLater:
			if left { // a leader that is full stays the leader
				next = at
			}
		case retryElsewhere:
			if i := c.indexOf(hint); hint != 0 && i >= 0 && i != at {
				next = i
			}
			if moved++; moved < len(c.o.Masters) {
				at = next
				continue
			}
			moved = 0
		}
		at = next
		if !o.pause() {
			break
		}
	}
	return reply, 0, false
}

func (c *Client) indexOf(node uint64) int {
	for i, m := range c.o.Masters {
		if m.ID == node {
			return i
		}
	}
	return -1
}

// run makes a whole operation of one kind of call. A read without a reply has
// failed: it has no effect that could be in doubt.
func run[T any](ctx context.Context, c *Client, read bool, first uint64, timeout time.Duration, do func(context.Context, api.MasterClient) (T, error)) Result[T] {
	o, end := c.start(ctx)
	defer end()
	reply, node, ok := ask(o, first, timeout, do)
	r := Result[T]{Attempts: o.attempts}
	if ok {
		r.Reply, r.Outcome, r.Node = reply, OK, node
		return r
	}
	o.maybe = o.maybe && !read
	r.Outcome, r.Err = o.outcome(), o.err()
	return r
}

// identify returns the session of a mutation, and what to call with its outcome.
func (s *sessions) identify(given *Session) (Session, func(Outcome)) {
	if given != nil {
		return *given, func(Outcome) {}
	}
	return s.next(), func(o Outcome) {
		if o == Unknown {
			s.renew()
		}
	}
}
