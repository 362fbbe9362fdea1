package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"gfslab/consensus"
	"gfslab/internal/serving"
)

// DefaultCloneLimit is how many clones a chunkserver takes part in at once.
const DefaultCloneLimit = 2

// Options configure a Master.
type Options struct {
	// Open opens the replica over the given state machine. The master owns the
	// replica: Close closes it. Required.
	Open func(consensus.StateMachine) (consensus.Replica, error)
	// Dial connects to a chunkserver at the address that it reported. Required.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Now is the node's clock. Only differences and stamps are taken from it;
	// nil means time.Now.
	Now    func() time.Time
	Logger *slog.Logger
	// Directory knows the masters' cluster; clients learn from it who leads and
	// who is a member. Nil: they learn the leader's id only.
	Directory *serving.Directory

	// LeaseTerm is D: how long a primary may act after it sent the claim that was
	// granted. Rho bounds the relative error of any node's clock rate. A primary
	// stops at D(1-Rho), the master waits D(1+Rho).
	LeaseTerm time.Duration
	Rho       float64
	// LeaseWait lets a lease whose primary is gone run out before the chunk is
	// granted anew, as the paper has it. Else the new grant's version fences the
	// old primary at once; see docs/adr/0007.
	LeaseWait bool
	// Strict seals a full chunk in the log before the next one is allocated.
	Strict bool
	// Replicas is how many chunkservers a new chunk is placed on, if that many
	// are alive.
	Replicas int
	// DeadAfter is the silence after which a chunkserver counts as dead.
	DeadAfter time.Duration
	// CallTimeout bounds each call to a chunkserver.
	CallTimeout time.Duration
	// WarmUp is how long a new leader waits, at most, for full reports of all
	// chunkservers before it judges replication.
	WarmUp time.Duration
	// ReplicateAfter is how long a chunk must be below its goal before it is
	// cloned; negative: chunks are neither cloned nor moved. It counts from when the
	// leader sees it, which for a dead chunkserver is after DeadAfter.
	ReplicateAfter time.Duration
	// CloneLimit is how many clones a chunkserver takes part in at once, CloneTotal
	// how many chunks are worked at in all. CloneTimeout bounds each, beyond the time
	// that it takes because it is throttled.
	CloneLimit, CloneTotal int
	CloneTimeout           time.Duration
	// CloneBytesPerSecond is how fast a chunkserver may write clones; 0: as fast as
	// it goes.
	CloneBytesPerSecond uint64
	// OrphanAge is how long a replica of no chunk must be seen before it is removed.
	OrphanAge time.Duration
	// BalanceEvery is the time between two moves from full chunkservers to empty
	// ones; negative: there are none.
	BalanceEvery time.Duration
	// Seed decides placement among equally loaded chunkservers.
	Seed uint64

	// OnApply, OnRestore and OnLease observe; each may be nil. See ApplyFunc,
	// LeaseEvent; OnRestore gets the state's index and hash.
	OnApply   ApplyFunc
	OnRestore func(index uint64, hash string)
	OnLease   func(LeaseEvent)
	// OnReplication observes the work on replicas; see ReplicationEvent.
	OnReplication func(ReplicationEvent)
}

// WithDefaults returns a copy in which every optional field is set.
func (o Options) WithDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LeaseTerm == 0 {
		o.LeaseTerm = 60 * time.Second
	}
	if o.Rho == 0 {
		o.Rho = 0.01
	}
	if o.Replicas == 0 {
		o.Replicas = 3
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = 3 * time.Second
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = time.Second
	}
	o.replicationDefaults()
	if o.OnLease == nil {
		o.OnLease = func(LeaseEvent) {}
	}
	return o
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("master: "+format, args...))
		}
	}
	check(o.Open != nil, "there is no replica to open")
	check(o.Dial != nil, "there is no way to dial chunkservers")
	check(o.LeaseTerm >= time.Millisecond, "the lease term is %v; it must be at least 1ms", o.LeaseTerm)
	check(o.Rho >= 0 && o.Rho < 0.5, "rho is %v; it must be in [0, 0.5)", o.Rho)
	check(o.Replicas >= 1, "the number of replicas is %d; it must be at least 1", o.Replicas)
	check(o.DeadAfter > 0, "dead after is %v; it must be positive", o.DeadAfter)
	check(o.CallTimeout > 0, "the call timeout is %v; it must be positive", o.CallTimeout)
	check(o.WarmUp >= 0, "warm up is %v; it must not be negative", o.WarmUp)
	check(o.CloneLimit >= 1 && o.CloneTotal >= 1, "the limits of clones are %d each and %d in all; they must be at least 1", o.CloneLimit, o.CloneTotal)
	check(o.CloneTimeout > 0, "the timeout of clones is %v; it must be positive", o.CloneTimeout)
	check(o.OrphanAge > 0, "the age of orphans is %v; it must be positive", o.OrphanAge)
	return errors.Join(errs...)
}

func (o *Options) replicationDefaults() {
	if o.WarmUp == 0 {
		o.WarmUp = 10 * time.Second
	}
	if o.ReplicateAfter == 0 {
		o.ReplicateAfter = 10 * time.Second
	}
	if o.CloneLimit == 0 {
		o.CloneLimit = DefaultCloneLimit
	}
	if o.CloneTotal == 0 {
		o.CloneTotal = 64
	}
	if o.CloneTimeout == 0 {
		o.CloneTimeout = time.Minute
	}
	if o.OrphanAge == 0 {
		o.OrphanAge = time.Minute
	}
	if o.BalanceEvery == 0 {
		o.BalanceEvery = 5 * time.Second
	}
	if o.OnReplication == nil {
		o.OnReplication = func(ReplicationEvent) {}
	}
}

// LeaseEvent is one event of a lease's life as this master saw it. Observers
// must not block.
type LeaseEvent struct {
	At time.Time
	// Kind is one of: intent, active, activate, claim: a grant's steps. ending: no
	// claim is granted any more; revoke: the primary acknowledged that it stopped;
	// fence: a new grant is to replace the lease; end: the end is logged.
	Kind    string
	Handle  uint64
	Version uint64
	Epoch   uint64
	Term    uint64
	Primary string
	// Until is, for a claim, when this master may end the lease: its own send
	// time + D(1+Rho).
	Until time.Time
}
