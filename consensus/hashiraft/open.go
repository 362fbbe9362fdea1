package hashiraft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
	"gfslab/internal/disk"
)

// Deps are a replica's doors to the world: the fields of engine.Deps, but for
// the ticker, which the library does not know.
type Deps struct {
	FS  disk.FS
	Dir string
	// Network dials the peers and, where Listener is nil, listens at the
	// replica's own address.
	Network  wire.Network
	Listener net.Listener
	// SegmentBytes and TailBytes are storage's (0 = its defaults).
	SegmentBytes, TailBytes int64
}

// Open recovers the log in deps.Dir, or founds the cluster that cfg describes,
// and starts the replica. It owns deps.Listener from here on, also when it
// fails.
func Open(cfg consensus.Config, deps Deps) (consensus.Replica, error) {
	cfg = cfg.WithDefaults()
	r, err := open(cfg, deps)
	if err != nil {
		if deps.Listener != nil {
			_ = deps.Listener.Close() // perhaps closed already
		}
		return nil, fmt.Errorf("hashiraft: node %d: %w", cfg.Self, err)
	}
	return r, nil
}

func open(cfg consensus.Config, deps Deps) (_ *Replica, err error) {
	if err := errors.Join(cfg.Validate(), cfg.Limits.OwnCoreOnly()); err != nil {
		return nil, err
	}
	log, err := storage.Open(storage.Options{
		FS: deps.FS, Dir: deps.Dir, SegmentBytes: deps.SegmentBytes, TailBytes: deps.TailBytes, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	closeAll := log.Close
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll())
		}
	}()
	st := newStore(log, cfg.Limits)
	owner := fmt.Sprintf("hashiraft/%s/%d", cfg.Cluster, cfg.Self)
	var founders *raft.Configuration
	if !cfg.Join {
		c := configuration(cfg.Peers)
		founders = &c
	}
	if err := st.prepare(owner, founders); err != nil {
		return nil, err
	}
	conns, err := wire.NewStream(wire.StreamOptions{
		Cluster: cfg.Cluster, Self: cfg.Self, Peers: cfg.Peers,
		Listener: deps.Listener, Network: deps.Network, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	r := newReplica(cfg, log, st, conns)
	if err := r.recover(); err != nil {
		return nil, errors.Join(err, conns.Close())
	}
	t := r.transport()
	if err := r.start(t); err != nil {
		closeAll = func() error { return errors.Join(t.Close(), r.Close()) }
		return nil, err
	}
	return r, nil
}

func newReplica(cfg consensus.Config, log *storage.Log, st *store, conns *wire.Stream) *Replica {
	nonce := rand.Uint64()
	r := &Replica{
		cfg: cfg, log: log, store: st, stream: conns,
		acks: newAcks(), mute: newMute(),
		reads:       readRounds{wake: make(chan struct{}, 1)},
		futures:     waiter{over: make(chan struct{})},
		lease:       leaseSpan(cfg.Limits),
		wake:        make(chan struct{}, 1),
		snapshotDue: make(chan struct{}, 1), snapshotAsked: make(chan chan error), removals: make(chan func(), 1),
		pending: make(chan proposal, 2*cfg.Limits.Window),
		stop:    make(chan struct{}), closed: make(chan struct{}),
	}
	r.roles = &roles{
		self: cfg.Self, observe: cfg.Observe, changed: r.poke,
		gained: make(chan struct{}, 1), moved: make(chan struct{}),
	}
	r.proposer = batch.New(batch.Options{Node: uint64(cfg.Self), Nonce: nonce, Limits: cfg.Limits, Notify: r.poke})
	r.snapshots = &snapshots{store: st, taken: r.took, stop: r.stop}
	log.RemoveBy(func(job func()) {
		select {
		case r.removals <- job:
		default: // the one that waits does all there is
		}
	})
	r.fsm = &fsm{
		self: cfg.Self, machine: cfg.StateMachine, proposer: r.proposer, roster: st.roster, observe: cfg.Observe, completed: r.poke,
		snapshots: r.snapshots, every: cfg.Limits.SnapshotEvery, lost: st.lost,
		due: func() {
			select {
			case r.snapshotDue <- struct{}{}:
			default:
			}
		},
	}
	st.vigil.late, st.vigil.back, st.failed = r.stalled, r.recovered, r.died
	st.roster.self, st.roster.contacts, st.roster.changed = cfg.Self, cfg.Peers, r.meet
	if cfg.Join {
		st.roster.update(func() {}) // who leads need not be among those it was told of
	}
	return r
}

// recover prepares for what the library finds on the disk.
func (r *Replica) recover() error {
	bytes, err := r.store.recover()
	if err != nil {
		return err
	}
	r.restartBytes = bytes
	_, last := r.log.Bounds()
	r.fsm.replayTo = last
	return r.store.founders()
}

// transport wraps the library's own around our stream. It begins to accept.
func (r *Replica) transport() *transport {
	book := addresses{map[raft.ServerID]raft.ServerAddress{}, r.store.roster}
	for _, p := range r.cfg.Peers {
		book.opened[serverID(p.ID)] = raft.ServerAddress(p.Addr)
	}
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider: book, Logger: newLogger(r.cfg.Logger, r.closing), Stream: stream{r.stream},
			MaxPool: pooled, MaxRPCsInFlight: pipelined, Timeout: rpcTimeout(r.cfg.Limits),
			MsgpackUseNewTimeFormat: true,
		}),
		addr:   book.opened[serverID(r.cfg.Self)],
		roster: r.store.roster, acks: r.acks, gate: &r.gate, mute: r.mute, patience: r.cfg.Limits.ElectionTimeout() / 2,
		slow: rpcTimeout(r.cfg.Limits), tasks: &r.tasks,
	}
	r.pipelines = &t.pipelines
	t.calls = make(chan raft.RPC)
	d := &doorman{roster: r.store.roster, standing: r.standing}
	if r.cfg.Limits.ReadMode == consensus.ReadLease {
		d.promise = &promise{span: r.cfg.Limits.ElectionTimeout(), term: r.store.term.Load, lead: r.handOver.Load}
		d.promise.start()
		t.promise = d.promise
	}
	r.tasks.Go(func() { d.relay(t.NetworkTransport.Consumer(), t.calls, r.stop) })
	return t
}

// standing is what votes depend on.
func (r *Replica) standing() standing {
	s := standing{term: r.store.term.Load(), leader: consensus.NodeID(r.roles.leader.Load())}
	_, s.lastIndex = r.log.Bounds()
	s.lastTerm, _ = r.log.Stamp(s.lastIndex)
	if m := r.store.snapshot.Load(); m != nil && m.Index > s.lastIndex {
		s.lastIndex, s.lastTerm = m.Index, m.Stamp
	}
	return s
}

func (r *Replica) start(t *transport) error {
	conf := translate(r.cfg.Limits)
	conf.LocalID = serverID(r.cfg.Self)
	conf.Logger = newLogger(r.cfg.Logger, r.closing)
	library, err := raft.NewRaft(conf, r.fsm, r.store, r.store, r.snapshots, t)
	if err != nil {
		if lost := r.store.err.Load(); lost != nil {
			err = errors.Join(err, *lost) // the library has only logged it
		}
		return err
	}
	r.raft = library
	r.restartLoad = time.Duration(r.fsm.loadTime.Load())
	r.store.started.Store(true)
	if err := r.store.err.Load(); err != nil {
		return *err
	}
	r.raft.RegisterObserver(raft.NewObserver(nil, false, r.roles.filter))
	// The library runs already; a timer of it may have been faster than we.
	_, leader := r.raft.LeaderWithID()
	r.roles.follow(nodeID(leader))
	if state := r.raft.State(); state != raft.Follower {
		r.roles.become(state, r.raft.CurrentTerm())
	}
	r.tasks.Go(r.propose)
	r.tasks.Go(r.reap)
	r.tasks.Go(r.settle)
	r.tasks.Go(r.confirmReads)
	r.tasks.Go(r.takeSnapshots)
	r.tasks.Go(r.removeSegments)
	return nil
}

// meet lets the replica talk to these peers.
func (r *Replica) meet(peers []consensus.Peer, highest consensus.NodeID) {
	if err := r.stream.SetPeers(peers, highest); err != nil {
		r.cfg.Logger.Error("the configuration names peers that cannot be", "err", err)
	}
}

// configuration is the first one: all peers vote. It is the same on every
// node, byte for byte.
func configuration(peers []consensus.Peer) raft.Configuration {
	var c raft.Configuration
	for _, p := range peers {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: serverID(p.ID), Address: raft.ServerAddress(p.Addr),
		})
	}
	slices.SortFunc(c.Servers, func(a, b raft.Server) int { return int(nodeID(a.ID)) - int(nodeID(b.ID)) })
	return c
}

func serverID(id consensus.NodeID) raft.ServerID {
	return raft.ServerID(strconv.FormatUint(uint64(id), 10))
}

// nodeID is 0 for an id that is none of ours ("" while no leader is known).
func nodeID(id raft.ServerID) consensus.NodeID {
	n, err := strconv.ParseUint(string(id), 10, 64)
	if err != nil {
		return 0
	}
	return consensus.NodeID(n)
}
