package consensus

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"
)

// BatchMode says who packs commands into log entries.
type BatchMode string

// The batch modes.
const (
	// BatchShared packs commands with consensus/batch for every backend.
	BatchShared BatchMode = "shared"
	// BatchNative leaves batching to the library: one command an entry.
	BatchNative BatchMode = "native"
)

// ReadMode says how ReadBarrier proves that the replica still leads.
type ReadMode string

// The read modes.
const (
	// ReadLinearizable asks a quorum (ReadIndex, ReadConfirm, VerifyLeader) for
	// each batch of reads.
	ReadLinearizable ReadMode = "linearizable"
	// ReadLease trusts a quorum's promise, counted by clocks that drift apart by
	// at most MaxClockDrift, not to elect another leader for a while.
	ReadLease ReadMode = "lease"
	// ReadLog sends each batch of reads through the log.
	ReadLog ReadMode = "log"
	// ReadStale serves what is applied, on any replica: a prefix of the log.
	ReadStale ReadMode = "stale"
)

// MaxEntryBytes bounds BatchBytes and MaxCommandBytes. An entry, or a message
// full of them, must fit a frame of the wire (32 MiB): what does not fit is
// dropped, and a log with such an entry in flight never moves again.
const MaxEntryBytes = 16 << 20

// Limits are the settings that every backend translates into its own. The
// effective translation of each backend is printed into a run's manifest.
type Limits struct {
	// BatchEntries and BatchBytes bound the commands packed into one entry.
	BatchEntries int
	BatchBytes   int
	BatchMode    BatchMode
	// Window is the number of entries in flight (proposed, not committed). In a
	// multipaxos cluster all replicas have the same, for good: it is alpha, after which
	// a change of the members takes effect. Its log refuses to open with another one.
	Window int
	// QueueCommands bounds the commands waiting for a batch; beyond it Propose
	// waits for room until its context ends, then returns ErrDropped.
	QueueCommands int
	// Tick is the length of one tick. Heartbeats go out every HeartbeatTicks;
	// a follower suspects its leader after a random time in
	// [ElectionTicks, 2*ElectionTicks).
	Tick           time.Duration
	ElectionTicks  int
	HeartbeatTicks int
	// LeaderDiskParallel lets the leader send an entry before its own fsync.
	LeaderDiskParallel bool
	// SnapshotEvery is the number of applied entries between snapshots; 0 = off.
	SnapshotEvery uint64
	// TrailingEntries are kept below a snapshot for laggards.
	TrailingEntries uint64
	PreVote         bool
	CheckQuorum     bool
	ReadMode        ReadMode
	// MaxClockDrift bounds how much faster one clock runs than another, as a
	// fraction. Only leases depend on it.
	MaxClockDrift float64
	// Phase1Quorum and Phase2Quorum are the sizes of our own core's quorums, 0 for
	// majorities. Their sum must exceed the number of voters.
	Phase1Quorum, Phase2Quorum int
	Switches                   Switches
	// MaxCommandBytes refuses larger commands with ErrDropped.
	MaxCommandBytes int
}

// Matched2 returns the setting that multipaxos and etcdraft share exactly.
func Matched2() Limits {
	return Limits{
		BatchEntries: 1024, BatchBytes: 1 << 20, BatchMode: BatchShared,
		Window: 64, QueueCommands: 16384,
		Tick: 10 * time.Millisecond, ElectionTicks: 15, HeartbeatTicks: 3,
		LeaderDiskParallel: true, PreVote: true, CheckQuorum: true,
		ReadMode: ReadLinearizable, MaxClockDrift: 0.01, MaxCommandBytes: 1 << 20,
	}
}

// Matched3 returns the setting that all three protocols share: the leader's
// disk is not parallel, because hashicorp/raft stores before it replicates.
func Matched3() Limits {
	l := Matched2()
	l.LeaderDiskParallel = false
	return l
}

// ElectionTimeout is the shortest time without contact before a follower
// suspects its leader.
func (l Limits) ElectionTimeout() time.Duration {
	return time.Duration(l.ElectionTicks) * l.Tick
}

// SnapshotTurn is the remainder by every of the indexes at which a node takes its
// snapshots: each has a phase of its own, so that the replicas of a cluster do
// not all write at the same time, and a quorum is always free to answer.
// Multiples of the golden ratio spread any number of nodes well.
func SnapshotTurn(node NodeID, every uint64) uint64 {
	turn, _ := bits.Mul64(uint64(node)*0x9e3779b97f4a7c15, every)
	return turn
}

var readModes = []ReadMode{ReadLinearizable, ReadLease, ReadLog, ReadStale}

// StallElections is after how many election timeouts without an answer from its
// log a leader gives the lead up. One is not enough: disks that others use too
// stall for that long without being broken, and where replicas share a disk
// nobody would do better.
const StallElections = 2

// StallTimeout is how long a leader waits for a write to its log before it gives
// the lead up.
func (l Limits) StallTimeout() time.Duration { return StallElections * l.ElectionTimeout() }

// Validate reports every contradiction at once.
func (l Limits) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(l.BatchEntries >= 1, "batch entries is %d; it must be at least 1", l.BatchEntries)
	check(l.BatchBytes >= 1 && l.BatchBytes <= MaxEntryBytes, "batch bytes is %d; it must be from 1 to %d", l.BatchBytes, MaxEntryBytes)
	check(l.BatchMode == BatchShared || l.BatchMode == BatchNative, "batch mode is %q; want %q or %q", l.BatchMode, BatchShared, BatchNative)
	check(l.Window >= 1, "window is %d; it must be at least 1", l.Window)
	check(l.QueueCommands >= 1, "queue commands is %d; it must be at least 1", l.QueueCommands)
	check(l.Tick >= time.Millisecond, "tick is %v; it must be at least 1ms", l.Tick)
	check(l.HeartbeatTicks >= 1, "heartbeat ticks is %d; it must be at least 1", l.HeartbeatTicks)
	check(l.ElectionTicks > l.HeartbeatTicks, "election ticks is %d; it must exceed heartbeat ticks (%d)", l.ElectionTicks, l.HeartbeatTicks)
	check(slices.Contains(readModes, l.ReadMode), "read mode is %q; want one of %q", l.ReadMode, readModes)
	check(l.MaxClockDrift >= 0 && l.MaxClockDrift < 0.5, "max clock drift is %v; it must be from 0 to below 0.5", l.MaxClockDrift)
	check(l.ReadMode != ReadLease || l.CheckQuorum, "read mode %q needs check quorum", ReadLease)
	check(l.Phase1Quorum >= 0 && l.Phase2Quorum >= 0, "quorums are %d and %d; they must not be negative", l.Phase1Quorum, l.Phase2Quorum)
	check(l.MaxCommandBytes >= 1 && l.MaxCommandBytes <= MaxEntryBytes, "max command bytes is %d; it must be from 1 to %d", l.MaxCommandBytes, MaxEntryBytes)
	return errors.Join(errs...)
}
