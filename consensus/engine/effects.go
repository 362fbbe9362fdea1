package engine

import (
	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// Effects are what the shell must do, in the order of the fields. They are
// added to by Run and emptied by Reset.
type Effects struct {
	// LostLead: every proposal handed to Propose and not yet applied has an
	// unknown outcome, those not yet handed over are surely not done, and all
	// readers must be told to go elsewhere.
	LostLead bool
	Events   []consensus.Event
	// Peers, if not nil, are from now on whom to talk and to listen to, this node
	// included. Identities above Highest may talk to it, too: a node that lags does
	// not know the newest members yet.
	Peers   []consensus.Peer
	Highest consensus.NodeID
	// Send leaves at once, encoded with AppendFrame.
	Send []Message
	// Write, if not nil, must be committed to the log, then Wrote be called. At
	// most one write is out at a time; the batch must not be kept after Wrote.
	Write *storage.Batch
	// Restore, if not nil, is a fetched snapshot that takes the place of the state
	// machine's state, before Apply and after all that was to be applied earlier;
	// then call Applied. No result of an entry through its index will ever be
	// known here.
	Restore *storage.SnapshotMeta
	// Apply goes to the state machine in order; then call Applied.
	Apply []storage.Entry
	// Capture, if not 0: once the state machine has applied everything through this
	// index, and before anything above it, capture its state; then call Captured.
	// It is the last index handed out in Apply, or lies between those of Apply.
	Capture uint64
	// Save, if not nil, is what the capture last reported is to be written under,
	// durably; then call Saved. If it is nil after Captured and Run, the capture
	// is not needed any more.
	Save *storage.SnapshotMeta
	// Store are pieces to be added to the snapshot that is being fetched, one after
	// the other; call Stored after each.
	Store []Piece
	// Finish, if not 0, is the fetched file that is complete, once what Store said
	// of it is done: check it, make it durable, then call Fetched.
	Finish uint64
	// Serve are requests to read a piece of a snapshot here; call Served for each.
	Serve []Serve
	// Snapshots, Changed and Transferred answer RequestSnapshot, ProposeChange and
	// Transfer.
	Snapshots   []SnapshotEnd
	Changed     *ChangeEnd
	Transferred *TransferEnd
	// ReadsDone are rounds (see BeginRead) whose readers may be answered.
	ReadsDone []uint64
}

// Piece is a part of a snapshot's file on its way to this node's disk.
type Piece struct {
	// File numbers the files that were begun here. Offset 0 begins a file anew,
	// and whatever was unfinished before is dropped.
	File   uint64
	Info   storage.SnapshotInfo
	Offset int64
	Data   []byte
}

// Serve asks for the piece of a snapshot that Request describes, at most
// Limit bytes, for To.
type Serve struct {
	To      consensus.NodeID
	Request PieceRequest
	Limit   int
}

// SnapshotEnd answers all requests through Ticket.
type SnapshotEnd struct {
	Ticket uint64
	Info   consensus.SnapshotInfo
	Err    error
}

// ChangeEnd answers the change under way.
type ChangeEnd struct {
	Members consensus.Members
	Err     error
}

// TransferEnd answers the transfer under way.
type TransferEnd struct{ Err error }

// Reset empties the effects and keeps their memory.
func (fx *Effects) Reset() {
	fx.LostLead, fx.Write, fx.Restore, fx.Capture, fx.Save, fx.Finish = false, nil, nil, 0, nil, 0
	fx.Peers, fx.Changed, fx.Transferred = nil, nil, nil
	fx.Events, fx.ReadsDone = fx.Events[:0], fx.ReadsDone[:0]
	fx.Send, fx.Apply = clearSlice(fx.Send), clearSlice(fx.Apply)
	fx.Store, fx.Serve, fx.Snapshots = clearSlice(fx.Store), clearSlice(fx.Serve), clearSlice(fx.Snapshots)
}
