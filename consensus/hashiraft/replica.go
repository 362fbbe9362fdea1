package hashiraft

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
	"gfslab/consensus/wire"
)

// Replica is hashicorp/raft at work. It implements consensus.Replica.
type Replica struct {
	cfg    consensus.Config
	raft   *raft.Raft
	log    *storage.Log
	store  *store
	stream *wire.Stream
	fsm    *fsm
	roles  *roles
	acks   *acks
	gate   gate
	mute   *mute
	// pipelines are the transport's.
	pipelines *pipelines
	reads     readRounds
	proposer  *batch.Proposer
	futures   waiter
	// lease is how long a heartbeat's acknowledgement is trusted, from its sending
	// on; handOver the term of the lead that we last asked another to take over.
	lease        time.Duration
	handOver     atomic.Uint64
	transferring atomic.Bool
	changing     atomic.Bool

	snapshots     *snapshots
	snapshotDue   chan struct{} // room for one
	snapshotAsked chan chan error
	removals      chan func() // of segments that the log does not need any more

	rounds, readers, staleReads, leaseReads, stalls, snapshotsTaken atomic.Uint64
	// What Open cost.
	restartBytes int64
	restartLoad  time.Duration

	wake    chan struct{} // room for one: there may be something to propose
	pending chan proposal // handed to the library, in order

	stop     chan struct{} // Close has begun
	stopOnce sync.Once
	tasks    sync.WaitGroup
	closed   chan struct{}
	closeErr error
}

var (
	_ consensus.Replica     = (*Replica)(nil)
	_ consensus.TermReader  = (*Replica)(nil)
	_ consensus.Transferrer = (*Replica)(nil)
	_ consensus.StaleReader = (*Replica)(nil)
	_ consensus.Membership  = (*Replica)(nil)
	_ consensus.Snapshotter = (*Replica)(nil)
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
			if r.proposer.InFlight() >= r.cfg.Limits.Window || r.transferring.Load() {
				break // an application, a failure or the end of the transfer will wake us
			}
			b, ok := r.proposer.Cut()
			if !ok {
				break
			}
			r.pending <- proposal{b.Seq, r.hand(b.Data)}
		}
	}
}

// hand gives the library an entry. It returns the library's refusal only once
// we do not lead any more: its main loop may be held up by the disk for longer
// than callers should wait for someone who has given up the lead.
func (r *Replica) hand(data []byte) raft.Future {
	for {
		f := r.raft.Apply(data, r.cfg.Limits.ElectionTimeout())
		err, refused := r.futures.refused(f)
		if !refused || !errors.Is(err, raft.ErrEnqueueTimeout) || r.roles.current.Load() == nil {
			return f
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
	if n := consensus.NodeID(r.roles.leader.Load()); n != r.cfg.Self {
		return n
	}
	return 0
}

func (r *Replica) notLeader() error { return &consensus.NotLeaderError{Hint: r.hint()} }

// Close implements consensus.Replica. It waits for the application under way.
func (r *Replica) Close() error {
	r.stopOnce.Do(func() {
		close(r.stop)
		end := func() error { return nil }
		if r.raft != nil { // Open has come that far
			end = r.raft.Shutdown().Error
		}
		r.store.vigil.close()
		// Connections first: the library's goroutines wait in them for up to a
		// request's timeout, and Shutdown waits for the goroutines.
		r.closeErr = r.stream.Close()
		r.letGo()
		r.closeErr = errors.Join(r.closeErr, end())
		r.gate.close()
		close(r.futures.over)
		r.log.Hurry()
		r.tasks.Wait()
		r.closeErr = errors.Join(r.closeErr, r.log.Close())
		close(r.closed)
	})
	<-r.closed
	return r.closeErr
}

// letGo ends all waiting of the library's goroutines in our hands, once nothing
// leaves this replica any more.
func (r *Replica) letGo() {
	close(r.mute.over)
	r.pipelines.close()
	r.store.let()
}
