package sim

import (
	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// turn does what the engine's loop does when it wakes, in its order.
func (n *node) turn() {
	n.awake = false
	if n.w.now < n.paused {
		n.poke()
		return
	}
	in := n.in
	n.in = input{frames: n.taken[:0]}
	n.sched.SetTime(n.clock())
	if in.wrote {
		n.sched.Wrote(&n.fx)
	}
	for i, f := range in.frames {
		in.frames[i].data = nil // it belongs to the core now
		if err := n.sched.Step(consensus.NodeID(f.from+1), f.data); err != nil {
			n.w.report.BadMessages++
			n.w.say("node %d refuses a message of node %d: %v", n.number(), f.from+1, err)
		}
	}
	n.taken = in.frames
	if in.ticked {
		n.sched.Tick()
	}
	if in.applied != 0 {
		n.sched.Applied(in.applied)
	}
	for _, do := range in.rare {
		do()
	}
	n.run()
	n.startReads()
	n.propose()
	if f, ok := n.core.(engine.Failer); ok && f.Err() != nil {
		n.w.fail("log-readable", "node %d: %v", n.number(), f.Err())
	}
}

// run lets the scheduler decide and carries out the effects, in their order.
func (n *node) run() {
	n.sched.Run(&n.fx)
	w := n.w
	if n.fx.LostLead {
		n.lostLead()
	}
	for i := range n.fx.Events {
		w.judge.event(n, &n.fx.Events[i])
	}
	for _, m := range n.fx.Send {
		w.net.send(n, m)
	}
	if n.fx.Write != nil {
		n.write(n.fx.Write)
	}
	n.takeApplies()
	n.takeFiles()
	if e := n.fx.Changed; e != nil && e.Err == nil {
		w.report.Changes++
	}
	if e := n.fx.Transferred; e != nil && e.Err == nil {
		w.report.Transfers++
	}
	for _, round := range n.fx.ReadsDone {
		n.answerReads(round)
	}
	n.fx.Reset()
}
