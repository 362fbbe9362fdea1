package paxos

import "fmt"

// Kind says what a message is.
type Kind uint8

// The kinds of messages.
const (
	// MsgPrePrepare asks whether a quorum would let the sender raise Ballot, a
	// ballot it has not used yet (ID: this attempt). It changes no state.
	MsgPrePrepare Kind = iota + 1
	// MsgPrePromise answers yes (Ballot and ID echoed; Chosen). A no is a
	// MsgReject.
	MsgPrePromise
	// MsgPrepare asks for a promise at Ballot and for what was accepted in the
	// slots from Lo on. The same message asks for the next page. Done says that the
	// sender leads already, and asks for the sake of another configuration.
	MsgPrepare
	// MsgPromise reports every slot accepted in [Lo, Hi). Done says that nothing
	// was accepted at or above Hi. Entries at or below Chosen are chosen. If Settled
	// is not 0, the sender has compacted some of the slots: all through Settled are
	// chosen, none of them is reported, and Data is of a snapshot through Settled.
	MsgPromise
	// MsgAccept asks to accept Entries, all at Ballot unless old slots are kept. It
	// carries the notice Chosen.
	MsgAccept
	// MsgAccepted says that every slot of [Lo, Hi], both included, is durable at
	// Ballot on the sender (rule 14). Behind a hole a range of its own is sent.
	MsgAccepted
	// MsgReject refuses a message at Ballot (ID echoed) because the sender has
	// promised Promised, or follows the live Leader (only a MsgPrePrepare is
	// refused for that). It carries Chosen.
	MsgReject
	// MsgChosen is the bare notice: at Ballot, every slot <= Chosen is chosen.
	MsgChosen
	// MsgHeartbeat is sent by a leader every HeartbeatTicks. It carries the
	// notice Chosen and the newest read round ID.
	MsgHeartbeat
	// MsgHeartbeatReply echoes Ballot and ID. Lo, Hi is the sender's highest
	// durable range at Ballot as in MsgAccepted, 0, 0 for none. While the members
	// change, Settled is the prefix that the sender durably knows to be chosen.
	MsgHeartbeatReply
	// MsgReadConfirm asks whether Ballot still leads. ID is the read round.
	MsgReadConfirm
	// MsgReadConfirmReply echoes Ballot and ID.
	MsgReadConfirmReply
	// MsgCatchUp asks any peer for chosen values from slot Lo on.
	MsgCatchUp
	// MsgCatchUpReply carries the chosen Entries from slot Lo on, contiguous, and
	// the sender's Chosen. Their ballots are those at which the sender holds them.
	// If it has compacted Lo, it carries Settled and Data as a MsgPromise does, and
	// no entries; then it also is the answer to an Accept of a compacted slot.
	MsgCatchUpReply
	// MsgBehind answers a MsgAccept at Ballot if, with old slots kept, the sender does
	// not hold the entry in slot Lo, the Accept's Tip. Through Chosen it surely holds
	// what the leader does.
	MsgBehind
	// MsgTransfer is the last word of a leader that hands over: the receiver holds
	// all it proposed at Ballot, and should stand for election at once. The Prepares
	// of that candidacy carry Ballot as their Promised.
	MsgTransfer
)

var kindNames = [...]string{"", "PrePrepare", "PrePromise", "Prepare", "Promise", "Accept", "Accepted", "Reject", "Chosen",
	"Heartbeat", "HeartbeatReply", "ReadConfirm", "ReadConfirmReply", "CatchUp", "CatchUpReply", "Behind", "Transfer"}

func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Message is what nodes send to each other. Which fields are used, the Kind
// says; unused ones are zero. Messages may be lost, doubled and reordered. A
// message is read-only once it left the core: those to several peers share
// Entries.
type Message struct {
	Kind     Kind
	From, To NodeID
	// Ballot is the ballot that the message, or the message it answers, is about.
	Ballot Ballot
	// Promised is the ballot for which a MsgReject refuses; in a MsgPrepare it is that
	// of the leader who gave up for the sender.
	Promised Ballot
	// Leader is the live leader for which a MsgReject refuses, 0 = none.
	Leader NodeID
	// Tip is where the log of the sender of a MsgPrePrepare or MsgPrepare ends, if
	// eligibility depends on it; of a MsgAccept, with old slots kept, it is the entry
	// before the first.
	Tip Tip
	// Lo and Hi bound slots.
	Lo, Hi uint64
	// Chosen is the end of the sender's contiguous known-chosen prefix.
	Chosen uint64
	// ID matches answers to questions (a read round, an attempt).
	ID uint64
	// Settled ends a prefix of chosen slots that no crash takes from the sender; if it
	// holds it as a snapshot, Data is that snapshot's.
	Settled uint64
	Data    []byte
	// Time is when a MsgHeartbeat was sent, on the sender's clock, if it asks for a
	// lease; a MsgHeartbeatReply that grants it echoes it.
	Time uint64
	// Done marks the last page of a MsgPromise.
	Done    bool
	Entries []Entry
}

// waitsForDisk reports whether messages of the kind speak of something that
// must be durable first (rules 2 and 3).
func (k Kind) waitsForDisk() bool {
	return k == MsgPrepare || k == MsgPromise || k == MsgAccepted
}
