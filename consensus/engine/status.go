package engine

import (
	"maps"

	"gfslab/consensus"
)

// CounterSource is what a core may also implement: totals of its own, safe to
// read from any goroutine.
type CounterSource interface{ Counters() map[string]uint64 }

func (r *Replica) count(kind consensus.EventKind) {
	switch kind {
	case consensus.EventCampaign:
		r.campaigns.Add(1)
	case consensus.EventLeader:
		r.leads.Add(1)
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
// (campaigns begun), "leads" (elections won), "read_rounds", "entries" and
// "commands" (applied), "bad_messages"; and the core's own.
func (r *Replica) Status() consensus.Status {
	r.mu.Lock()
	s := r.status
	r.mu.Unlock()
	disk := r.log.Counters()
	counters := map[string]uint64{
		"fsyncs": disk.Fsyncs, "records": disk.Records, "disk_bytes": disk.Bytes, "segments": disk.Segments,
		"elections": r.campaigns.Load(), "leads": r.leads.Load(), "read_rounds": r.rounds.Load(),
		"entries": r.applier.entries.Load(), "commands": r.applier.cmds.Load(), "bad_messages": r.badFrames.Load(),
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
		Committed: s.Committed, Applied: r.applier.applied.Load(), Counters: counters,
	}
}
