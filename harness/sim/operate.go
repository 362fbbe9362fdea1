package sim

import (
	"slices"

	"gfslab/consensus"
)

// maxNewcomers bounds the nodes that join a cluster.
const maxNewcomers = 5

// drawOperations draws what operators do in one tick.
func (w *world) drawOperations() {
	r, s := &w.faultRng, &w.swarm
	if r.chance(s.Snapshot) {
		w.inject(Fault{Kind: FaultSnapshot, Node: 1 + r.intn(len(w.nodes))})
	}
	if r.chance(s.Transfer) {
		w.inject(Fault{Kind: FaultTransfer, Node: r.intn(len(w.nodes) + 1)}) // 0 is whoever is best
	}
	if r.chance(s.Change) {
		w.inject(w.drawChange())
	}
}

// drawChange keeps the cluster at about the size that it had.
func (w *world) drawChange() Fault {
	r, m := &w.faultRng, w.judge.newest()
	member := func(of []consensus.Peer) int { return int(of[r.intn(len(of))].ID) }
	roomy := len(w.nodes) < w.swarm.Nodes+maxNewcomers
	// Of two voters one that leaves may be needed for ever, see docs/simulation.md.
	fragile := w.backend == EtcdRaft && len(m.Voters) < 3
	switch {
	case len(m.Learners) > 0 && r.intn(2) == 0:
		return Fault{Kind: FaultChange, Change: pick(r, "promote", "promote", "remove"), Node: member(m.Learners)}
	case roomy && len(m.Voters) <= w.swarm.Nodes && r.intn(2) == 0:
		return Fault{Kind: FaultChange, Change: pick(r, "add", "learn")}
	case roomy && !fragile && r.intn(2) == 0:
		return Fault{Kind: FaultChange, Change: "replace", Node: member(m.Voters)}
	}
	least := max(3, w.swarm.Nodes-1)
	if w.backend == EtcdRaft {
		least = max(4, least)
	}
	if len(m.Voters) < least {
		return Fault{Kind: FaultChange, Change: "learn"}
	}
	return Fault{Kind: FaultChange, Change: "remove", Node: member(m.Voters)}
}

// operate asks the node that it concerns, or the leader, for something. It
// reports whether there was anybody to ask.
func (w *world) operate(f *Fault, n *node) bool {
	if f.Kind == FaultSnapshot {
		if n == nil || !n.up {
			return false
		}
		n.later(func() { n.sched.RequestSnapshot() })
		return true
	}
	at := slices.IndexFunc(w.nodes, (*node).leads)
	if at < 0 {
		return false
	}
	leader := w.nodes[at]
	if f.Kind == FaultTransfer {
		to := consensus.NodeID(f.Node)
		leader.later(func() { w.heard(leader, "transfer", leader.sched.Transfer(to)) })
		return true
	}
	c, ok := w.change(f, leader)
	if ok {
		leader.later(func() { w.heard(leader, "change", leader.sched.ProposeChange(c)) })
	}
	return ok
}

// heard is what becomes of an operator's request at once.
func (w *world) heard(n *node, what string, err error) {
	w.say("node %d: %s: %v", n.number(), what, err)
	w.note('o', uint64(n.index), uint64(what[0]))
}

// change starts the newcomer of a change, if it has one.
func (w *world) change(f *Fault, leader *node) (c consensus.Change, ok bool) {
	switch f.Change {
	case "remove", "replace":
		c.Remove = []consensus.NodeID{consensus.NodeID(f.Node)}
	case "promote":
		c.AddVoters = []consensus.Peer{peerOf(f.Node - 1)}
	}
	if f.Change == "add" || f.Change == "learn" || f.Change == "replace" {
		if len(w.nodes) >= w.swarm.Nodes+maxNewcomers {
			return c, false
		}
		p := peerOf(len(w.nodes))
		n := newNode(w, len(w.nodes))
		n.config.Join = true
		n.config.Peers = append(slices.Clone(leader.sched.Peers()), p)
		w.nodes = append(w.nodes, n)
		n.start()
		if f.Change == "learn" {
			c.AddLearners = []consensus.Peer{p}
		} else {
			c.AddVoters = []consensus.Peer{p}
		}
	}
	return c, true
}
