package engine

import (
	"errors"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// Core is a protocol: a state machine that takes events and hands back, in a
// Ready, what to persist, send and apply. It is used from one goroutine, and
// has no clock, goroutine or file of its own; it may read the log that it was
// opened with.
type Core interface {
	// Tick lets one tick pass.
	Tick()
	// Step takes a message. The frame belongs to the core. An error means that
	// the frame is malformed or out of place; it has changed nothing.
	Step(from consensus.NodeID, frame []byte) error
	// Propose offers an entry. After an error (ErrNotLeader, ErrBusy) the entry
	// was surely not and will never be proposed. The data is never changed.
	Propose(data []byte) error
	// ReadIndex asks to confirm the lead for the reads named id, which is fresh.
	// The answer, if any, comes in Ready.Reads.
	ReadIndex(id uint64)
	// HasReady says whether Ready has something to say.
	HasReady() bool
	// Ready fills rd, whose slices are empty but may have capacity. What it puts
	// there stays valid until the next call; entries' data and messages' bodies
	// for ever.
	Ready(rd *Ready)
	// Persisted reports a token durable. Tokens are reported in order, each once.
	Persisted(token uint64)
	// Applied reports that the state machine has applied everything up to index.
	Applied(index uint64)
	// Status is called often and must be cheap.
	Status() CoreStatus
}

// Failer is what a core may also implement. An error means that it could not
// read its log back and has come to its end; the replica falls silent.
type Failer interface{ Err() error }

// Clocked is what a core with leases implements. SetTime is called before each
// turn's events with the time since some fixed moment of this process, on the
// monotonic clock: ticks may be late or lost, and a lease must not be.
type Clocked interface{ SetTime(now time.Duration) }

// Resigner is what a core of more than one replica implements. A leader that
// resigns falls silent, or hands the lead over if it can at once, so that the
// others elect anew; the engine calls it when the log stalls.
type Resigner interface{ Resign() }

// Transferrer is what a core that can hand over the lead implements. It only
// starts the transfer; the engine sees by the status how it ends. An error
// wraps consensus.ErrRefused, ErrNotLeader or ErrBusy.
type Transferrer interface {
	Transfer(to consensus.NodeID) error
}

// Changer is what a core with a changing membership implements.
type Changer interface {
	// ProposeChange starts one change. It is in effect once Ready.Members says so.
	// An error (ErrNotLeader, ErrBusy, or one that wraps consensus.ErrRefused)
	// means that it surely was not and will not be proposed.
	ProposeChange(c consensus.Change) error
	// Members is the configuration at the newest entry handed out for application.
	Members() consensus.Members
}

// Compactor is what a core implements whose log can be cut below a snapshot.
type Compactor interface {
	// SnapshotData is what a snapshot of everything through index, which has been
	// applied, must carry of the protocol's own: its configurations, say. It comes
	// back in Start.Snapshot and Install.
	SnapshotData(index uint64) []byte
	// Compact tells that a snapshot through snapshot.Index is durable, and that
	// the log is about to drop everything through index, which is not above it.
	Compact(index uint64, snapshot storage.SnapshotMeta)
	// Fetched tells that the snapshot that Ready.Fetch asked for is durable here.
	// A core that still needs it answers with Ready.Install.
	Fetched(snapshot storage.SnapshotMeta)
	// FetchFailed tells that the fetch from that peer was given up.
	FetchFailed(from consensus.NodeID)
}

// ConfigMark is the first byte of the data of an entry that changes the
// configuration. Such an entry is the protocol's own and never reaches the
// state machine; a batch never begins with it.
const ConfigMark = 2

// Start is what a core is opened with.
type Start struct {
	// Founders is the configuration before the first entry.
	Founders consensus.Members
	// Snapshot is the newest snapshot on disk, zero if there is none. The state
	// machine holds what it holds; the log may begin anywhere at or below the entry
	// after it, and what it holds at or below need not be handed out again.
	Snapshot storage.SnapshotMeta
}

// Fetch asks for a snapshot through at least Index from a peer. From 0 is none.
type Fetch struct {
	From  consensus.NodeID
	Index uint64
}

// MembersChange says that Members is in effect once the state machine has
// applied Index.
type MembersChange struct {
	Index   uint64
	Members consensus.Members
}

var (
	// ErrNotLeader refuses a proposal: this replica does not lead.
	ErrNotLeader = errors.New("engine: not the leader")
	// ErrBusy refuses a proposal for now: the protocol's window is full.
	ErrBusy = errors.New("engine: the window is full")
)

// Message is one message to a peer.
type Message struct {
	To   consensus.NodeID
	Body Body
}

// Body is a message that encodes itself. Both methods are called on the
// goroutine that drives the core.
type Body interface {
	Size() int
	Append(dst []byte) []byte
}

// Persist is what one token covers; it becomes durable as a whole. Entries
// replace what the log holds at their indexes, after TruncateFrom (0 = none)
// dropped that index and all above.
type Persist struct {
	HardState    []byte // nil: unchanged
	TruncateFrom uint64
	Entries      []storage.Entry
}

// Ready is what a core wants done.
type Ready struct {
	// Token is 0 when there is nothing to persist and nothing to wait for. A
	// token with an empty Persist costs no write: it completes with the tokens
	// before it.
	Token   uint64
	Persist Persist
	// SendNow may leave at once. SendAfterPersist leaves only after Token, and
	// every token before it, is durable.
	SendNow          []Message
	SendAfterPersist []Message
	// Install, if not nil, is a fetched snapshot that replaces the state machine's
	// state, before Apply, and the log through its index, under Token (never 0
	// then): if TruncateFrom is not 0 all of the log, else what is not above it.
	Install *storage.SnapshotMeta
	// Apply are the next committed entries, in order. An entry without data, or
	// with ConfigMark, is the protocol's own and never reaches the state machine.
	Apply []storage.Entry
	Reads []Read
	// Members are changes of the configuration, by index.
	Members []MembersChange
	// Fetch asks the engine to fetch a snapshot; a later one replaces it.
	Fetch Fetch
}

// Read answers a ReadIndex: once the state machine has applied Index, the
// reads named ID may be served.
type Read struct {
	ID    uint64
	Index uint64
	// Refused: the lead was lost before it could be confirmed.
	Refused bool
}

func (rd *Ready) reset() {
	rd.Token, rd.Persist.HardState, rd.Persist.TruncateFrom = 0, nil, 0
	rd.Persist.Entries = clearSlice(rd.Persist.Entries)
	rd.SendNow, rd.SendAfterPersist = clearSlice(rd.SendNow), clearSlice(rd.SendAfterPersist)
	rd.Apply, rd.Reads = clearSlice(rd.Apply), clearSlice(rd.Reads)
	rd.Install, rd.Members, rd.Fetch = nil, clearSlice(rd.Members), Fetch{}
}

// CoreStatus is what a core believes.
type CoreStatus struct {
	Role consensus.Role
	// Term is the current term or packed ballot; a leader's own entries carry it
	// as their Stamp.
	Term      uint64
	Leader    consensus.NodeID
	Committed uint64
}

// clearSlice empties s and lets go of what it refers to.
func clearSlice[T any](s []T) []T {
	clear(s)
	return s[:0]
}
