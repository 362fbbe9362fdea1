package engine

import (
	"errors"

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
	// Apply are the next committed entries, in order. An entry without data is
	// the protocol's own and never reaches the state machine.
	Apply []storage.Entry
	Reads []Read
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
