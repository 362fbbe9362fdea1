package check

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"gfslab/master/meta/metapb"
	"gfslab/results/rundir"
)

// checkLeases holds the lease events of all chunkservers to the log and to each
// other.
func checkLeases(ctx context.Context, f *facts, out *findings) {
	if len(f.agreed().entries) == 0 {
		out.unknown("there is no log to hold the leases to")
		return
	}
	grants := loggedGrants(f, out)
	events := eventsByChunk(f.run)
	claims, accepts := 0, 0
	for _, handle := range slices.Sorted(maps.Keys(events)) {
		if ctx.Err() != nil {
			return
		}
		list := events[handle]
		terms := leaseTerms(f, list)
		claims += checkActing(f, grants, handle, terms, out)
		checkClaims(f, grants, handle, terms, out)
		accepts += checkAccepts(list, terms, out)
		checkDurableOnAll(grants, list, out)
		checkFencing(f, handle, list, out)
		checkReplicaOrder(handle, list, out)
	}
	checkEnds(f, events, out)
	checkWritable(f, out)
	checkAcknowledged(f, events, out)
	out.stat("grants", len(grants))
	out.stat("claims", claims)
	out.stat("mutations accepted", accepts)
	if len(grants) == 0 || claims == 0 {
		out.unknown("there was no lease to check: %d grants in the log, %d claimed", len(grants), claims)
	}
	if f.run.Manifest.Plan.Workload == workloadAppend && accepts == 0 {
		out.unknown("no chunkserver left a record of a mutation that it accepted as primary")
	}
}

// term names one lease.
type leaseID struct {
	handle, epoch uint64
}

// loggedGrants reads the grants from the log: versions rise with each, and no
// version is granted twice.
func loggedGrants(f *facts, out *findings) map[leaseID]granted {
	grants := map[leaseID]granted{}
	last := map[uint64]granted{}
	for _, e := range f.agreed().entries {
		for i := range e.lines {
			line := &e.lines[i]
			var cmd metapb.Command
			if proto.Unmarshal(line.Command, &cmd) != nil || cmd.GetGrantActive() == nil {
				continue
			}
			reply, err := decodeReply(line)
			if err != nil || reply.GetCode() != 0 {
				continue
			}
			op := cmd.GetGrantActive()
			g := granted{
				handle: op.GetHandle(), version: reply.GetVersion(), epoch: e.index, primary: op.GetPrimary(),
				at: position{e.index, line.Offset}, members: op.GetAcked(),
			}
			if before, has := last[g.handle]; has && g.version <= before.version {
				out.invalid(nil, "chunk %d is granted at version %d at index %d offset %d on node %s, after version %d at index %d",
					g.handle, g.version, g.at.index, g.at.offset, e.node, before.version, before.at.index)
			}
			last[g.handle] = g
			grants[leaseID{g.handle, g.epoch}] = g
		}
	}
	return grants
}

func eventsByChunk(run *rundir.Run) map[uint64][]*rundir.LeaseEvent {
	out := map[uint64][]*rundir.LeaseEvent{}
	for _, node := range slices.Sorted(maps.Keys(run.Leases)) {
		for i := range run.Leases[node] {
			e := &run.Leases[node][i]
			out[e.Handle] = append(out[e.Handle], e)
		}
	}
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b *rundir.LeaseEvent) int { return compareInt(a.At, b.At) })
	}
	return out
}

// leaseTerm is the time in which one node acted as primary of one lease.
type leaseTerm struct {
	node       string
	epoch      uint64
	version    uint64
	from, till int64
	stopped    int64 // -1: it did not stop by itself
	claims     []*rundir.LeaseEvent
}

// leaseTerms gathers a chunk's claims, by epoch. A lease ends when its last claim
// runs out, when the primary stops, or when its machine crashes. A claim after
// the stop begins another term of the same epoch: while the log has not ended a
// lease, a master may confirm it again.
func leaseTerms(f *facts, list []*rundir.LeaseEvent) []*leaseTerm {
	type key struct {
		node  string
		epoch uint64
	}
	byLease := map[key]*leaseTerm{}
	var terms []*leaseTerm
	for _, e := range list {
		k := key{e.Node, e.Epoch}
		t := byLease[k]
		switch {
		case e.Kind == rundir.LeaseClaim && (t == nil || t.stopped >= 0):
			t = &leaseTerm{node: e.Node, epoch: e.Epoch, version: e.Version, from: e.At, stopped: -1}
			byLease[k] = t
			terms = append(terms, t)
			fallthrough
		case e.Kind == rundir.LeaseClaim:
			t.till = max(t.till, e.Until)
			t.claims = append(t.claims, e)
		case e.Kind == rundir.LeaseStop && t != nil && t.stopped < 0:
			t.stopped = e.At
		}
	}
	for _, t := range terms {
		if t.stopped >= 0 {
			t.till = min(t.till, t.stopped)
		}
		for _, fault := range f.run.Faults {
			if fault.Node == t.node && strings.HasPrefix(fault.Name, "crash") && fault.Inject >= t.from {
				t.till = min(t.till, fault.Inject)
			}
		}
	}
	slices.SortStableFunc(terms, func(a, b *leaseTerm) int { return cmp.Compare(a.epoch, b.epoch) })
	return terms
}

// checkActing holds every claim to a grant in the log, and where the masters wait
// for leases to run out, those of a chunk apart in time. (Where they do not, versions
// fence the old primary: checkFencing holds the run to that.) It returns the number
// of claims.
func checkActing(f *facts, grants map[leaseID]granted, handle uint64, terms []*leaseTerm, out *findings) int {
	n := 0
	for i, t := range terms {
		n += len(t.claims)
		g, logged := grants[leaseID{handle, t.epoch}]
		switch {
		case !logged:
			out.invalid(nil, "node %s claimed a lease on chunk %d with epoch %d at %d ns; the log grants none at that index", t.node, handle, t.epoch, t.from)
		case g.primary != t.node || g.version != t.version:
			out.invalid(nil, "node %s claimed a lease on chunk %d version %d at %d ns; index %d offset %d grants version %d to %s",
				t.node, handle, t.version, t.from, g.at.index, g.at.offset, g.version, g.primary)
		}
		for _, before := range terms[:i] {
			if !f.run.Manifest.Plan.Fencing && before.epoch != t.epoch && t.from < before.till {
				out.invalid(nil, "two primaries of chunk %d: node %s acts from %d ns under version %d (index %d), and node %s until %d ns under version %d (index %d)",
					handle, t.node, t.from, t.version, t.epoch, before.node, before.till, before.version, before.epoch)
			}
		}
	}
	return n
}

// checkAccepts holds every mutation that a primary acknowledged to a lease that
// was live then. It returns their number.
func checkAccepts(list []*rundir.LeaseEvent, terms []*leaseTerm, out *findings) int {
	n := 0
	for _, e := range list {
		if e.Kind != rundir.LeaseAccept {
			continue
		}
		n++
		own := func(t *leaseTerm) bool { return t.node == e.Node && t.epoch == e.Epoch }
		i := slices.IndexFunc(terms, own)
		for j := i + 1; i >= 0 && j < len(terms); j++ { // in order of time within an epoch
			if own(terms[j]) && terms[j].from <= e.At {
				i = j
			}
		}
		if i < 0 {
			out.invalid(nil, "node %s accepted a mutation of chunk %d version %d at offset %d without ever claiming the lease of index %d", e.Node, e.Handle, e.Version, e.Offset, e.Epoch)
			continue
		}
		t, until := terms[i], int64(-1)
		for _, c := range t.claims {
			if c.At <= e.At {
				until = max(until, c.Until)
			}
		}
		switch {
		case e.At > until:
			out.invalid(nil, "node %s accepted a mutation of chunk %d version %d at offset %d at %d ns; its lease of index %d ended at %d ns",
				e.Node, e.Handle, e.Version, e.Offset, e.At, e.Epoch, until)
		case t.stopped >= 0 && e.At > t.stopped:
			out.invalid(nil, "node %s accepted a mutation of chunk %d version %d at offset %d at %d ns, after it had stopped acting at %d ns",
				e.Node, e.Handle, e.Version, e.Offset, e.At, t.stopped)
		}
	}
	return n
}
