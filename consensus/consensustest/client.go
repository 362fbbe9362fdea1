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
		errors.Is(o.Err, consensus.ErrClosed) || errors.Is(o.Err, consensus.ErrRefused) || errors.As(o.Err, &notLeader)
	if o.Kind == opSwap && !typed {
		c.Errorf("node %d answered command %d with an error that is none of the contract's: %v", o.Node, o.ID, o.Err)
	}
	if late > c.grace()/4 {
		c.Errorf("node %d returned %v after the end of its caller's context", o.Node, late)
	}
	if notLeader != nil && notLeader.Hint != 0 && int(notLeader.Hint) > len(*c.places.Load()) {
		c.Errorf("node %d hints at node %d, which does not exist", o.Node, notLeader.Hint)
	}
}

// read makes one read, linearizable but in the read mode stale, and records it. Any goroutine.
func (c *cluster) read(ctx context.Context, inc *incarnation, key uint8) operation {
	o := operation{Kind: opRead, Node: inc.node.id, Key: key}
	if c.limits.ReadMode == consensus.ReadStale {
		o.Kind = opStale
	}
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

// readStale makes one read that promises a prefix of the log that holds at least
// pin, and records it. Any goroutine.
func (c *cluster) readStale(ctx context.Context, inc *incarnation, key uint8, pin Position) operation {
	o := operation{Kind: opStale, Node: inc.node.id, Key: key, Pin: pin}
	o.Invoke = c.history.stamp()
	r, ok := inc.replica.(consensus.StaleReader)
	if !ok {
		c.Errorf("node %d is no consensus.StaleReader", o.Node)
		return o
	}
	index, err := r.ReadStale(ctx, pin.Index)
	late := sinceEnd(ctx)
	if err == nil && index < pin.Index && !inc.dead.Load() {
		c.Errorf("node %d returned index %d to a stale read that asked for %d", o.Node, index, pin.Index)
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
	stale   int           // percent: stale reads, of any node
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
	target := rng.IntN(len(*c.places.Load()))
	var seen Position // by this client, whatever it asked
	for pause(ctx, o.pace/2+time.Duration(rng.Int64N(int64(o.pace)))) {
		nodes := *c.places.Load()
		at, stale := target, o.stale > 0 && rng.IntN(100) < o.stale
		if stale || rng.IntN(100) < o.stray {
			at = rng.IntN(len(nodes))
		}
		inc := nodes[at].current.Load()
		if inc == nil {
			target = rng.IntN(len(nodes))
			continue
		}
		key := uint8(1 + rng.IntN(o.keys))
		opCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.timeout)
		var done operation
		switch {
		case stale:
			done = c.readStale(opCtx, inc, key, seen)
		case rng.IntN(100) < o.reads:
			done = c.read(opCtx, inc, key)
		default:
			done = c.swap(opCtx, inc, key, rng.IntN(o.pad+1))
		}
		cancel()
		if done.Outcome == consensus.OK && seen.less(done.At) {
			seen = done.At
		}
		var notLeader *consensus.NotLeaderError
		switch {
		case stale:
		case done.Err == nil:
			target = at
		case errors.As(done.Err, &notLeader) && notLeader.Hint != 0 && int(notLeader.Hint) <= len(nodes):
			target = int(notLeader.Hint) - 1
		default:
			target = rng.IntN(len(nodes))
		}
	}
}
