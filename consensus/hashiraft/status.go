package hashiraft

import (
	"time"

	"gfslab/consensus"
)

// Term implements consensus.TermReader.
func (r *Replica) Term() uint64 { return r.raft.CurrentTerm() }

// Status implements consensus.Replica. Its counters bear the names that package
// engine uses; besides, "stable_writes" are fsyncs of the library's for term and
// vote, and "lease_reads" those reads that cost no round. "messages" is 0: a
// stream does not know them.
func (r *Replica) Status() consensus.Status {
	disk, net := r.log.Counters(), r.stream.Counters()
	role, leader := consensus.Role(r.roles.role.Load()), consensus.NodeID(r.roles.leader.Load())
	if leader == r.cfg.Self && role != consensus.Leader {
		leader = 0 // the library leads, and we have given it up
	}
	var snapshot uint64
	if m := r.store.snapshot.Load(); m != nil {
		snapshot = m.Index
	}
	first, _ := r.log.Bounds()
	if first == 0 {
		first = r.log.Compacted() + 1
	}
	f := r.fsm
	return consensus.Status{
		ID:        r.cfg.Self,
		Role:      role,
		Term:      r.raft.CurrentTerm(),
		Leader:    leader,
		Committed: r.raft.CommitIndex(),
		Applied:   f.applied.load(),
		Last:      r.raft.LastIndex(),
		Snapshot:  snapshot,
		First:     first,
		Counters: map[string]uint64{
			"fsyncs": disk.Fsyncs, "records": disk.Records, "disk_bytes": disk.Bytes, "segments": disk.Segments,
			"frames": net.Frames, "messages": 0, "bytes": net.Bytes, "dials": net.Dials,
			"received_bytes": net.ReceivedBytes,
			"elections":      r.roles.campaigns.Load(), "leads": r.roles.leads.Load(), "stalled_resigns": r.stalls.Load(),
			"reads": r.readers.Load(), "stale_reads": r.staleReads.Load(),
			"read_rounds": r.rounds.Load(), "lease_reads": r.leaseReads.Load(),
			"entries": f.entries.Load(), "commands": f.commands.Load(),
			"stable_writes": r.store.stableWrites.Load(),
			"snapshots":     r.snapshotsTaken.Load(), "snapshots_fetched": r.snapshots.fetched.Load(),
			"restart_load_us":          uint64(r.restartLoad.Microseconds()),
			"restart_snapshot_bytes":   uint64(r.restartBytes),
			"restart_replayed_entries": uint64(f.replayed.Load()),
			"restart_replay_us":        uint64(time.Duration(f.replayTime.Load()).Microseconds()),
		},
	}
}
