package engine

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"gfslab/consensus"
	"gfslab/consensus/batch"
)

// loop feeds the scheduler and carries out its effects. It never waits for the
// disk, the network or the state machine.
func (r *Replica) loop(ticker func(time.Duration) (<-chan time.Time, func())) {
	ticks, stopTicks := ticker(r.cfg.Limits.Tick)
	defer stopTicks()
	defer close(r.writes)
	for {
		ticked := false
		select {
		case <-r.stop:
			r.end(consensus.ErrClosed)
			return
		case <-r.inbox.wake:
		case <-ticks:
			ticked = true
		}
		r.in.reset()
		r.inbox.take(&r.in)
		if !r.dead {
			r.turn(ticked)
		}
		if r.dead {
			r.refuse()
		}
	}
}

// turn handles what has come in, then cuts batches while there is room.
func (r *Replica) turn(ticked bool) {
	r.fx.Reset()
	r.sched.SetTime(time.Since(r.opened))
	if r.in.wrote {
		if r.in.writeErr != nil {
			r.die(r.in.writeErr)
			return
		}
		r.sched.Wrote(&r.fx)
	}
	for _, f := range r.in.frames {
		if err := r.sched.Step(f.from, f.data); err != nil {
			r.badFrames.Add(1)
			r.warn("engine: dropped a message", err)
		}
	}
	if ticked {
		r.sched.Tick()
	}
	if r.in.applied != 0 {
		r.sched.Applied(r.in.applied)
		r.stale.applied(r.in.applied)
	}
	for i, rare := range r.in.rare {
		r.in.rare[i].drop = nil // refuse must not drop it again
		if rare.do(); r.dead {
			return
		}
	}
	r.run()
	r.startReads()
	r.propose()
	if f, ok := r.core.(Failer); ok && f.Err() != nil {
		r.die(f.Err())
	}
}

// run lets the scheduler decide and carries out the effects.
func (r *Replica) run() {
	r.sched.Run(&r.fx)
	r.publish()
	if r.fx.LostLead {
		r.lostLead(r.notLeader())
	}
	for _, e := range r.fx.Events {
		r.count(e.Kind)
		r.cfg.Observe(e)
	}
	r.send()
	if r.fx.Write != nil {
		r.writes <- r.fx.Write // has room: one write is out at a time
	}
	if err := r.apply(); err != nil {
		r.die(err)
		return
	}
	r.transferFiles()
	r.answer()
	if n := len(r.fx.ReadsDone); n > 0 {
		r.readers.done(r.fx.ReadsDone[n-1], r.applier.applied.Load())
	}
	r.fx.Reset()
}

// apply queues what concerns the state machine, all at once: the applier may be
// beyond the index of a capture that comes later.
func (r *Replica) apply() error {
	if r.fx.Restore == nil && r.fx.Capture == 0 {
		if len(r.fx.Apply) > 0 {
			r.applier.push(r.fx.Apply)
		}
		return nil
	}
	var orders []order
	if meta := r.fx.Restore; meta != nil {
		file, err := r.restore(meta)
		if err != nil {
			return err
		}
		orders = append(orders, order{at: meta.Index, restore: file})
	}
	if at := r.fx.Capture; at != 0 {
		orders = append(orders, order{at: at})
	}
	r.applier.push(r.fx.Apply, orders...)
	return nil
}

// send hands messages to the transport, which encodes them at once.
func (r *Replica) send() {
	if r.transport == nil {
		return
	}
	if r.fx.Peers != nil {
		if err := r.transport.SetPeers(r.fx.Peers, r.fx.Highest); err != nil {
			r.warn("engine: not all members can be reached", err)
		}
	}
	for _, m := range r.fx.Send {
		r.sending = m.Body
		r.transport.Send(m.To, FrameSize(m.Body), r.frame)
	}
	r.sent += uint64(len(r.fx.Send))
	r.sending = nil
}

// propose cuts the queue into entries. It first lets the callers run that are
// ready to add to the queue: it was woken by the first of them, and a batch of
// one would make the others wait for a whole round.
func (r *Replica) propose() {
	if r.held.Data == nil && r.proposer.Waiting() == 0 {
		return
	}
	if r.sched.Status().Role != consensus.Leader {
		r.lostQueue(r.notLeader())
		return
	}
	if !r.sched.Accepts(r.inFlight()) {
		return
	}
	runtime.Gosched()
	for r.sched.Accepts(r.inFlight()) {
		b := r.held
		if r.held = (batch.Batch{}); b.Data == nil {
			var ok bool
			if b, ok = r.proposer.Cut(); !ok {
				return
			}
		}
		if err := r.sched.Propose(b.Data); err != nil {
			if errors.Is(err, ErrBusy) {
				r.held = b
				return
			}
			r.proposer.Fail(b.Seq, r.notLeader())
		}
		r.run()
	}
}

// inFlight is the number of batches that the core has taken and whose outcome is
// open. The one that it was too busy to take is none of them: with a window of
// one it would wait for itself.
func (r *Replica) inFlight() int {
	n := r.proposer.InFlight()
	if r.held.Data != nil {
		n--
	}
	return n
}

// startReads moves new readers into a round when none is being confirmed.
func (r *Replica) startReads() {
	r.readers.waiting = append(r.readers.waiting, r.in.readers...)
	r.in.readers = clearSlice(r.in.readers) // should the core fail in this turn, refuse must not answer them again
	if len(r.readers.waiting) == 0 {
		return
	}
	if r.sched.Status().Role != consensus.Leader {
		r.readers.fail(r.notLeader())
		return
	}
	if round, ok := r.sched.BeginRead(); ok {
		r.readers.begin(round)
		r.rounds.Add(1)
		sent := r.sent
		r.run()
		r.readMessages.Add(r.sent - sent)
	}
}

// lostLead ends all callers: what has left the queue may still take effect.
func (r *Replica) lostLead(notLeader error) {
	r.lostQueue(notLeader)
	r.proposer.FailInFlight(consensus.ErrUnknown)
	r.readers.fail(notLeader)
}

// lostQueue ends the callers whose command was surely not proposed.
func (r *Replica) lostQueue(notLeader error) {
	if r.held.Data != nil {
		r.proposer.Fail(r.held.Seq, notLeader)
		r.held = batch.Batch{}
	}
	r.proposer.FailQueued(notLeader)
}

// publish shows the scheduler's status to other goroutines.
func (r *Replica) publish() {
	s := r.sched.Status()
	r.leading.Store(s.Role == consensus.Leader)
	r.hint.Store(uint64(s.Leader))
	r.mu.Lock()
	r.status = s
	r.snapshot, r.first = r.sched.Snapshot().Index, r.sched.Compacted()+1
	if at := r.sched.Members(); at.Index != r.members.Index || r.members.MaxID == 0 {
		r.members = at
	}
	r.mu.Unlock()
}

// die stops the replica from speaking: its log has failed, so it can no longer
// stand by what it says. It stays silent until it is closed and opened anew.
func (r *Replica) die(err error) {
	r.dead = true
	r.leading.Store(false)
	r.hint.Store(0)
	r.mu.Lock()
	r.failed = err
	r.status.Role, r.status.Leader = consensus.Follower, 0
	r.mu.Unlock()
	r.cfg.Logger.Error("engine: the replica cannot go on and falls silent", "node", uint64(r.cfg.Self), "error", err)
	r.lostLead(r.notLeader())
	r.dismiss(fmt.Errorf("engine: the replica has fallen silent: %w", err))
}

// refuse sends away those that came while or after the replica died.
func (r *Replica) refuse() {
	r.readers.waiting = append(r.readers.waiting, r.in.readers...)
	r.readers.fail(r.notLeader())
	r.proposer.FailQueued(r.notLeader())
	r.dropRare(r.Err())
}

func (r *Replica) dropRare(reason error) {
	for _, rare := range r.in.rare {
		if rare.drop != nil {
			rare.drop(reason)
		}
	}
	r.in.rare = clearSlice(r.in.rare)
}

// end finishes every caller when the replica closes.
func (r *Replica) end(err error) {
	r.leading.Store(false)
	r.in.reset()
	r.inbox.take(&r.in)
	r.readers.waiting = append(r.readers.waiting, r.in.readers...)
	r.readers.fail(err)
	r.dropRare(err)
	r.dismiss(err)
	if r.held.Data != nil {
		r.proposer.Fail(r.held.Seq, err)
	}
	r.proposer.Close()
}
