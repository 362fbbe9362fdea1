package hashiraft

import (
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// never is an interval that no run lives to see.
const never = 10 * 365 * 24 * time.Hour

const (
	// rpcTimeouts is the deadline of one request in election timeouts: long
	// enough for a slow fsync on the other side, short against the library's
	// own 10 s, so that a dead link is given up while somebody waits.
	rpcTimeouts = 10
	// pipelined is the library's default MaxRPCsInFlight: more raised its commit
	// latency under load (hashicorp/raft pull request 541).
	pipelined = 2
	// pooled is the number of idle connections kept for each peer.
	pooled = 3
	// mostEntries is the library's bound on MaxAppendEntries.
	mostEntries = 1024
)

func rpcTimeout(l consensus.Limits) time.Duration { return rpcTimeouts * l.ElectionTimeout() }

// translate derives the library's configuration.
func translate(l consensus.Limits) *raft.Config {
	c := raft.DefaultConfig()
	c.HeartbeatTimeout = l.ElectionTimeout()
	c.ElectionTimeout = l.ElectionTimeout()
	c.LeaderLeaseTimeout = l.ElectionTimeout()
	// Followers learn of a commit with the next entries, or after 1-2 times this.
	c.CommitTimeout = time.Duration(l.HeartbeatTicks) * l.Tick
	c.MaxAppendEntries = min(max(l.Window, 1), mostEntries)
	c.BatchApplyCh = l.BatchMode == consensus.BatchNative
	c.PreVoteDisabled = !l.PreVote
	// Both are ours: see takeSnapshots and store.DeleteRange.
	c.TrailingLogs = 0
	c.SnapshotThreshold, c.SnapshotInterval = math.MaxUint64, never
	c.ShutdownOnRemove = false // a removed replica still serves stale reads
	c.NoLegacyTelemetry = true
	return c
}

// Effective says how l is translated, for a run's manifest.
func Effective(l consensus.Limits) map[string]string {
	c := translate(l)
	entries := l.BatchEntries
	if l.BatchMode == consensus.BatchNative {
		entries = 1
	}
	snapshots := "0 (off)"
	if l.SnapshotEvery > 0 {
		snapshots = fmt.Sprintf("%d: asked for after that many entries, the replicas in turn; taken as soon as the library does", l.SnapshotEvery)
	}
	return map[string]string{
		"batch_mode":           string(l.BatchMode),
		"batch_entries":        fmt.Sprint(entries),
		"batch_bytes":          fmt.Sprint(l.BatchBytes),
		"batch_cut":            "when the library's main loop takes the one before; BatchApplyCh=" + fmt.Sprint(c.BatchApplyCh),
		"window":               fmt.Sprintf("%d batches, proposed and not yet applied; MaxAppendEntries=%d, MaxRPCsInFlight=%d", l.Window, c.MaxAppendEntries, pipelined),
		"queue_commands":       fmt.Sprint(l.QueueCommands),
		"tick":                 "none: timers of package time",
		"election_ticks":       fmt.Sprintf("HeartbeatTimeout=ElectionTimeout=%v to %v, drawn anew each time, not seedable", c.HeartbeatTimeout, 2*c.HeartbeatTimeout),
		"heartbeat_ticks":      fmt.Sprintf("%v to %v: the library's own, a tenth of HeartbeatTimeout", c.HeartbeatTimeout/10, c.HeartbeatTimeout/5),
		"commit_notice":        fmt.Sprintf("with the next entries, else CommitTimeout=%v to %v", c.CommitTimeout, 2*c.CommitTimeout),
		"leader_disk_parallel": "false: the library stores before it sends",
		"snapshot_every":       snapshots,
		"trailing_entries":     fmt.Sprintf("%d, counted from the snapshot; TrailingLogs=%d", l.TrailingEntries, c.TrailingLogs),
		"pre_vote":             fmt.Sprint(!c.PreVoteDisabled),
		"check_quorum":         fmt.Sprintf("always: LeaderLeaseTimeout=%v", c.LeaderLeaseTimeout),
		"read_mode":            readMode(l),
		"lease":                lease(l),
		"transfer":             "TimeoutNow; commands wait meanwhile",
		"stalled_disk":         fmt.Sprintf("a write to the log out for %v: the adapter falls silent", l.StallTimeout()),
		"membership":           "one server a step: learners first, then votes, then removals",
		"max_clock_drift":      fmt.Sprint(l.MaxClockDrift),
		"rpc_timeout":          rpcTimeout(l).String(),
		"forwarding":           "off",
	}
}

func readMode(l consensus.Limits) string {
	s := string(l.ReadMode)
	switch l.ReadMode {
	case consensus.ReadLinearizable:
		s += ", VerifyLeader; concurrent readers share a round"
	case consensus.ReadLease:
		s += ", without a message while heartbeats are answered, else as linearizable"
	case consensus.ReadLog:
		s += ", Barrier; concurrent readers share one"
	}
	return s
}

func lease(l consensus.Limits) string {
	if l.ReadMode != consensus.ReadLease {
		return "none"
	}
	return fmt.Sprintf("%v from the sending of a heartbeat, promised for %v, also after a restart", leaseSpan(l), l.ElectionTimeout())
}

// leaseSpan is how long an acknowledged heartbeat is relied on.
func leaseSpan(l consensus.Limits) time.Duration {
	return time.Duration(float64(l.ElectionTimeout()) * (1 - l.MaxClockDrift))
}
