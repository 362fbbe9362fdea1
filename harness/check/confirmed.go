package check

import (
	"slices"

	"gfslab/results/rundir"
)

// deadAfter is the silence after which a chunkserver counts as dead where the plan
// does not say, and onItsWay how long a heartbeat may have been under way.
const (
	deadAfter = int64(3e9)
	onItsWay  = int64(100e6)
)

// replicasAt is what is known of each replica of a chunk at a time.
func replicasAt(list []*rundir.LeaseEvent, at int64) map[string]*held {
	out := map[string]*held{}
	for _, e := range list { // in order of time
		if e.At > at {
			break
		}
		if out[e.Node] == nil {
			out[e.Node] = &held{}
		}
		out[e.Node].follow(e)
	}
	return out
}

// judgeRemoval holds the order to remove a replica to what a leader may know then:
// where it is no member, as many members as the goal says have good bytes of the
// version and may have been heard; a corrupt one wants one other. A leader that has
// not heard of what is in the log since does not know that.
func judgeRemoval(f *facts, e *rundir.ReplicaEvent, m *moment, list []*rundir.LeaseEvent, out *findings) {
	if len(m.members) == 0 {
		return
	}
	at := replicasAt(list, e.At)
	var confirmed []string
	for _, node := range m.members {
		x := at[node]
		if node != e.Server && x != nil && x.there && !x.corrupt && x.version >= m.version && !silent(f, node, e.At) {
			confirmed = append(confirmed, node)
		}
	}
	need := goalOf(f.run.Manifest.Plan, m.goal)
	if x := at[e.Server]; x != nil && x.corrupt {
		need = 1
	}
	out.stat("removals ordered", 1)
	if len(confirmed) < need {
		out.invalid(nil, "node %s had %s remove its replica of chunk %d at %d ns, when %v of %v could be known to have version %d, and %d had to (index %d offset %d)",
			e.Node, e.Server, e.Handle, e.At, confirmed, m.members, m.version, need, m.at.index, m.at.offset)
	}
}

// silent reports whether a chunkserver cannot have been heard by any master for so
// long that it counts as dead.
func silent(f *facts, node string, at int64) bool {
	since := at - deadAfterOf(f) - onItsWay
	return slices.ContainsFunc(f.run.Faults, func(x rundir.Fault) bool {
		hit := x.Node == node || slices.Contains(x.Nodes, node)
		return hit && silences(x.Name) && x.InForce > 0 && x.InForce < since && (x.Heal < 0 || x.Heal > at)
	})
}

// silences reports whether no master hears the victim of a fault.
func silences(fault string) bool {
	switch fault {
	case "crash-chunkserver", "crash-two-chunkservers", "crash-primary", "stop-chunkserver", "isolate-chunkserver", "power-loss":
		return true
	}
	return false
}

// checkSources holds every clone to where it came from: a chunkserver cannot have
// given a version that it never had. (Runs of old name addresses there: these say
// nothing.)
func checkSources(f *facts, handle uint64, list []*rundir.LeaseEvent, out *findings) {
	replicas := map[string]*held{}
	for _, e := range list { // in order of time
		if _, named := f.run.Leases[e.Source]; named && e.Kind == rundir.LeaseClone {
			out.stat("clones", 1)
			had := uint64(0)
			if x := replicas[e.Source]; x != nil {
				had = x.version
			}
			if had < e.Version {
				out.invalid(nil, "node %s took a clone of chunk %d for version %d at %d ns, and node %s, where it came from, had version %d",
					e.Node, handle, e.Version, e.At, e.Source, had)
			}
		}
		if replicas[e.Node] == nil {
			replicas[e.Node] = &held{}
		}
		replicas[e.Node].follow(e)
	}
}
