package paxos

import (
	"fmt"
	"time"
)

// NodeID names one member. It is never 0 and at most 65535, so that a Ballot
// packs into 64 bits.
type NodeID uint64

// Ballot orders attempts to lead. Ballots of different nodes never compare
// equal. The zero Ballot is below every real one.
type Ballot struct {
	Round uint64
	Node  NodeID
}

// Pack returns the ballot as one number that orders as ballots do.
func (b Ballot) Pack() uint64 { return b.Round<<16 | uint64(b.Node)&0xffff }

// Unpack is the inverse of Pack.
func Unpack(p uint64) Ballot { return Ballot{Round: p >> 16, Node: NodeID(p & 0xffff)} }

// Less reports whether b is below c.
func (b Ballot) Less(c Ballot) bool { return b.Pack() < c.Pack() }

// IsZero reports whether b is the ballot below all others.
func (b Ballot) IsZero() bool { return b == Ballot{} }

func (b Ballot) String() string { return fmt.Sprintf("%d.%d", b.Round, b.Node) }

// Entry is an accepted (or chosen) value of one slot. An empty Value is a
// no-op. Values are never changed after they were handed over, by either side.
type Entry struct {
	Slot   uint64
	Ballot Ballot
	Value  []byte
}

// HardState is what must be durable before a node speaks of it.
type HardState struct {
	// Promised is the highest ballot promised, or used by this node itself; with one
	// vote a term it is the vote too.
	Promised Ballot
	// Chosen is the end of the contiguous known-chosen prefix. It need not be
	// the newest: it is only a hint that saves work after a restart.
	Chosen uint64
}

// Storage is what the core may read back: everything whose token was reported
// by Persisted. It is implemented over the durable log.
type Storage interface {
	// Entries returns the accepted entries in [lo, hi), in slot order, skipping
	// slots with nothing accepted, and stops after maxBytes of values (but
	// returns at least one entry if there is one).
	Entries(lo, hi uint64, maxBytes int) ([]Entry, error)
	// Bounds returns the lowest and highest slots with an accepted entry, (0, 0)
	// when there is none. Slots start at 1.
	Bounds() (first, last uint64)
	// Compacted returns the slot through which the log was cut, 0 if it never was.
	// Nothing at or below it is there any more.
	Compacted() uint64
}

// Snapshot names a state of the state machine: it holds every slot through
// Slot. Data is what SnapshotData returned for it.
type Snapshot struct {
	Slot uint64
	// Ballot is the one of the entry at Slot, where it was applied.
	Ballot Ballot
	Data   []byte
}

// Fetch asks the caller to bring a snapshot through at least Slot from a peer.
type Fetch struct {
	From NodeID
	Slot uint64
}

// Config is what a Node needs. All times are in ticks.
type Config struct {
	ID NodeID
	// Peers are the founders, ID included: who votes before the first change of the
	// members. Founders is the caller's data of that configuration.
	Peers    []NodeID
	Founders []byte
	// Join: the cluster is there already. Peers are then whom to ask, until the log or
	// a snapshot tells who the members are; so long this node neither votes nor leads.
	Join bool
	// Alpha is how many slots after its entry a configuration governs; 0 is Window,
	// the least. All nodes have the same, over the cluster's whole life.
	Alpha uint64
	// HardState and Storage are what the last incarnation left on disk.
	HardState HardState
	Storage   Storage
	// Snapshot is the newest snapshot on disk. The state machine holds it. If a peer
	// made it, and old slots are kept, Storage is to be empty unless it holds the
	// snapshot's last entry (see Ready.Install).
	Snapshot Snapshot
	// Applied is the slot up to which the state machine has applied, if that is
	// more than the snapshot.
	Applied uint64
	// A follower suspects its leader after a random number of ticks in
	// [ElectionTicks, 2*ElectionTicks) without contact.
	ElectionTicks  int
	HeartbeatTicks int
	// Window bounds the slots proposed but not yet chosen. Sixteen windows bound
	// the entries that wait for this node's own disk.
	Window int
	// MaxMessageBytes bounds the values in one message (at least one entry goes).
	MaxMessageBytes int
	// LeaderDiskParallel lets Accept leave before the leader's own fsync.
	LeaderDiskParallel bool
	// PrePrepare asks a quorum before a ballot is raised; CheckQuorum makes a
	// leader without a quorum's contact step aside.
	PrePrepare  bool
	CheckQuorum bool
	// Phase1Quorum and Phase2Quorum are how many members elect, and choose; 0 is a
	// majority. Together they must exceed the number of members (rule 18).
	Phase1Quorum, Phase2Quorum int
	Switches                   Switches
	// Unsafe is for tests only: New takes switches and quorums that lose what was
	// chosen, to show that they do.
	Unsafe bool
	// Lease is how long the answer to a heartbeat lets the leader answer reads without
	// asking, 0 for never; at most the shortest election timeout is of use. MaxDrift
	// bounds how much faster one node's clock runs than another's, as a fraction.
	Lease    time.Duration
	MaxDrift float64
	// Seed feeds the jitter of elections and backoff.
	Seed uint64
}

// Ready is what the caller must do, in this order: start writing Persist under
// Token; send SendNow at once; after the write is durable call Persisted(Token)
// and send SendAfterPersist; apply Apply in order and call Applied. Tokens
// complete in order. Ready with nothing to do is never returned.
type Ready struct {
	// Token is 0 when there is nothing to persist.
	Token     uint64
	HardState *HardState // nil: unchanged
	// TruncateFrom drops that slot and all above, before Entries, which replace what
	// the log holds at their slots. 0: nothing is dropped. It all becomes durable at
	// once or not at all.
	TruncateFrom uint64
	Entries      []Entry
	// SendNow may leave at once; SendAfterPersist only after Token, and every
	// earlier token, is durable. It is empty when Token is 0.
	SendNow          []Message
	SendAfterPersist []Message
	// Install, if not nil, is a snapshot that Fetch brought. It replaces the state
	// machine's state, after everything handed out before it and before Apply, and
	// under Token (never 0 then) the log through its slot. Call Applied with its slot
	// once the state is there.
	Install *Snapshot
	// Apply are the next chosen entries, contiguous, no-ops included. They are
	// durable on a quorum, which need not include this node: a state machine
	// that outlives a crash must not be ahead of this node's own log. At most 4
	// windows of them are out before Applied is called.
	Apply []Entry
	// Members tells of changes of the members, in the order of Apply.
	Members []MembersChange
	// Reads are confirmed: the caller may answer them once Applied >= Slot.
	Reads []Read
	// Fetch, unless From is 0, asks for a snapshot; a later one replaces it. The
	// caller answers with Fetched or FetchFailed.
	Fetch Fetch
}

// Read is a confirmed (or refused) ReadIndex request.
type Read struct {
	ID   uint64
	Slot uint64
	// Refused: this node lost the lead before it could confirm.
	Refused bool
}

// Role is what a node does at the moment.
type Role uint8

// The roles.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "pre-candidate", "candidate", "leader"}[r&3]
}

// Status is a copy of what a node believes.
type Status struct {
	ID       NodeID
	Role     Role
	Ballot   Ballot // of the leader that is followed, or the node's own
	Promised Ballot
	Leader   NodeID // 0 while none is known
	Chosen   uint64
	Applied  uint64
	// Barrier is true once the leader has chosen and applied every slot that
	// its Promise quorum reported (rule 15): from then on it serves reads.
	Barrier bool
	// Last is the highest slot proposed or accepted here.
	Last     uint64
	Counters Counters
}

// Counters are totals since New.
type Counters struct {
	Elections, LeaderChanges, GapsFilled, ValuesAdopted, CatchUps, Rejections, Installs, LeaseReads uint64
}
