package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
)

// Deps are a replica's doors to the world.
type Deps struct {
	FS  disk.FS
	Dir string
	// Network dials the peers and, where Listener is nil, listens at the
	// replica's own address. A cluster of one needs neither.
	Network  wire.Network
	Listener net.Listener
	// SegmentBytes and TailBytes are storage's (0 = its defaults).
	SegmentBytes, TailBytes int64
	// Ticker makes the ticks; nil is time.NewTicker.
	Ticker func(d time.Duration) (ticks <-chan time.Time, stop func())
}

// Factory opens a protocol over a recovered log.
type Factory func(cfg consensus.Config, log *storage.Log, start Start) (Core, error)

// Replica is a core at work. It implements consensus.Replica.
type Replica struct {
	cfg       consensus.Config
	log       *storage.Log
	sched     *Scheduler
	proposer  *batch.Proposer
	transport *wire.Transport // nil in a cluster of one
	inbox     *inbox
	applier   *applier
	readers   readers
	writes    chan *storage.Batch // room for one; closed by the loop
	core      Core

	leading   atomic.Bool
	hint      atomic.Uint64
	campaigns atomic.Uint64
	leads     atomic.Uint64
	rounds    atomic.Uint64
	badFrames atomic.Uint64

	mu     sync.Mutex
	status CoreStatus
	failed error // why the replica has stopped speaking

	// The loop's own.
	in   input
	fx   Effects
	held batch.Batch // cut, but the core was busy
	dead bool

	stop     chan struct{}
	stopOnce sync.Once
	tasks    sync.WaitGroup
	closeErr error
	closed   chan struct{}
}

var (
	_ consensus.Replica    = (*Replica)(nil)
	_ consensus.TermReader = (*Replica)(nil)
)

// Open recovers the log in deps.Dir and starts the replica. protocol names the
// backend: a directory that another protocol, cluster or node wrote is refused.
// It owns deps.Listener from here on, also when it fails.
func Open(cfg consensus.Config, deps Deps, protocol string, open Factory) (*Replica, error) {
	r, err := recoverAndStart(cfg, deps, protocol, open)
	if err != nil && deps.Listener != nil {
		_ = deps.Listener.Close() // perhaps closed already
	}
	return r, err
}

func recoverAndStart(cfg consensus.Config, deps Deps, protocol string, open Factory) (*Replica, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	log, err := storage.Open(storage.Options{
		FS: deps.FS, Dir: deps.Dir, SegmentBytes: deps.SegmentBytes, TailBytes: deps.TailBytes, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("engine: node %d: %w", cfg.Self, err)
	}
	r, err := start(cfg, deps, protocol, open, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("engine: node %d: %w", cfg.Self, err), log.Close())
	}
	return r, nil
}

func start(cfg consensus.Config, deps Deps, protocol string, open Factory, log *storage.Log) (*Replica, error) {
	if err := identify(cfg, protocol, log); err != nil {
		return nil, err
	}
	core, err := open(cfg, log, Start{Founders: consensus.Founders(cfg.Peers)})
	if err != nil {
		return nil, err
	}
	nonce := rand.Uint64()
	r := &Replica{
		cfg: cfg, log: log, core: core, inbox: newInbox(),
		writes: make(chan *storage.Batch, 1), stop: make(chan struct{}), closed: make(chan struct{}),
	}
	r.sched = NewScheduler(SchedulerOptions{
		Node: cfg.Self, Core: core, FirstRead: nonce >> 1, Window: cfg.Limits.Window, ReadRetryTicks: cfg.Limits.ElectionTicks,
	})
	r.proposer = batch.New(batch.Options{Node: uint64(cfg.Self), Nonce: nonce, Limits: cfg.Limits, Notify: r.inbox.poke})
	r.applier = &applier{
		node: cfg.Self, machine: cfg.StateMachine, proposer: r.proposer, observe: cfg.Observe,
		done: r.inbox.appliedTo, wake: make(chan struct{}, 1),
	}
	r.publish()
	if len(cfg.Peers) > 1 {
		r.transport, err = wire.NewTransport(wire.TransportOptions{
			Cluster: cfg.Cluster, Self: cfg.Self, Peers: cfg.Peers, Listener: deps.Listener, Network: deps.Network,
			Seed: cfg.Seed, Logger: cfg.Logger, Handler: r.inbox.frame,
		})
		if err != nil {
			return nil, err
		}
	} else if deps.Listener != nil {
		_ = deps.Listener.Close()
	}
	ticker := deps.Ticker
	if ticker == nil {
		ticker = func(d time.Duration) (<-chan time.Time, func()) { t := time.NewTicker(d); return t.C, t.Stop }
	}
	r.tasks.Go(r.write)
	r.tasks.Go(r.applier.run)
	r.tasks.Go(func() { r.loop(ticker) })
	return r, nil
}

// identity is the stable key that names the owner of a log.
const identity = "engine.identity"

func identify(cfg consensus.Config, protocol string, log *storage.Log) error {
	want := fmt.Sprintf("%s/%s/%d", protocol, cfg.Cluster, cfg.Self)
	got, ok := log.Stable(identity)
	switch {
	case !ok:
		return log.Commit(&storage.Batch{Stable: []storage.KV{{Key: identity, Value: []byte(want)}}})
	case string(got) != want:
		return fmt.Errorf("the log belongs to %q, not to %q", got, want)
	}
	return nil
}

// write commits one batch at a time.
func (r *Replica) write() {
	for b := range r.writes {
		r.inbox.wrote(r.log.Commit(b))
	}
}

// Propose implements consensus.Replica.
func (r *Replica) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	if !r.leading.Load() {
		if r.isClosing() {
			return consensus.Result{}, consensus.ErrClosed
		}
		return consensus.Result{}, r.notLeader()
	}
	return r.proposer.Propose(ctx, command)
}

// ReadBarrier implements consensus.Replica.
func (r *Replica) ReadBarrier(ctx context.Context) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !r.leading.Load() {
		if r.isClosing() {
			return 0, consensus.ErrClosed
		}
		return 0, r.notLeader()
	}
	rd := r.readers.get()
	if !r.inbox.read(rd) {
		r.readers.put(rd)
		return 0, consensus.ErrClosed
	}
	return r.readers.wait(ctx, rd)
}

func (r *Replica) notLeader() error {
	return &consensus.NotLeaderError{Hint: consensus.NodeID(r.hint.Load())}
}

func (r *Replica) isClosing() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// Err says why the replica has stopped speaking (its log failed), or nil.
func (r *Replica) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Close implements consensus.Replica. It waits for the write and the
// application under way.
func (r *Replica) Close() error {
	r.stopOnce.Do(func() {
		r.inbox.close() // first: what the loop takes last is then complete
		close(r.stop)
		if r.transport != nil {
			r.closeErr = r.transport.Close()
		}
		r.applier.stop()
		r.tasks.Wait()
		r.closeErr = errors.Join(r.closeErr, r.log.Close())
		close(r.closed)
	})
	<-r.closed
	return r.closeErr
}

func (r *Replica) warn(message string, err error) {
	r.cfg.Logger.Warn(message, slog.Uint64("node", uint64(r.cfg.Self)), slog.Any("error", err))
}
