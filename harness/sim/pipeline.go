package sim

import (
	"errors"
	"slices"

	"gfslab/consensus"
	"gfslab/consensus/batch"
	"gfslab/consensus/engine"
)

// pipeline is what batch.Proposer is in the product: the commands that wait at a
// node, and the batches of them that are under way. (The product's own parks
// a goroutine for each caller.)
type pipeline struct {
	nonce, seq uint64
	queue      []*call
	open       map[uint64]*flight
	held       *flight // cut, but the core was busy
}

// flight is a batch that was cut and whose outcome is open.
type flight struct {
	seq   uint64
	data  []byte
	calls []*call
}

// propose cuts the queue into entries while there is room.
func (n *node) propose() {
	p := &n.pipe
	if p.held == nil && len(p.queue) == 0 {
		return
	}
	if !n.leads() {
		n.lostQueue()
		return
	}
	for n.sched.Accepts(p.inFlight()) {
		f := p.held
		if p.held = nil; f == nil {
			if f = n.cut(); f == nil {
				return
			}
		}
		switch err := n.sched.Propose(f.data); {
		case errors.Is(err, engine.ErrBusy):
			p.held = f
			return
		case err != nil:
			delete(p.open, f.seq)
			n.refuse(f.calls)
		default:
			n.w.report.Proposals++
		}
		n.run()
	}
}

// inFlight is the number of batches handed to the core whose outcome is open.
func (p *pipeline) inFlight() int {
	if p.held != nil {
		return len(p.open) - 1
	}
	return len(p.open)
}

// cut packs waiting commands into one batch, nil if there are none.
func (n *node) cut() *flight {
	p, l := &n.pipe, &n.config.Limits
	f := &flight{}
	var commands [][]byte
	bytes := 0
	for len(p.queue) > 0 && len(commands) < l.BatchEntries {
		c := p.queue[0]
		if c.generation != c.client.generation { // withdrawn: its caller has left
			p.queue = p.queue[1:]
			continue
		}
		if len(commands) > 0 && bytes+len(c.command) > l.BatchBytes {
			break
		}
		bytes += len(c.command)
		commands = append(commands, c.command)
		f.calls = append(f.calls, c)
		p.queue = p.queue[1:]
	}
	if len(commands) == 0 {
		return nil
	}
	p.seq++
	f.seq = p.seq
	f.data = batch.Append(nil, batch.Origin{Node: uint64(n.id), Nonce: p.nonce, Seq: p.seq}, commands)
	p.open[f.seq] = f
	n.w.judge.proposed(f.data)
	return f
}

// complete answers the callers of an entry that was proposed in this life.
func (n *node) complete(index uint64, d *batch.Decoded, replies [][]byte) {
	if d.Origin.Node != uint64(n.id) || d.Origin.Nonce != n.pipe.nonce {
		return
	}
	f := n.pipe.open[d.Origin.Seq]
	if f == nil {
		return
	}
	delete(n.pipe.open, f.seq)
	for i, c := range f.calls {
		n.w.answer(n, c, answer{outcome: consensus.OK, index: index, value: replies[i]})
	}
}

// lostLead ends all callers: what has left the queue may still take effect.
func (n *node) lostLead() {
	n.lostQueue()
	n.failInFlight()
	n.failReads()
}

// failInFlight ends the callers whose command left the queue: it may still take
// effect.
func (n *node) failInFlight() {
	p := &n.pipe
	for seq := uint64(1); seq <= p.seq && len(p.open) > 0; seq++ {
		if f := p.open[seq]; f != nil && f != p.held {
			delete(p.open, seq)
			for _, c := range f.calls {
				n.w.answer(n, c, answer{outcome: consensus.Unknown})
			}
		}
	}
}

// lostQueue ends the callers whose command was surely not proposed.
func (n *node) lostQueue() {
	p := &n.pipe
	if p.held != nil {
		delete(p.open, p.held.seq)
		n.refuse(p.held.calls)
		p.held = nil
	}
	n.refuse(p.queue)
	p.queue = nil
}

func (n *node) refuse(calls []*call) {
	for _, c := range calls {
		n.w.answer(n, c, answer{outcome: consensus.Fail, hint: int(n.sched.Status().Leader)})
	}
}

// readers are the reads at a node: those that wait for a round, and those of the
// rounds under way.
type readers struct {
	waiting []*call
	rounds  []readRound
	stale   []*call // of stale reads that wait for an index
}

type readRound struct {
	round uint64
	calls []*call
}

// startReads moves new readers into a round when none is being confirmed.
func (n *node) startReads() {
	rs := &n.readers
	if len(rs.waiting) == 0 {
		return
	}
	if !n.leads() {
		n.refuse(rs.waiting)
		rs.waiting = nil
		return
	}
	if round, ok := n.sched.BeginRead(); ok {
		rs.rounds = append(rs.rounds, readRound{round, rs.waiting})
		rs.waiting = nil
		n.run()
	}
}

// answerReads answers the readers of all rounds up to round.
func (n *node) answerReads(round uint64) {
	rs := &n.readers
	for len(rs.rounds) > 0 && rs.rounds[0].round <= round {
		for _, c := range rs.rounds[0].calls {
			n.w.judge.read(n, c)
			n.w.answer(n, c, answer{outcome: consensus.OK, index: n.applier.applied})
		}
		rs.rounds = rs.rounds[1:]
	}
}

func (n *node) failReads() {
	rs := &n.readers
	for _, r := range rs.rounds {
		n.refuse(r.calls)
	}
	n.refuse(rs.waiting)
	*rs = readers{stale: rs.stale}
}

// answerStale answers the stale reads whose index is reached.
func (n *node) answerStale() {
	rs := &n.readers
	rs.stale = slices.DeleteFunc(rs.stale, func(c *call) bool {
		if c.floor > n.applier.applied {
			return false
		}
		n.w.judge.read(n, c)
		n.w.answer(n, c, answer{outcome: consensus.OK, index: n.applier.applied})
		return true
	})
}
