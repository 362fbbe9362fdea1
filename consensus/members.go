package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Members is a configuration: who votes on the log, and who only learns it.
type Members struct {
	// Index is the log index of the entry that made it, 0 for the founders.
	Index uint64
	// Voters and Learners are in the order of their ids.
	Voters, Learners []Peer
	// Outgoing are the voters being left, while a joint change is under way; both
	// sets must then agree.
	Outgoing []Peer
	// MaxID is the highest identity that was ever a member. A new member's id
	// exceeds it: an identity is never used twice.
	MaxID NodeID
}

// Founders returns the configuration that a cluster starts with.
func Founders(peers []Peer) Members {
	m := Members{Voters: slices.Clone(peers)}
	sortPeers(m.Voters)
	for _, p := range peers {
		m.MaxID = max(m.MaxID, p.ID)
	}
	return m
}

// All returns every member once, by id: voters, outgoing voters and learners.
func (m Members) All() []Peer {
	all := slices.Concat(m.Voters, m.Outgoing, m.Learners)
	sortPeers(all)
	return slices.CompactFunc(all, func(a, b Peer) bool { return a.ID == b.ID })
}

// IsVoter reports whether id votes, IsMember whether it votes or learns.
func (m Members) IsVoter(id NodeID) bool  { return has(m.Voters, id) }
func (m Members) IsMember(id NodeID) bool { return has(m.All(), id) }

func has(peers []Peer, id NodeID) bool {
	return slices.ContainsFunc(peers, func(p Peer) bool { return p.ID == id })
}

func sortPeers(peers []Peer) {
	slices.SortFunc(peers, func(a, b Peer) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
}

// Change is what ChangeMembers does as one step. Adding a learner as a voter
// promotes it. Adding and removing at once replaces.
type Change struct {
	AddVoters, AddLearners []Peer
	Remove                 []NodeID
}

// MaxAddr is the longest address of a peer, in bytes: no replica could call one
// with a longer address, nor open again with such a one among its members.
const MaxAddr = 255

// ErrRefused: a request that makes no sense for the cluster as it is; surely not
// done. The text says what and why.
var ErrRefused = errors.New("consensus: refused")

// Apply returns the configuration after the change, with Index and Outgoing
// zero, or an error that wraps ErrRefused.
func (m Members) Apply(c Change) (Members, error) {
	out := Members{Voters: slices.Clone(m.Voters), Learners: slices.Clone(m.Learners), MaxID: m.MaxID}
	refuse := func(format string, args ...any) (Members, error) {
		return Members{}, fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
	}
	if len(c.AddVoters)+len(c.AddLearners)+len(c.Remove) == 0 {
		return refuse("the change adds and removes nobody")
	}
	without := func(peers []Peer, id NodeID) []Peer {
		return slices.DeleteFunc(peers, func(p Peer) bool { return p.ID == id })
	}
	for _, id := range c.Remove {
		if !has(out.Voters, id) && !has(out.Learners, id) {
			return refuse("node %d is not a member", id)
		}
		out.Voters, out.Learners = without(out.Voters, id), without(out.Learners, id)
	}
	for i, p := range slices.Concat(c.AddLearners, c.AddVoters) {
		promotes := i >= len(c.AddLearners) && has(out.Learners, p.ID)
		switch {
		case p.ID == 0 || p.Addr == "":
			return refuse("peer %d at %q lacks an id or an address", p.ID, p.Addr)
		case len(p.Addr) > MaxAddr:
			return refuse("the address of peer %d has %d bytes; at most %d are allowed", p.ID, len(p.Addr), MaxAddr)
		case promotes:
			out.Learners = without(out.Learners, p.ID)
		case m.IsMember(p.ID) || has(out.All(), p.ID):
			return refuse("node %d is a member already", p.ID)
		case p.ID <= m.MaxID:
			return refuse("identity %d was used before; the next free one is %d", p.ID, m.MaxID+1)
		}
		out.MaxID = max(out.MaxID, p.ID)
		if i < len(c.AddLearners) {
			out.Learners = append(out.Learners, p)
		} else {
			out.Voters = append(out.Voters, p)
		}
	}
	if len(out.Voters) == 0 {
		return refuse("no voter would be left")
	}
	sortPeers(out.Voters)
	sortPeers(out.Learners)
	return out, nil
}

// Membership is implemented by every replicated Replica.
type Membership interface {
	// Members is the newest configuration that this replica has applied.
	Members() Members
	// ChangeMembers changes the configuration and returns the new one once it is
	// in effect and applied here. Only the leader can; a change during another one
	// is ErrDropped. Errors are typed as Propose's are.
	ChangeMembers(ctx context.Context, c Change) (Members, error)
}

// Transferrer is implemented by every replicated Replica.
type Transferrer interface {
	// Transfer hands the lead to the voter to, 0 for the best one, and returns
	// nil once this replica follows another leader. Errors are failures: this
	// replica may or may not lead afterwards.
	Transfer(ctx context.Context, to NodeID) error
}

// SnapshotInfo describes a snapshot on this replica's disk.
type SnapshotInfo struct {
	Index, Term uint64
	Bytes       int64
}

// Snapshotter is implemented by every Replica.
type Snapshotter interface {
	// SnapshotNow writes a snapshot of what is applied and returns once it is
	// durable and the log compacted, whatever Limits.SnapshotEvery says.
	SnapshotNow(ctx context.Context) (SnapshotInfo, error)
}

// StaleReader is implemented by every Replica.
type StaleReader interface {
	// ReadStale returns once this replica, leader or not, has applied atLeast. A
	// lookup made after it sees a prefix of the log that holds at least that; a
	// client that passes the highest index it has seen never goes back in time.
	ReadStale(ctx context.Context, atLeast uint64) (index uint64, err error)
}
