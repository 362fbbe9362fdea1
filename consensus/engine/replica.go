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

// Factory opens a core over a recovered log.
type Factory func(cfg consensus.Config, log *storage.Log, start Start) (Core, error)

// Replica is a core at work. It implements consensus.Replica and all that is
// optional beside it.
type Replica struct {
	cfg       consensus.Config
	log       *storage.Log
	recovered Recovered
	sched     *Scheduler
	proposer  *batch.Proposer
	transport *wire.Transport // nil if it runs alone
	inbox     *inbox
	applier   *applier
	files     *files
	readers   readers
	stale     staleReaders
	writes    chan *storage.Batch // room for one; closed by the loop
	core      Core
	opened    time.Time // what SetTime counts from

	leading atomic.Bool
	hint    atomic.Uint64
	totals

	mu       sync.Mutex
	status   CoreStatus
	members  consensus.Members
	snapshot uint64 // index of the newest on disk
	first    uint64 // the lowest index that the log may hold
	failed   error  // why the replica has stopped speaking

	// The loop's own.
	in           input
	fx           Effects
	held         batch.Batch // cut, but the core was busy
	dead         bool
	fetched      *storage.SnapshotFile // not yet handed to the state machine
	snapshotting []snapshotWaiter
	changing     chan ChangeEnd
	transferring chan TransferEnd
	sending      Body                // what frame encodes
	frame        func([]byte) []byte // made once

	stop     chan struct{}
	stopOnce sync.Once
	tasks    sync.WaitGroup
	closeErr error
	closed   chan struct{}
}

var (
	_ consensus.Replica     = (*Replica)(nil)
	_ consensus.TermReader  = (*Replica)(nil)
	_ consensus.Membership  = (*Replica)(nil)
	_ consensus.Transferrer = (*Replica)(nil)
	_ consensus.Snapshotter = (*Replica)(nil)
	_ consensus.StaleReader = (*Replica)(nil)
)

// Open recovers the log in deps.Dir and starts the replica. A directory that
// another protocol, cluster or node wrote is refused. It owns deps.Listener from
// here on, also when it fails.
func Open(cfg consensus.Config, deps Deps, p Protocol) (*Replica, error) {
	r, err := recoverAndStart(cfg, deps, p)
	if err != nil && deps.Listener != nil {
		_ = deps.Listener.Close() // perhaps closed already
	}
	return r, err
}

func recoverAndStart(cfg consensus.Config, deps Deps, p Protocol) (*Replica, error) {
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
	r, err := start(cfg, deps, p, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("engine: node %d: %w", cfg.Self, err), log.Close())
	}
	return r, nil
}

func start(cfg consensus.Config, deps Deps, p Protocol, log *storage.Log) (*Replica, error) {
	recovered, err := Recover(cfg, log, p)
	if err != nil {
		return nil, err
	}
	core, err := p.Open(cfg, log, recovered.Start)
	if err != nil {
		return nil, err
	}
	if at := recovered.Snapshot; at.Index > 0 {
		cfg.Observe(consensus.Event{Kind: consensus.EventRestored, Node: cfg.Self, Term: at.Stamp, Index: at.Index})
	}
	r := newReplica(cfg, log, core, recovered)
	if !p.Alone && (deps.Network != nil || len(cfg.Peers) > 1) {
		r.transport, err = wire.NewTransport(wire.TransportOptions{
			Cluster: cfg.Cluster, Self: cfg.Self, Peers: r.sched.Peers(), Listener: deps.Listener, Network: deps.Network,
			Seed: cfg.Seed, Logger: cfg.Logger, Handler: r.inbox.frame,
		})
		if err != nil {
			return nil, err
		}
		if err := r.transport.SetPeers(r.sched.Peers(), r.sched.Highest()); err != nil {
			return nil, errors.Join(err, r.transport.Close())
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
	r.tasks.Go(r.files.run)
	r.tasks.Go(func() { r.loop(ticker) })
	return r, nil
}

func newReplica(cfg consensus.Config, log *storage.Log, core Core, recovered Recovered) *Replica {
	nonce := rand.Uint64()
	r := &Replica{
		cfg: cfg, log: log, core: core, recovered: recovered, inbox: newInbox(), opened: time.Now(),
		writes: make(chan *storage.Batch, 1), stop: make(chan struct{}), closed: make(chan struct{}),
	}
	r.frame = func(dst []byte) []byte { return AppendFrame(dst, r.sending) }
	r.sched = NewScheduler(SchedulerOptions{
		Node: cfg.Self, Core: core, FirstRead: nonce >> 1, Window: cfg.Limits.Window, ElectionTicks: cfg.Limits.ElectionTicks,
		ReadMode: cfg.Limits.ReadMode, SnapshotEvery: cfg.Limits.SnapshotEvery, TrailingEntries: cfg.Limits.TrailingEntries,
		Recovered: recovered, Peers: cfg.Peers,
	})
	r.proposer = batch.New(batch.Options{Node: uint64(cfg.Self), Nonce: nonce, Limits: cfg.Limits, Notify: r.inbox.poke})
	r.files = &files{io: NewSnapshotIO(log), wake: make(chan struct{}, 1)}
	log.RemoveBy(r.files.push)
	r.applier = &applier{
		node: cfg.Self, machine: cfg.StateMachine, proposer: r.proposer, observe: cfg.Observe,
		done: r.inbox.appliedTo, captured: r.captured, wake: make(chan struct{}, 1),
		failed: func(err error) { r.inbox.later(func() { r.die(err) }, func(error) {}) },
		stamp:  recovered.Snapshot.Stamp, replay: replay{last: recovered.LastEntry},
	}
	r.applier.applied.Store(recovered.Snapshot.Index)
	r.publish()
	return r
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
	if r.cfg.Limits.ReadMode == consensus.ReadStale {
		return r.ReadStale(ctx, 0)
	}
	if !r.leading.Load() {
		if r.isClosing() {
			return 0, consensus.ErrClosed
		}
		return 0, r.notLeader()
	}
	r.reads.Add(1)
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
// application under way; a snapshot that is being written is given up.
func (r *Replica) Close() error {
	r.stopOnce.Do(func() {
		r.inbox.close() // first: what the loop takes last is then complete
		close(r.stop)
		if r.transport != nil {
			r.closeErr = r.transport.Close()
		}
		r.applier.stop()
		r.files.stop()
		r.log.Hurry()
		r.tasks.Wait()
		r.dropFile()
		r.closeErr = errors.Join(r.closeErr, r.files.io.Close(), r.log.Close())
		close(r.closed)
	})
	<-r.closed
	return r.closeErr
}

func (r *Replica) warn(message string, err error) {
	r.cfg.Logger.Warn(message, slog.Uint64("node", uint64(r.cfg.Self)), slog.Any("error", err))
}
