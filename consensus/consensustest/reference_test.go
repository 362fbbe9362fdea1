package consensustest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// oracle is the agreed log of a reference cluster: one lock, and a memory that
// no crash touches. Who leads is decided here, by who reaches a majority over
// the network; so faults hurt a reference cluster as they hurt a real one.
type oracle struct {
	mu      sync.Mutex
	log     [][][]byte // entry i has index i+1
	sealed  int        // entries that somebody has applied: they grow no more
	term    uint64
	leader  consensus.NodeID
	contact time.Time // when the leader last reached a majority
	orphans [][]byte  // proposed by leaders that were cut off; a successor may adopt them
	coin    uint64
}

// append adds a command to the open entry or a new one. It runs under mu.
func (o *oracle) append(command []byte) Position {
	if n := len(o.log); n == 0 || n <= o.sealed || len(o.log[n-1]) >= 4 {
		o.log = append(o.log, nil)
	}
	last := len(o.log) - 1
	o.log[last] = append(o.log[last], command)
	return Position{uint64(last + 1), len(o.log[last]) - 1}
}

// reference is a correct Replica for the suite's own tests: simple, and of no
// use elsewhere.
type reference struct {
	cfg      consensus.Config
	oracle   *oracle
	listener net.Listener
	room     chan struct{}
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	term     atomic.Uint64 // the term it believes to lead; 0 = none
	asked    atomic.Int64
	rounds   atomic.Uint64

	mu      sync.Mutex
	conns   map[net.Conn]bool
	reached map[consensus.NodeID]time.Time // when the last answered ping was sent
	applied uint64
	answers map[Position][]byte
	waiting map[Position]bool
	changed chan struct{}
}

// newReference returns a backend for one cluster.
func newReference() Backend {
	o := &oracle{}
	return Backend{Name: "reference", Capabilities: Capabilities{Missing: Features()}, Open: func(cfg consensus.Config, env Env) (consensus.Replica, error) {
		return openReference(o, cfg, env), nil
	}}
}

func openReference(o *oracle, cfg consensus.Config, env Env) *reference {
	r := &reference{
		cfg: cfg.WithDefaults(), oracle: o, listener: env.Listener,
		room:  make(chan struct{}, cfg.Limits.QueueCommands),
		conns: map[net.Conn]bool{}, reached: map[consensus.NodeID]time.Time{},
		answers: map[Position][]byte{}, waiting: map[Position]bool{}, changed: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.serve)
	for _, p := range cfg.Peers {
		if p.ID != cfg.Self {
			r.wg.Go(func() { r.ping(env, p) })
		}
	}
	r.wg.Go(r.tick)
	r.wg.Go(r.apply)
	return r
}

func (r *reference) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		c.Close()
		return false
	}
	r.conns[c] = true
	return true
}

// serve answers pings.
func (r *reference) serve() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		if r.keep(c) {
			r.wg.Go(func() { defer c.Close(); io.Copy(c, c) })
		}
	}
}

// ping keeps reached up to date for one peer.
func (r *reference) ping(env Env, p consensus.Peer) {
	for pause(r.ctx, 10*time.Millisecond) {
		ctx, cancel := context.WithTimeout(r.ctx, 100*time.Millisecond)
		c, err := env.Network.Dial(ctx, p.Addr)
		cancel()
		if err != nil || !r.keep(c) {
			continue
		}
		for pause(r.ctx, 2*time.Millisecond) {
			sent := time.Now()
			c.SetDeadline(sent.Add(100 * time.Millisecond))
			var b [8]byte
			if _, err := c.Write(b[:]); err != nil {
				break
			}
			if _, err := io.ReadFull(c, b[:]); err != nil {
				break
			}
			r.mu.Lock()
			r.reached[p.ID] = sent
			r.notify()
			r.mu.Unlock()
		}
		c.Close()
	}
}

// notify wakes all who wait for a change. It runs under mu.
func (r *reference) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// majoritySince reports whether a majority answered a ping sent at or after t.
func (r *reference) majoritySince(t time.Time) bool {
	n := 1
	for _, sent := range r.reached {
		if !sent.Before(t) {
			n++
		}
	}
	return 2*n > len(r.cfg.Peers)
}

// wait blocks until done holds under mu, ctx ends or the replica closes.
func (r *reference) wait(ctx context.Context, done func() bool) error {
	for {
		r.mu.Lock()
		ok, changed := done(), r.changed
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return consensus.ErrClosed
		}
	}
}

// tick leads, steps down and takes over.
func (r *reference) tick() {
	timeout := r.cfg.Limits.ElectionTimeout()
	for pause(r.ctx, 10*time.Millisecond) {
		now := time.Now()
		r.mu.Lock()
		fresh, lost := r.majoritySince(now.Add(-30*time.Millisecond)), !r.majoritySince(now.Add(-3*timeout))
		r.mu.Unlock()
		var won uint64
		o := r.oracle
		o.mu.Lock()
		switch mine := r.term.Load(); {
		case mine != 0 && (lost || mine != o.term && fresh):
			r.term.Store(0)
		case mine != 0 && mine == o.term && fresh:
			o.contact = now
		case mine == 0 && fresh && (o.leader == 0 || o.leader == r.cfg.Self || now.Sub(o.contact) > timeout):
			o.term++
			o.leader, o.contact, won = r.cfg.Self, now, o.term
			for _, c := range o.orphans {
				o.append(c)
			}
			o.orphans = nil
			r.term.Store(won)
		}
		o.mu.Unlock()
		if won != 0 {
			r.cfg.Observe(consensus.Event{Kind: consensus.EventLeader, Node: r.cfg.Self, Term: won})
		}
	}
}

// apply runs the state machine along the agreed log, while a majority is near.
func (r *reference) apply() {
	for pause(r.ctx, time.Millisecond) {
		r.mu.Lock()
		near := r.majoritySince(time.Now().Add(-50 * time.Millisecond))
		next := r.applied
		r.mu.Unlock()
		for near && r.ctx.Err() == nil {
			o := r.oracle
			o.mu.Lock()
			if int(next) >= len(o.log) {
				o.mu.Unlock()
				break
			}
			commands := o.log[next]
			o.sealed = max(o.sealed, int(next)+1)
			o.mu.Unlock()
			next++
			results := r.cfg.StateMachine.Apply(next, commands)
			r.mu.Lock()
			r.applied = next
			for i, v := range results {
				if at := (Position{next, i}); r.waiting[at] {
					r.answers[at] = v
				}
			}
			r.notify()
			r.mu.Unlock()
		}
	}
}

func (r *reference) notLeader() error {
	r.oracle.mu.Lock()
	defer r.oracle.mu.Unlock()
	if r.oracle.leader == r.cfg.Self {
		return &consensus.NotLeaderError{}
	}
	return &consensus.NotLeaderError{Hint: r.oracle.leader}
}

// confirm returns once a majority has answered a ping sent after the call.
func (r *reference) confirm(ctx context.Context) error {
	asked := time.Now()
	if r.asked.Swap(asked.UnixNano()) != asked.UnixNano() {
		r.rounds.Add(1) // readers of one instant share the next ping
	}
	// Strictly after: in virtual time a ping and a question share an instant.
	return r.wait(ctx, func() bool { return r.majoritySince(asked.Add(1)) })
}

// Propose implements consensus.Replica.
func (r *reference) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	if r.ctx.Err() != nil {
		return consensus.Result{}, consensus.ErrClosed
	}
	if len(command) > r.cfg.Limits.MaxCommandBytes {
		return consensus.Result{}, fmt.Errorf("%w: too large", consensus.ErrDropped)
	}
	term := r.term.Load()
	if term == 0 {
		return consensus.Result{}, r.notLeader()
	}
	select {
	case r.room <- struct{}{}:
	case <-ctx.Done():
		return consensus.Result{}, fmt.Errorf("%w: %w", consensus.ErrDropped, ctx.Err())
	}
	defer func() { <-r.room }()
	command = append([]byte(nil), command...)
	if err := r.confirm(ctx); err != nil {
		return consensus.Result{}, r.orphan(command, err)
	}
	at, ok := r.commit(term, command)
	if !ok {
		return consensus.Result{}, r.notLeader()
	}
	err := r.wait(ctx, func() bool { return r.applied >= at.Index })
	r.mu.Lock()
	defer r.mu.Unlock()
	value := r.answers[at]
	delete(r.answers, at)
	delete(r.waiting, at)
	if err != nil {
		return consensus.Result{}, fmt.Errorf("%w: %w", consensus.ErrUnknown, err)
	}
	return consensus.Result{Index: at.Index, Offset: at.Offset, Value: value}, nil
}

// commit appends the command to the agreed log if term still leads.
func (r *reference) commit(term uint64, command []byte) (Position, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oracle.mu.Lock()
	defer r.oracle.mu.Unlock()
	if r.oracle.term != term {
		return Position{}, false
	}
	at := r.oracle.append(command)
	r.waiting[at] = true
	return at, true
}

// orphan gives up a command; every second one lives on and may be adopted.
func (r *reference) orphan(command []byte, cause error) error {
	o := r.oracle
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.coin++; o.coin%2 == 0 {
		o.orphans = append(o.orphans, command)
	}
	if errors.Is(cause, consensus.ErrClosed) {
		return consensus.ErrUnknown
	}
	return fmt.Errorf("%w: %w", consensus.ErrUnknown, cause)
}

// ReadBarrier implements consensus.Replica.
func (r *reference) ReadBarrier(ctx context.Context) (uint64, error) {
	if r.ctx.Err() != nil {
		return 0, consensus.ErrClosed
	}
	term := r.term.Load()
	if term == 0 {
		return 0, r.notLeader()
	}
	if err := r.confirm(ctx); err != nil {
		return 0, err
	}
	r.oracle.mu.Lock()
	index, still := uint64(len(r.oracle.log)), r.oracle.term == term
	r.oracle.mu.Unlock()
	if !still {
		return 0, r.notLeader()
	}
	return index, r.wait(ctx, func() bool { return r.applied >= index })
}

// Status implements consensus.Replica.
func (r *reference) Status() consensus.Status {
	r.oracle.mu.Lock()
	s := consensus.Status{ID: r.cfg.Self, Term: r.oracle.term, Leader: r.oracle.leader, Committed: uint64(len(r.oracle.log)),
		Counters: map[string]uint64{"read_rounds": r.rounds.Load()}}
	r.oracle.mu.Unlock()
	if term := r.term.Load(); term != 0 && r.ctx.Err() == nil {
		s.Role, s.Term, s.Leader = consensus.Leader, term, r.cfg.Self
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Applied = r.applied
	return s
}

// Close implements consensus.Replica.
func (r *reference) Close() error {
	r.mu.Lock()
	r.cancel()
	for c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.listener.Close()
	r.wg.Wait()
	return nil
}
