package check

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// checkClaims holds every claim to its grant's version and time, and to the term
// of a lease: it is counted from when the primary asked for it.
func checkClaims(f *facts, grants map[leaseID]granted, handle uint64, terms []*leaseTerm, out *findings) {
	limit := int64(f.run.Manifest.Plan.LeaseTerm)
	if limit == 0 && len(terms) > 0 {
		out.unknown("the plan does not say how long a lease lasts")
	}
	for _, t := range terms {
		g, logged := grants[leaseID{handle, t.epoch}]
		if !logged {
			continue // checkActing has said so
		}
		applied, known := f.firstApplied(g.at.index)
		for _, c := range t.claims {
			switch {
			case c.Version != g.version && c.Version != t.version:
				out.invalid(nil, "node %s claimed a lease on chunk %d version %d at %d ns; index %d offset %d grants version %d",
					c.Node, handle, c.Version, c.At, g.at.index, g.at.offset, g.version)
			case known && c.At < applied:
				out.invalid(nil, "node %s claimed a lease on chunk %d version %d at %d ns, before it was granted at index %d offset %d at %d ns",
					c.Node, handle, c.Version, c.At, g.at.index, g.at.offset, applied)
			case limit > 0 && c.Until-c.At > limit:
				out.invalid(nil, "node %s claimed a lease on chunk %d version %d at %d ns until %d ns (index %d); a lease lasts %d ns",
					c.Node, handle, c.Version, c.At, c.Until, t.epoch, limit)
			}
		}
	}
}

// checkEnds holds the ends of leases in the log to their primaries: none acts any
// more when the log ends its lease.
func checkEnds(f *facts, events map[uint64][]*rundir.LeaseEvent, out *findings) {
	terms := map[leaseID]*leaseTerm{}
	for _, handle := range slices.Sorted(maps.Keys(events)) {
		for _, t := range leaseTerms(f, events[handle]) {
			if last := terms[leaseID{handle, t.epoch}]; last == nil || t.till > last.till {
				terms[leaseID{handle, t.epoch}] = t
			}
		}
	}
	for _, e := range f.agreed().entries {
		for i := range e.lines {
			line := &e.lines[i]
			var cmd metapb.Command
			if proto.Unmarshal(line.Command, &cmd) != nil || cmd.GetLeaseEnd() == nil {
				continue
			}
			reply, err := decodeReply(line)
			if err != nil || reply.GetCode() != 0 {
				continue
			}
			t := terms[leaseID{cmd.GetLeaseEnd().GetHandle(), cmd.GetLeaseEnd().GetEpoch()}]
			ended, known := f.firstApplied(e.index)
			if t == nil || !known {
				continue
			}
			out.stat("leases ended", 1)
			if t.till > ended {
				out.invalid(nil, "node %s acts as primary of chunk %d version %d until %d ns (index %d), and index %d offset %d ended its lease at %d ns",
					t.node, cmd.GetLeaseEnd().GetHandle(), t.version, t.till, t.epoch, e.index, line.Offset, ended)
			}
		}
	}
}

// checkDurableOnAll wants every mutation that a primary acknowledged durable on
// every replica of its grant before.
func checkDurableOnAll(grants map[leaseID]granted, list []*rundir.LeaseEvent, out *findings) {
	type copyOf struct {
		mutation
		node string
	}
	durable := map[copyOf]int64{}
	for _, e := range list { // in order of time: the first one counts
		if k := (copyOf{mutationOf(e), e.Node}); e.Kind == rundir.LeaseMutate {
			if _, has := durable[k]; !has {
				durable[k] = e.At
			}
		}
	}
	for _, e := range list {
		if e.Kind != rundir.LeaseAccept {
			continue
		}
		for _, node := range grants[leaseID{e.Handle, e.Epoch}].members {
			at, has := durable[copyOf{mutationOf(e), node}]
			switch {
			case !has:
				out.invalid(nil, "node %s acknowledged a mutation of chunk %d version %d at offset %d at %d ns, which node %s never made durable",
					e.Node, e.Handle, e.Version, e.Offset, e.At, node)
			case at > e.At:
				out.invalid(nil, "node %s acknowledged a mutation of chunk %d version %d at offset %d at %d ns, which node %s made durable at %d ns",
					e.Node, e.Handle, e.Version, e.Offset, e.At, node, at)
			}
		}
	}
}
