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
	healed, applied := w.ticks, w.judge.appliedMax()
	limit := healed + 2000 + 100*w.swarm.Limits.ElectionTicks + int(w.judge.appliedMax())/2
	for w.ticks < limit {
		for at := w.ticks; w.ticks == at; {
			w.step()
		}
		if w.report.Acknowledged >= acked && w.report.Reads >= reads && w.quiet(applied) {
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
func (w *world) quiet(healed uint64) bool {
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
		// A leader that chooses alone waits for nobody: followers may fall behind as long
		// as there is load, but not stand still.
		near := n.applier.applied+uint64(8*w.swarm.Limits.Window+64) >= w.judge.appliedMax()
		if n.applier.applied < healed || !near && w.swarm.Limits.Phase2Quorum != 1 {
			return false
		}
	}
	return true
}
