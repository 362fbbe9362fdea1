package sim

import (
	"gfslab/consensus/batch"
	"gfslab/consensus/storage"
)

// applier is the state machine's own thread: entries, and what is done between
// two of them.
type applier struct {
	queue   []storage.Entry
	orders  []order
	working bool // an application is scheduled
	applied uint64
	stamp   uint64 // of the last entry applied
}

// order is what is done after all entries through at, before any above it.
type order struct {
	at      uint64
	restore *storage.SnapshotFile // nil: capture
}

// takeApplies queues what concerns the state machine.
func (n *node) takeApplies() {
	a := &n.applier
	if meta := n.fx.Restore; meta != nil {
		// Of what was proposed here, all through the snapshot's index may be in it.
		n.failInFlight()
		file := n.files.fetched
		if file == nil || file.Info.Index != meta.Index || file.Info.Stamp != meta.Stamp {
			n.w.fail("install", "node %d installs a snapshot through %d that was not fetched", n.number(), meta.Index)
		}
		n.files.fetched = nil
		a.orders = append(a.orders, order{at: meta.Index, restore: file})
	}
	if at := n.fx.Capture; at != 0 {
		a.orders = append(a.orders, order{at: at})
	}
	a.queue = append(a.queue, n.fx.Apply...)
	n.work()
}

// work schedules the state machine.
func (n *node) work() {
	a := &n.applier
	if !a.working && len(a.queue)+len(a.orders) > 0 {
		a.working = true
		n.after(n.w.swarm.Apply.draw(&n.rng), evApply)
	}
}

// stretch is how many entries are applied before the loop hears of it.
const stretch = 64

// apply executes a stretch of entries, and the orders that are due before it.
func (n *node) apply() {
	a := &n.applier
	a.working = false
	if n.w.now < n.paused {
		n.work()
		return
	}
	for len(a.orders) > 0 && (len(a.queue) == 0 || a.queue[0].Index > a.orders[0].at) {
		o := a.orders[0]
		a.orders = a.orders[1:]
		n.carryOut(o)
	}
	done := 0
	for done < len(a.queue) && done < stretch && (len(a.orders) == 0 || a.queue[done].Index <= a.orders[0].at) {
		n.applyOne(&a.queue[done])
		done++
	}
	if done > 0 {
		n.in.applied = a.applied
		rest := copy(a.queue, a.queue[done:])
		clear(a.queue[rest:])
		a.queue = a.queue[:rest]
		n.poke()
	}
	n.work()
}

func (n *node) applyOne(e *storage.Entry) {
	var replies [][]byte
	n.decoded.Commands = n.decoded.Commands[:0]
	if !ownEntry(e) {
		if err := batch.Decode(e.Data, &n.decoded); err != nil {
			n.w.fail("validity", "node %d: committed entry %d: %v", n.number(), e.Index, err)
		}
		if len(n.decoded.Commands) > 0 { // else a round of reads
			replies = n.machine.Apply(e.Index, n.decoded.Commands)
		}
	}
	n.w.judge.applied(n, e, replies)
	n.applier.applied, n.applier.stamp = e.Index, e.Stamp
	if len(replies) > 0 {
		n.complete(e.Index, &n.decoded, replies)
	}
	n.answerStale()
}

// carryOut captures the state, or replaces it by a fetched snapshot's.
func (n *node) carryOut(o order) {
	a := &n.applier
	if o.restore == nil {
		n.capture()
		return
	}
	meta := o.restore.Info.SnapshotMeta
	body, err := o.restore.Body()
	if err == nil {
		err = n.machine.Restore(body)
	}
	if err != nil {
		n.w.fail("install", "node %d restores the snapshot through %d: %v", n.number(), meta.Index, err)
	}
	if meta.Index <= a.applied {
		n.w.fail("install", "node %d goes back from %d to the snapshot through %d", n.number(), a.applied, meta.Index)
	}
	a.applied, a.stamp = meta.Index, meta.Stamp
	n.w.judge.restored(n, meta)
	n.w.report.Installs++
	n.in.applied = meta.Index
	n.poke()
	n.answerStale()
}
