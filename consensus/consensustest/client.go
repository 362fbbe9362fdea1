package consensustest

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"gfslab/consensus"
)

// swap proposes one command and records what came of it. Any goroutine.
func (c *cluster) swap(ctx context.Context, inc *incarnation, key uint8, pad int) operation {
	id := c.history.ids.Add(1)
	o := operation{Kind: opSwap, Node: inc.node.id, ID: id, Key: key}
	command := encodeCommand(id, key, pad)
	o.Invoke = c.history.stamp()
	res, err := inc.replica.Propose(ctx, command)
	late := sinceEnd(ctx)
	if err == nil && inc.machine.position().less(Position{res.Index, res.Offset}) && !inc.dead.Load() {
		c.Errorf("node %d acknowledged command %d at index %d, offset %d before its own state machine had applied it (it is at %+v)",
			o.Node, id, res.Index, res.Offset, inc.machine.position())
	}
	o.Outcome, o.Err = consensus.OutcomeOf(err), err
	if inc.dead.Load() {
		o.Outcome = consensus.Unknown
	}
	o.Return = c.history.stamp()
	if o.Outcome == consensus.OK {
		o.At = Position{res.Index, res.Offset}
		if len(res.Value) == resultBytes {
			o.Value = binary.BigEndian.Uint64(res.Value)
		} else {
			c.Errorf("node %d answered command %d with %d bytes, not the %d of its state machine", o.Node, id, len(res.Value), resultBytes)
		}
	}
	c.history.add(o)
	c.checkError(o, late)
	// Both buffers are the caller's again: whoever still reads them is caught.
	scribble(command)
	scribble(res.Value)
	return o
}

func scribble(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// sinceEnd is how long ago ctx's deadline passed; 0 if it has none or has not.
func sinceEnd(ctx context.Context) time.Duration {
	d, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(0, time.Since(d))
}

// checkError checks the form of an error and that the call obeyed its context.
func (c *cluster) checkError(o operation, late time.Duration) {
	var notLeader *consensus.NotLeaderError
	typed := o.Err == nil || errors.Is(o.Err, consensus.ErrUnknown) || errors.Is(o.Err, consensus.ErrDropped) ||
		errors.Is(o.Err, consensus.ErrClosed) || errors.As(o.Err, &notLeader)
	if o.Kind == opSwap && !typed {
		c.Errorf("node %d answered command %d with an error that is none of the contract's: %v", o.Node, o.ID, o.Err)
	}
	if late > c.grace()/4 {
		c.Errorf("node %d returned %v after the end of its caller's context", o.Node, late)
	}
	if notLeader != nil && notLeader.Hint != 0 && int(notLeader.Hint) > len(c.nodes) {
		c.Errorf("node %d hints at node %d, which does not exist", o.Node, notLeader.Hint)
	}
}

// read makes one linearizable read and records it. Any goroutine.
func (c *cluster) read(ctx context.Context, inc *incarnation, key uint8) operation {
	o := operation{Kind: opRead, Node: inc.node.id, Key: key}
	o.Invoke = c.history.stamp()
	index, err := inc.replica.ReadBarrier(ctx)
	late := sinceEnd(ctx)
	if err == nil && !inc.dead.Load() {
		if applied := inc.replica.Status().Applied; applied < index {
			c.Errorf("node %d returned read index %d with applied index %d", o.Node, index, applied)
		}
	}
	o.Value, o.At = inc.machine.lookup(key)
	if o.Err = err; err != nil || inc.dead.Load() {
		o.Outcome = consensus.Fail
	}
	o.Return = c.history.stamp()
	c.history.add(o)
	c.checkError(o, late)
	return o
}

// loadOptions describe the background traffic of a scenario.
type loadOptions struct {
	clients int
	keys    int           // registers 1..keys
	reads   int           // percent
	stray   int           // percent sent to a random node instead of the leader
	pad     int           // largest padding, bytes
	timeout time.Duration // of each operation
	pace    time.Duration // mean pause between operations of one client
}

func defaultLoad() loadOptions {
	return loadOptions{clients: 8, keys: 4, reads: 30, stray: 15, pad: 200, timeout: 500 * time.Millisecond, pace: 4 * time.Millisecond}
}

// load is traffic that runs until stop.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// load starts traffic.
func (c *cluster) load(o loadOptions) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	c.loads = append(c.loads, l)
	for i := range o.clients {
		rng := rand.New(rand.NewPCG(c.play.seed, uint64(1000+i)))
		l.wg.Go(func() { c.client(ctx, rng, o) })
	}
	return l
}

// stop ends the traffic and waits until every call has returned.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// client is one closed loop: an operation, a pause. It follows hints.
func (c *cluster) client(ctx context.Context, rng *rand.Rand, o loadOptions) {
	target := rng.IntN(len(c.nodes))
	for pause(ctx, o.pace/2+time.Duration(rng.Int64N(int64(o.pace)))) {
		at := target
		if rng.IntN(100) < o.stray {
			at = rng.IntN(len(c.nodes))
		}
		inc := c.nodes[at].current.Load()
		if inc == nil {
			target = rng.IntN(len(c.nodes))
			continue
		}
		key := uint8(1 + rng.IntN(o.keys))
		opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
		var done operation
		if rng.IntN(100) < o.reads {
			done = c.read(opCtx, inc, key)
		} else {
			done = c.swap(opCtx, inc, key, rng.IntN(o.pad+1))
		}
		cancel()
		var notLeader *consensus.NotLeaderError
		switch {
		case done.Err == nil:
			target = at
		case errors.As(done.Err, &notLeader) && notLeader.Hint != 0 && int(notLeader.Hint) <= len(c.nodes):
			target = int(notLeader.Hint) - 1
		default:
			target = rng.IntN(len(c.nodes))
		}
	}
}

// leader waits for a leader that serves linearizable reads, outside except.
func (c *cluster) leader(except ...*node) *incarnation {
	c.Helper()
	var found *incarnation
	c.within(c.grace(), "a leader", func() bool {
		for _, inc := range c.up() {
			if inc.replica.Status().Role != consensus.Leader || contains(except, inc.node) {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			o := c.read(ctx, inc, 1)
			cancel()
			if o.Outcome == consensus.OK {
				found = inc
				return true
			}
		}
		return false
	})
	return found
}

func contains(list []*node, n *node) bool {
	for _, x := range list {
		if x == n {
			return true
		}
	}
	return false
}

// mustSwap writes through whichever node leads, until one write is
// acknowledged. Attempts that were not are in the history too.
func (c *cluster) mustSwap(key uint8, except ...*node) (*incarnation, operation) {
	c.Helper()
	var inc *incarnation
	var o operation
	c.within(2*c.grace(), "an acknowledged write", func() bool {
		inc = c.leader(except...)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		o = c.swap(ctx, inc, key, 10)
		return o.Outcome == consensus.OK
	})
	return inc, o
}

// settle heals everything, brings every node up and waits until all have
// applied the same log, up to a last acknowledged write.
func (c *cluster) settle() {
	c.Helper()
	c.fabric.HealAll()
	for _, n := range c.nodes {
		if n.current.Load() == nil {
			c.open(n)
		}
	}
	_, last := c.mustSwap(1)
	for _, inc := range c.up() {
		c.within(c.grace(), inc.node.name+" to apply the last write", func() bool {
			return !inc.machine.position().less(last.At)
		})
	}
	inc := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), c.grace())
	defer cancel()
	for key := range uint8(8) {
		c.read(ctx, inc, key)
	}
}
