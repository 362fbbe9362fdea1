package consensus

import (
	"context"
	"io"
)

// NodeID names one replica within its cluster. It is never 0, is unique, and
// is not reused: a replaced disk joins under a new identity.
type NodeID uint64

// Peer is one voter and the address at which the others dial it.
type Peer struct {
	ID   NodeID
	Addr string
}

// Result is the answer to one command.
type Result struct {
	// Index is the log index of the entry that carried the command.
	Index uint64
	// Offset is the command's position within that entry's batch, from 0.
	// (Index, Offset) orders all commands of a cluster totally.
	Offset int
	// Value is what StateMachine.Apply returned for the command. The caller
	// owns it.
	Value []byte
}

// Replica is one copy of the replicated log, with the state machine under it.
// All methods may be called from any goroutine.
type Replica interface {
	// Propose replicates command and returns after the *local* state machine
	// has applied it. The command must not be changed until Propose returns.
	// Errors are typed, see Outcome: after an error whose Outcome is Unknown
	// the command may still take effect, once, at any later time. When ctx ends
	// first the error wraps both ErrUnknown and ctx's error (ErrDropped if the
	// command surely never left this replica).
	Propose(ctx context.Context, command []byte) (Result, error)

	// ReadBarrier returns once the local state machine has applied every
	// command whose Propose returned anywhere before ReadBarrier was called - in
	// the way that Limits.ReadMode names; ReadStale promises only a prefix. A
	// lookup made after it is linearizable. It returns an index that the local
	// state machine has applied. A replica that is not the leader returns
	// *NotLeaderError. Reads never change state, so every error is a failure.
	ReadBarrier(ctx context.Context) (index uint64, err error)

	// Status is a snapshot of what this replica believes. It never blocks on
	// I/O.
	Status() Status

	// Close stops the replica and releases its files, sockets and goroutines.
	// Pending calls return ErrClosed (Propose: ErrUnknown if the command may
	// have left the queue). It is idempotent.
	Close() error
}

// TermReader is what a Replica may implement besides: Status().Term alone, cheap
// enough to be asked for every operation. Status gathers all counters.
type TermReader interface {
	Term() uint64
}

// StateMachine is the replicated state. The backend calls Apply, Snapshot and
// Restore from one goroutine at a time.
type StateMachine interface {
	// Apply executes the commands of the entry at index, in order, and returns
	// one result a command. Indexes rise strictly but may skip (entries that the
	// protocol itself uses never reach Apply). The commands' bytes belong to the
	// backend and are valid only during the call; the results belong to the
	// backend afterwards.
	Apply(index uint64, commands [][]byte) (results [][]byte)

	// Snapshot captures the state cheaply; the returned Snapshot is written
	// later, beside further Apply calls.
	Snapshot() (Snapshot, error)

	// Restore replaces the state by one that Snapshot.WriteTo wrote. On error
	// the state machine must be discarded.
	Restore(r io.Reader) error
}

// Snapshot is a captured state. WriteTo may run beside later Apply calls and
// is called at most once; Release is always called.
type Snapshot interface {
	io.WriterTo
	Release()
}

// Role is what a replica does in its protocol at the moment.
type Role uint8

// The roles.
const (
	Follower Role = iota
	Candidate
	Leader
)

func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return "invalid"
}

// Status is what one replica believes about itself and its cluster.
type Status struct {
	ID   NodeID
	Role Role
	// Term is the Raft term, or the ballot packed so that a later ballot
	// compares greater (see paxos.Ballot.Pack).
	Term uint64
	// Leader is 0 while none is known.
	Leader NodeID
	// Committed is the highest index known committed (Paxos: the end of the
	// contiguous known-chosen prefix). Applied is the highest index applied.
	Committed, Applied uint64
	// Last is the highest index in this replica's log, be it committed or not.
	Last uint64
	// Snapshot is the index of the newest snapshot on disk, First the lowest index
	// that the log may still hold.
	Snapshot, First uint64
	// Counters are totals since Open, by name ("fsyncs", "frames", "bytes",
	// "elections", ...).
	Counters map[string]uint64
}

// EventKind classifies an Event.
type EventKind uint8

// The kinds of events.
const (
	// EventCampaign: the replica suspects the leader and starts a (pre-)election.
	EventCampaign EventKind = iota + 1
	// EventLeader: the replica has become leader of Term.
	EventLeader
	// EventStepDown: the replica has ceased to be leader.
	EventStepDown
	// EventCommit: the first entry committed under this leader's own term. Raft
	// starts a term with an empty entry; a Paxos leader that found nothing to
	// propose again has none before its first command.
	EventCommit
	// EventApplying: the entry (Index, Term) is about to be applied here.
	EventApplying
	// EventRestored: the state machine now holds everything through Index, from a
	// snapshot; what was applied before is forgotten.
	EventRestored
	// EventSnapshot: a snapshot through Index is durable here.
	EventSnapshot
	// EventMembers: the configuration Members, made at Index, is in effect here.
	EventMembers
	// EventStalled: the leader of Term gives the lead up because a write to its log
	// has been under way for an election timeout.
	EventStalled
)

// Event tells an observer what a replica does. Observers are called from the
// replica's own goroutines, must not block and must not call back.
type Event struct {
	Kind  EventKind
	Node  NodeID
	Term  uint64
	Index uint64
	// Members is set for EventMembers only; it is shared and must not be changed.
	Members *Members
}
