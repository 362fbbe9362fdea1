package check

import (
	"context"
	"slices"

	"gfslab/results/rundir"
)

// checkReplicas follows every replica through the events of its chunkserver: what
// was prepared, cloned, copied, served and deleted, and what is left at the end.
func checkReplicas(ctx context.Context, f *facts, out *findings) {
	if len(f.agreed().entries) == 0 {
		out.unknown("there is no log to hold the replicas to")
		return
	}
	events := eventsByChunk(f.run)
	for _, handle := range chunksOfEvents(events) {
		if ctx.Err() != nil {
			return
		}
		list := events[handle]
		checkPrepares(f, handle, list, out)
		checkServed(handle, list, out)
		checkTerms(handle, list, out)
		checkDeletes(f, handle, list, out)
		checkSources(f, handle, list, out)
		checkSerial(handle, list, out)
		checkShared(f, handle, list, out)
	}
	checkJoined(f, events, out)
	checkUpkeep(f, events, out)
	checkUsed(f, out)
	if f.run.Manifest.Plan.Strict {
		checkStrict(f, out)
		checkSeals(f, events, out)
	}
	checkLeft(f, out)
}

// checkPrepares holds the versions that replicas take to the log's intents: none
// before the log has reserved it.
func checkPrepares(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	for _, e := range list {
		if e.Kind != rundir.LeasePrepare {
			continue
		}
		out.stat("versions taken", 1)
		at, reserved := f.replay().book.reserved[reservation{handle, e.Version}]
		if !reserved {
			out.invalid(nil, "node %s took version %d of chunk %d at %d ns, which the log never reserved", e.Node, e.Version, handle, e.At)
			continue
		}
		if applied, known := f.firstApplied(at.index); known && e.At < applied {
			out.invalid(nil, "node %s took version %d of chunk %d at %d ns, before the log reserved it at index %d offset %d at %d ns",
				e.Node, e.Version, handle, e.At, at.index, at.offset, applied)
		}
	}
}

// checkServed finds reads, clones and copies of an older version than was asked for.
func checkServed(handle uint64, list []*rundir.LeaseEvent, out *findings) {
	for _, e := range list {
		if e.Kind != rundir.LeaseServe {
			continue
		}
		out.stat("reads served", 1)
		if e.Version < e.Wanted {
			out.invalid(nil, "node %s served chunk %d version %d at %d ns to one who asked for version %d", e.Node, handle, e.Version, e.At, e.Wanted)
		}
	}
}

// checkTerms holds each replica to the highest term that it obeyed an order of.
func checkTerms(handle uint64, list []*rundir.LeaseEvent, out *findings) {
	highest := map[string]*rundir.LeaseEvent{}
	for _, e := range list {
		switch e.Kind {
		case rundir.LeasePrepare, rundir.LeaseClone, rundir.LeaseDelete:
		default:
			continue
		}
		h := highest[e.Node]
		if h != nil && e.Term != 0 && e.Term < h.Term {
			out.invalid(nil, "node %s obeyed a master of term %d (%s of chunk %d version %d at %d ns) after one of term %d (%s at %d ns)",
				e.Node, e.Term, e.Kind, handle, e.Version, e.At, h.Term, h.Kind, h.At)
		}
		if h == nil || e.Term > h.Term {
			highest[e.Node] = e
		}
	}
}

// held is what one replica of a chunk is known to have.
type held struct {
	version uint64
	there   bool
	corrupt bool
}

// follow takes note of one event of a replica.
func (h *held) follow(e *rundir.LeaseEvent) {
	switch e.Kind {
	case rundir.LeasePrepare, rundir.LeaseMutate:
		h.version, h.there = max(h.version, e.Version), true
	case rundir.LeaseClone, rundir.LeaseCopy:
		*h = held{version: e.Version, there: true}
	case rundir.LeaseDelete:
		*h = held{}
	case rundir.LeaseCorrupt:
		h.corrupt = true
	}
}

// checkDeletes holds every deletion of a replica to the log: none of a current
// replica but a corrupt one, and none at all without another good current one.
func checkDeletes(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	replicas := map[string]*held{}
	for _, e := range list { // in order of time
		h := replicas[e.Node]
		if h == nil {
			h = &held{}
			replicas[e.Node] = h
		}
		if e.Kind == rundir.LeaseDelete {
			out.stat("replicas deleted", 1)
			judgeDelete(f, e, h, replicas, out)
		}
		h.follow(e)
	}
}

func judgeDelete(f *facts, e *rundir.LeaseEvent, h *held, replicas map[string]*held, out *findings) {
	m := f.momentAt(e.Handle, e.At)
	if m == nil || m.refs == 0 || len(m.members) == 0 {
		return // no file has it, or no replica of it was ever current
	}
	good := func(node string) bool {
		x := replicas[node]
		return node != e.Node && x != nil && x.there && !x.corrupt && x.version >= m.version
	}
	switch {
	case slices.Contains(m.members, e.Node) && !h.corrupt:
		out.invalid(nil, "node %s deleted its replica of chunk %d at %d ns, a current one by the log (index %d offset %d: version %d on %v), on the order of term %d",
			e.Node, e.Handle, e.At, m.at.index, m.at.offset, m.version, m.members, e.Term)
	case !slices.ContainsFunc(m.members, good):
		out.invalid(nil, "node %s deleted its replica of chunk %d at %d ns, and no other good one of version %d is known on %v (index %d offset %d)",
			e.Node, e.Handle, e.At, m.version, m.members, m.at.index, m.at.offset)
	}
}

// checkJoined wants a clone or a copy behind every replica that the log made a
// member without a grant.
func checkJoined(f *facts, events map[uint64][]*rundir.LeaseEvent, out *findings) {
	for _, j := range f.replay().joined {
		applied, known := f.firstApplied(j.at.index)
		if !known {
			continue
		}
		out.stat("replicas joined", 1)
		var last *rundir.LeaseEvent
		accepted := false
		for _, e := range events[j.handle] {
			switch {
			case e.At > applied:
			case e.Node == j.node && (e.Kind == rundir.LeaseClone || e.Kind == rundir.LeaseCopy) && e.Version == j.version:
				last, accepted = e, false
			case e.Node == j.node && e.Kind == rundir.LeaseDelete:
				last = nil
			case e.Kind == rundir.LeaseAccept && last != nil:
				accepted = true
			}
		}
		switch {
		case last == nil:
			out.invalid(nil, "index %d offset %d makes node %s a current replica of chunk %d version %d, which it had not cloned or copied by then, at %d ns",
				j.at.index, j.at.offset, j.node, j.handle, j.version, applied)
		case accepted:
			out.invalid(nil, "index %d offset %d makes node %s a current replica of chunk %d version %d, though mutations were accepted after it had copied the bytes at %d ns",
				j.at.index, j.at.offset, j.node, j.handle, j.version, last.At)
		}
	}
}
