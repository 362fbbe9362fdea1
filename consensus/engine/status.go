package engine

import (
	"maps"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// CounterSource is what a core may also implement: totals of its own, safe to
// read from any goroutine.
type CounterSource interface{ Counters() map[string]uint64 }

// totals are counted since Open.
type totals struct {
	campaigns, leads, stalls      atomic.Uint64
	reads, rounds, staleReads     atomic.Uint64
	readMessages                  atomic.Uint64
	snapshots, fetches, badFrames atomic.Uint64
	sent                          uint64 // messages; the loop's own
}

func (r *Replica) count(kind consensus.EventKind) {
	switch kind {
	case consensus.EventCampaign:
		r.campaigns.Add(1)
	case consensus.EventLeader:
		r.leads.Add(1)
	case consensus.EventStalled:
		r.stalls.Add(1)
	}
}

// Term implements consensus.TermReader.
func (r *Replica) Term() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status.Term
}

// Status implements consensus.Replica. Its counters are, since Open: "fsyncs",
// "records", "disk_bytes", "segments" (the log); "frames", "messages", "bytes",
// "dropped", "dials", "received", "received_bytes" (the wire); "elections"
// (campaigns begun), "leads" (elections won), "stalled_resigns" (leads given up
// because the log stalled); "reads" (ReadBarrier), "read_rounds" they took and
// "read_messages" that this replica sent for them, "stale_reads"; "entries" and
// "commands" (applied); "snapshots" (taken) and "snapshots_fetched";
// "bad_messages"; "restart_load_us", "restart_snapshot_bytes",
// "restart_replayed_entries", "restart_replay_us" (what Open and the replay of
// the log after it cost); and the core's own.
func (r *Replica) Status() consensus.Status {
	r.mu.Lock()
	s, snapshot, first := r.status, r.snapshot, r.first
	r.mu.Unlock()
	disk := r.log.Counters()
	_, last := r.log.Bounds()
	counters := map[string]uint64{
		"fsyncs": disk.Fsyncs, "records": disk.Records, "disk_bytes": disk.Bytes, "segments": disk.Segments,
		"elections": r.campaigns.Load(), "leads": r.leads.Load(), "stalled_resigns": r.stalls.Load(),
		"reads": r.reads.Load(), "read_rounds": r.rounds.Load(), "read_messages": r.readMessages.Load(), "stale_reads": r.staleReads.Load(),
		"entries": r.applier.entries.Load(), "commands": r.applier.cmds.Load(), "bad_messages": r.badFrames.Load(),
		"snapshots": r.snapshots.Load(), "snapshots_fetched": r.fetches.Load(),
		"restart_load_us":          uint64(r.recovered.LoadTime.Microseconds()),
		"restart_snapshot_bytes":   uint64(r.recovered.Snapshot.Size),
		"restart_replayed_entries": r.applier.replay.entries.Load(),
		"restart_replay_us":        uint64(time.Duration(r.applier.replay.took.Load()).Microseconds()),
	}
	if r.transport != nil {
		w := r.transport.Counters()
		counters["frames"], counters["messages"], counters["bytes"] = w.Frames, w.Messages, w.Bytes
		counters["dropped"], counters["dials"] = w.Dropped, w.Dials
		counters["received"], counters["received_bytes"] = w.Received, w.ReceivedBytes
	}
	if c, ok := r.core.(CounterSource); ok {
		maps.Copy(counters, c.Counters())
	}
	return consensus.Status{
		ID: r.cfg.Self, Role: s.Role, Term: s.Term, Leader: s.Leader,
		Committed: s.Committed, Applied: r.applier.applied.Load(), Last: max(last, snapshot), Snapshot: snapshot, First: first, Counters: counters,
	}
}
