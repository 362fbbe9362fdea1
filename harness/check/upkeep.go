package check

import (
	"maps"
	"slices"

	"gfslab/results/rundir"
)

// checkUpkeep holds what masters do about replicas to what a leader may: nothing
// before it is warm, nothing in a term that another one leads, and no removal of a
// replica that is current by the log.
func checkUpkeep(f *facts, events map[uint64][]*rundir.LeaseEvent, out *findings) {
	leads := map[uint64]*rundir.ReplicaEvent{}
	for _, node := range slices.Sorted(maps.Keys(f.run.Replicas)) {
		warm := map[uint64]bool{}
		list := f.run.Replicas[node]
		for i := range list {
			e := &list[i]
			if e.Kind == rundir.ReplicaCorrupt || e.Kind == rundir.ReplicaRemoved {
				continue // every master hears of it, whoever leads
			}
			if first := leads[e.Term]; first == nil {
				leads[e.Term] = e
			} else if first.Node != node {
				out.invalid(nil, "node %s works on replicas as leader of term %d (%s at %d ns), and so does node %s (%s at %d ns)",
					node, e.Term, e.Kind, e.At, first.Node, first.Kind, first.At)
			}
			switch e.Kind {
			case rundir.ReplicaWarm:
				warm[e.Term] = true
			case rundir.ReplicaClone, rundir.ReplicaCloned, rundir.ReplicaDropped, rundir.ReplicaRemove:
				out.stat("works on replicas", 1)
				if !warm[e.Term] {
					out.invalid(nil, "node %s did not know the replicas yet in term %d, and had that of chunk %d on %s treated (%s) at %d ns",
						node, e.Term, e.Handle, e.Server, e.Kind, e.At)
				}
				judgeWork(f, e, events[e.Handle], out)
			}
		}
	}
}

// judgeWork holds one event to the log as it was then.
func judgeWork(f *facts, e *rundir.ReplicaEvent, list []*rundir.LeaseEvent, out *findings) {
	m := f.momentAt(e.Handle, e.At)
	if m == nil || m.refs == 0 {
		return
	}
	current := slices.Contains(m.members, e.Server)
	switch {
	case e.Kind == rundir.ReplicaRemove && current:
		out.invalid(nil, "node %s had %s remove its replica of chunk %d at %d ns, a current one by the log (index %d offset %d: version %d on %v)",
			e.Node, e.Server, e.Handle, e.At, m.at.index, m.at.offset, m.version, m.members)
	case e.Kind == rundir.ReplicaRemove:
		judgeRemoval(f, e, m, list, out)
	case e.Kind == rundir.ReplicaClone && current:
		out.invalid(nil, "node %s had chunk %d cloned to %s at %d ns, which is a current replica of it (index %d offset %d)",
			e.Node, e.Handle, e.Server, e.At, m.at.index, m.at.offset)
	}
}
