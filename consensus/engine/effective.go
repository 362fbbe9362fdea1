package engine

import (
	"fmt"

	"gfslab/consensus"
)

func readMode(m consensus.ReadMode) string {
	switch m {
	case consensus.ReadLinearizable:
		return string(m) + ", concurrent readers share a round"
	case consensus.ReadLease:
		return string(m) + ", answered without a message while the lease lasts"
	case consensus.ReadLog:
		return string(m) + ", concurrent readers share an empty entry"
	}
	return string(m) + ", on any replica"
}

func snapshotEvery(n uint64) string {
	if n == 0 {
		return "0: off"
	}
	return fmt.Sprintf("each %d entries, the replicas in turn", n)
}

// Effective says how the engine translates l; backends add what is theirs.
func Effective(l consensus.Limits) map[string]string {
	entries := l.BatchEntries
	if l.BatchMode == consensus.BatchNative {
		entries = 1
	}
	return map[string]string{
		"batch_mode":           string(l.BatchMode),
		"batch_entries":        fmt.Sprint(entries),
		"batch_bytes":          fmt.Sprint(l.BatchBytes),
		"batch_cut":            "when at most one write is under way and none waits",
		"window":               fmt.Sprintf("%d batches, proposed and not yet applied", l.Window),
		"queue_commands":       fmt.Sprint(l.QueueCommands),
		"tick":                 l.Tick.String(),
		"election_ticks":       fmt.Sprintf("%d to %d, drawn anew each time", l.ElectionTicks, 2*l.ElectionTicks-1),
		"heartbeat_ticks":      fmt.Sprint(l.HeartbeatTicks),
		"leader_disk_parallel": fmt.Sprint(l.LeaderDiskParallel),
		"snapshot_every":       snapshotEvery(l.SnapshotEvery),
		"trailing_entries":     fmt.Sprint(l.TrailingEntries),
		"pre_vote":             fmt.Sprint(l.PreVote),
		"check_quorum":         fmt.Sprint(l.CheckQuorum),
		"read_mode":            readMode(l.ReadMode),
		"forwarding":           "off",
	}
}
