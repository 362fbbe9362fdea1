package consensus

import (
	"errors"
	"fmt"
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

// ReadLinearizable asks a quorum (ReadIndex, ReadConfirm, VerifyLeader) for
// each batch of reads. It is the only mode as yet.
const ReadLinearizable ReadMode = "linearizable"

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
	// Window is the number of entries in flight (proposed, not committed).
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
		ReadMode: ReadLinearizable, MaxCommandBytes: 1 << 20,
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
	check(l.SnapshotEvery == 0, "snapshot every is %d; only 0 (off) is supported as yet", l.SnapshotEvery)
	check(l.ReadMode == ReadLinearizable, "read mode is %q; want %q", l.ReadMode, ReadLinearizable)
	check(l.MaxCommandBytes >= 1 && l.MaxCommandBytes <= MaxEntryBytes, "max command bytes is %d; it must be from 1 to %d", l.MaxCommandBytes, MaxEntryBytes)
	return errors.Join(errs...)
}
