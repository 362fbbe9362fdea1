package hashiraft

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
)

// Replica is hashicorp/raft at work. It implements consensus.Replica.
type Replica struct {
	cfg      consensus.Config
	quorum   int
	raft     *raft.Raft
	log      *storage.Log
	store    *store
	stream   *wire.Stream
	fsm      *fsm
	roles    *roles
	acks     *acks
	gate     gate
	reads    readRounds
	proposer *batch.Proposer
	futures  waiter
	rounds   atomic.Uint64

	wake    chan struct{} // room for one: there may be something to propose
	pending chan proposal // handed to the library, in order

	stop     chan struct{} // Close has begun
	stopOnce sync.Once
	tasks    sync.WaitGroup
	closed   chan struct{}
	closeErr error
}

var (
	_ consensus.Replica    = (*Replica)(nil)
	_ consensus.TermReader = (*Replica)(nil)
)

// proposal is one entry on its way through the library.
type proposal struct {
	seq    uint64
	future raft.Future
}

// Propose implements consensus.Replica.
func (r *Replica) Propose(ctx context.Context, command []byte) (consensus.Result, error) {
	if r.closing() {
		return consensus.Result{}, consensus.ErrClosed
	}
	if r.roles.current.Load() == nil {
		return consensus.Result{}, r.notLeader()
	}
	return r.proposer.Propose(ctx, command)
}

func (r *Replica) closing() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// poke wakes the goroutine that proposes. It never blocks.
func (r *Replica) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// propose cuts batches and hands them to the library while there is room in
// the window. Handing over waits for the library's main loop, which is busy
// with the disk as long as it stores the entries before: batches grow
// meanwhile.
func (r *Replica) propose() {
	defer close(r.pending)
	defer r.proposer.Close()
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
		}
		for !r.closing() {
			if r.roles.current.Load() == nil {
				r.proposer.FailQueued(r.notLeader())
				break
			}
			if r.proposer.InFlight() >= r.cfg.Limits.Window {
				break // an application or a failure will wake us
			}
			b, ok := r.proposer.Cut()
			if !ok {
				break
			}
			r.pending <- proposal{b.Seq, r.raft.Apply(b.Data, 0)}
		}
	}
}

// reap learns which proposals failed. Those that succeed were completed by the
// state machine already. Futures are answered in order, or together at
// step-down, so one goroutine is enough.
func (r *Replica) reap() {
	for p := range r.pending {
		if err := r.futures.wait(p.future); err != nil {
			r.proposer.Fail(p.seq, proposeOutcome(err, r.hint()))
			r.poke()
		}
	}
}

// hint is the leader that the library knows of, 0 if none or ourselves.
func (r *Replica) hint() consensus.NodeID {
	_, id := r.raft.LeaderWithID()
	if n := nodeID(id); n != r.cfg.Self {
		return n
	}
	return 0
}

func (r *Replica) notLeader() error { return &consensus.NotLeaderError{Hint: r.hint()} }

// Close implements consensus.Replica. It waits for the application under way.
func (r *Replica) Close() error {
	r.stopOnce.Do(func() {
		close(r.stop)
		end := r.raft.Shutdown()
		// Connections first: the library's goroutines wait in them for up to a
		// request's timeout, and Shutdown waits for the goroutines.
		r.closeErr = r.stream.Close()
		r.closeErr = errors.Join(r.closeErr, end.Error())
		r.gate.close()
		close(r.futures.over)
		r.tasks.Wait()
		r.closeErr = errors.Join(r.closeErr, r.log.Close())
		close(r.closed)
	})
	<-r.closed
	return r.closeErr
}

// Term implements consensus.TermReader.
func (r *Replica) Term() uint64 { return r.raft.CurrentTerm() }

// Status implements consensus.Replica. Its counters bear the names that
// package engine uses, and "stable_writes": fsyncs of the library's for term
// and vote. "messages" is 0: a stream does not know them.
func (r *Replica) Status() consensus.Status {
	disk, net := r.log.Counters(), r.stream.Counters()
	_, leader := r.raft.LeaderWithID()
	return consensus.Status{
		ID:        r.cfg.Self,
		Role:      consensus.Role(r.roles.role.Load()),
		Term:      r.raft.CurrentTerm(),
		Leader:    nodeID(leader),
		Committed: r.raft.CommitIndex(),
		Applied:   r.fsm.applied.load(),
		Counters: map[string]uint64{
			"fsyncs": disk.Fsyncs, "records": disk.Records, "disk_bytes": disk.Bytes, "segments": disk.Segments,
			"frames": net.Frames, "messages": 0, "bytes": net.Bytes, "dials": net.Dials,
			"received_bytes": net.ReceivedBytes,
			"elections":      r.roles.campaigns.Load(), "leads": r.roles.leads.Load(),
			"read_rounds": r.rounds.Load(), "entries": r.fsm.entries.Load(), "commands": r.fsm.commands.Load(),
			"stable_writes": r.store.stableWrites.Load(),
		},
	}
}
