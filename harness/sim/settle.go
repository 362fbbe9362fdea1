package sim

import (
	"fmt"
	"strings"

	"gfslab/consensus/engine"
)

// settle ends all faults and demands progress: one leader, fresh operations
// acknowledged, fresh reads served, and every node at the same index. It returns
// why that did not come about in time.
func (w *world) settle() string {
	w.settling = true
	w.swarm.calm()
	w.net.heal()
	for _, n := range w.nodes {
		n.paused, n.stalled = 0, 0
		if !n.up {
			n.start()
		}
	}
	// Of ten operations so many are reads; none in some schedules that were shrunk.
	acked, reads := w.report.Acknowledged+10, w.report.Reads+int(10*w.swarm.ReadShare)
	healed := w.ticks
	limit := healed + 2000 + 100*w.swarm.Limits.ElectionTicks + int(w.judge.appliedMax())/2
	for w.ticks < limit {
		for at := w.ticks; w.ticks == at; {
			w.step()
		}
		if w.report.Acknowledged >= acked && w.report.Reads >= reads && w.quiet() {
			w.judge.doubt()
			return ""
		}
	}
	var why strings.Builder
	fmt.Fprintf(&why, "%d ticks after the heal: %d operations, %d reads in all", w.ticks-healed, w.report.Acknowledged+10-acked, w.report.Reads)
	for _, n := range w.nodes {
		fmt.Fprintf(&why, "; %v", n)
	}
	return why.String()
}

// quiet reports whether all members follow one leader and none is far behind.
func (w *world) quiet() bool {
	members := w.judge.newest()
	var first engine.CoreStatus
	for _, n := range w.nodes {
		if !members.IsMember(n.id) {
			continue // it may have missed that it was removed
		}
		st := n.sched.Status()
		if first.Leader == 0 {
			first = st
		}
		if st.Term != first.Term || st.Leader == 0 || st.Leader != first.Leader {
			return false
		}
		if n.applier.applied+uint64(8*w.swarm.Limits.Window+64) < w.judge.appliedMax() {
			return false
		}
	}
	return true
}
