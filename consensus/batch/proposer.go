package batch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"gfslab/consensus"
)

// Options are what a Proposer needs.
type Options struct {
	Node uint64
	// Nonce tells this incarnation's batches from earlier ones'; it must be new
	// at each start.
	Nonce  uint64
	Limits consensus.Limits
	// Notify is called, without a lock held, when a command comes into an empty
	// queue. It must not block. Nil is allowed.
	Notify func()
}

// Batch is one entry cut from the queue.
type Batch struct {
	Seq uint64
	// Data is never changed after Cut.
	Data []byte
	// Commands is the number of commands in it.
	Commands int
}

// flight is a batch that was cut and whose outcome is open.
type flight struct{ waiters []*waiter }

// Proposer queues commands, cuts batches and finishes callers.
type Proposer struct {
	opts       Options
	maxEntries int
	pool       pool

	// encoding is held while a batch is cut, which copies the commands, and by a
	// caller that leaves early: once Propose has returned, nothing reads the
	// command again.
	encoding sync.Mutex

	mu       sync.Mutex
	queue    []*waiter // at most QueueCommands
	overflow []*waiter // callers that wait for room, in order
	closed   bool
	open     map[uint64]*flight

	// The cutter's own: what it has taken from the queue and not yet cut.
	cutting []*waiter
	at      int
	seq     uint64

	waiting  atomic.Int64 // commands not yet in a batch
	inFlight atomic.Int64 // batches with an open outcome
}

// New returns an empty Proposer.
func New(o Options) *Proposer {
	entries := o.Limits.BatchEntries
	if o.Limits.BatchMode == consensus.BatchNative {
		entries = 1
	}
	return &Proposer{opts: o, maxEntries: entries, open: map[uint64]*flight{}}
}

// Propose queues command and waits for its outcome. When ctx ends first, the
// error wraps ctx's error and either consensus.ErrDropped (the command was
// still queued) or consensus.ErrUnknown.
func (p *Proposer) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	if len(command) > p.opts.Limits.MaxCommandBytes {
		return consensus.Result{}, fmt.Errorf("%w: it has %d bytes, the limit is %d",
			consensus.ErrDropped, len(command), p.opts.Limits.MaxCommandBytes)
	}
	if err := ctx.Err(); err != nil {
		return consensus.Result{}, fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	w := p.pool.waiter(command)
	if !p.push(w) {
		p.pool.putWaiter(w)
		return consensus.Result{}, consensus.ErrClosed
	}
	cancelled := ctx.Done()
	if cancelled == nil {
		<-w.ready
		return p.take(w)
	}
	select {
	case <-w.ready:
		return p.take(w)
	case <-cancelled:
	}
	if err := p.leave(w); err != nil {
		return consensus.Result{}, fmt.Errorf("%w: %w", err, ctx.Err())
	}
	<-w.ready
	return p.take(w)
}

func (p *Proposer) take(w *waiter) (consensus.Result, error) {
	result, err := w.result, w.err
	p.pool.putWaiter(w)
	return result, err
}

// push adds w to the queue; it reports false when the proposer is closed.
func (p *Proposer) push(w *waiter) bool {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return false
	}
	first := len(p.queue) == 0
	if len(p.queue) < p.opts.Limits.QueueCommands {
		p.queue = append(p.queue, w)
	} else {
		p.overflow = append(p.overflow, w)
	}
	p.waiting.Add(1)
	p.mu.Unlock()
	if first && p.opts.Notify != nil {
		p.opts.Notify()
	}
	return true
}

// leave ends a caller's interest in w. It returns nil when the outcome is
// already known, and what is known of the command otherwise.
func (p *Proposer) leave(w *waiter) error {
	p.encoding.Lock()
	defer p.encoding.Unlock()
	if w.state.CompareAndSwap(queued, withdrawn) {
		return consensus.ErrDropped
	}
	if w.state.CompareAndSwap(taken, abandoned) {
		return consensus.ErrUnknown
	}
	return nil
}

// refill takes everything queued in one step and lets those in that waited for
// room. It reports whether there is something to cut.
func (p *Proposer) refill() bool {
	if p.at < len(p.cutting) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.cutting)
	p.cutting, p.queue, p.at = p.queue, p.cutting[:0], 0
	if n := min(len(p.overflow), p.opts.Limits.QueueCommands); n > 0 {
		p.queue = append(p.queue, p.overflow[:n]...)
		rest := copy(p.overflow, p.overflow[n:])
		clear(p.overflow[rest:])
		p.overflow = p.overflow[:rest]
	}
	return len(p.cutting) > 0
}

// Cut packs waiting commands into one batch, in the order of their arrival. It
// reports false when none waits. Cut, FailQueued and Close belong to one
// goroutine.
func (p *Proposer) Cut() (Batch, bool) {
	for p.refill() {
		f := p.pool.flight()
		data := p.pack(f)
		if len(f.waiters) == 0 { // all of them had been withdrawn
			p.pool.putFlight(f)
			continue
		}
		b := Batch{Seq: p.seq, Data: data, Commands: len(f.waiters)}
		p.mu.Lock()
		p.open[b.Seq] = f
		p.mu.Unlock()
		p.inFlight.Add(1)
		return b, true
	}
	return Batch{}, false
}

// pack moves waiters into f up to the limits and encodes their commands.
func (p *Proposer) pack(f *flight) []byte {
	p.encoding.Lock()
	defer p.encoding.Unlock()
	bytes := 0
	for p.at < len(p.cutting) && len(f.waiters) < p.maxEntries {
		w := p.cutting[p.at]
		if w.state.Load() == withdrawn {
			p.pool.putWaiter(w)
			p.at++
			p.waiting.Add(-1)
			continue
		}
		if len(f.waiters) > 0 && bytes+len(w.command) > p.opts.Limits.BatchBytes {
			break
		}
		w.state.Store(taken)
		bytes += len(w.command)
		f.waiters = append(f.waiters, w)
		p.at++
	}
	if len(f.waiters) == 0 {
		return nil
	}
	p.waiting.Add(-int64(len(f.waiters)))
	p.seq++
	data := make([]byte, 0, EncodedSize(len(f.waiters), bytes))
	data = appendHeader(data, Origin{p.opts.Node, p.opts.Nonce, p.seq}, len(f.waiters))
	for _, w := range f.waiters {
		data = appendCommand(data, w.command)
	}
	return data
}

// Waiting is the number of commands not yet in a batch, those withdrawn
// meanwhile included.
func (p *Proposer) Waiting() int { return int(p.waiting.Load()) }

// InFlight is the number of batches cut whose outcome is open.
func (p *Proposer) InFlight() int { return int(p.inFlight.Load()) }
