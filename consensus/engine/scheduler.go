package engine

import (
	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// SchedulerOptions are what a Scheduler needs.
type SchedulerOptions struct {
	Node consensus.NodeID
	Core Core
	// FirstRead is where the ids of reads begin; no two incarnations of a node
	// should share ids.
	FirstRead uint64
	// Window bounds the batches in flight.
	Window int
	// ReadRetryTicks is after how many ticks an unanswered read is asked again.
	ReadRetryTicks int
}

// Effects are what the shell must do, in the order of the fields. They are
// added to by Run and emptied by Reset.
type Effects struct {
	// LostLead: every proposal handed to Propose and not yet applied has an
	// unknown outcome, those not yet handed over are surely not done, and all
	// readers must be told to go elsewhere.
	LostLead bool
	Events   []consensus.Event
	// Send leaves at once.
	Send []Message
	// Write, if not nil, must be committed to the log, then Wrote be called. At
	// most one write is out at a time; the batch must not be kept after Wrote.
	Write *storage.Batch
	// Apply goes to the state machine in order; then call Applied.
	Apply []storage.Entry
	// ReadsDone are rounds (see BeginRead) whose readers may be answered.
	ReadsDone []uint64
}

// Reset empties the effects and keeps their memory.
func (fx *Effects) Reset() {
	fx.LostLead, fx.Write = false, nil
	fx.Events, fx.ReadsDone = fx.Events[:0], fx.ReadsDone[:0]
	fx.Send, fx.Apply = clearSlice(fx.Send), clearSlice(fx.Apply)
}

// Scheduler decides the order of a replica's writes, messages, applications
// and answers. It is pure: no clock, goroutine or I/O. After one or more events
// the caller calls Run and carries out the effects.
type Scheduler struct {
	opts   SchedulerOptions
	core   Core
	status CoreStatus
	rd     Ready
	// writing is out with the shell; next gathers behind it. Both are swapped,
	// so the batch that is being written is never touched.
	writing, next *group
	busy          bool
	// ownEntry: the leader has not yet seen an entry of its own term committed.
	ownEntry bool
	applied  uint64
	reads    readRounds
}

// NewScheduler returns a scheduler for a core that has just been opened.
func NewScheduler(o SchedulerOptions) *Scheduler {
	return &Scheduler{
		opts: o, core: o.Core, status: o.Core.Status(),
		writing: &group{}, next: &group{},
		reads: readRounds{nextID: o.FirstRead},
	}
}

// Tick lets one tick pass.
func (s *Scheduler) Tick() {
	s.core.Tick()
	s.reads.age++
	if s.reads.pending && s.reads.age >= s.opts.ReadRetryTicks {
		s.core.ReadIndex(s.reads.ask())
	}
}

// Step hands a message to the core.
func (s *Scheduler) Step(from consensus.NodeID, frame []byte) error { return s.core.Step(from, frame) }

// Accepts reports whether now is the time to cut a batch and propose it: the
// replica leads, there is room in the window, and no write waits behind the one
// that is under way. While one waits, commands gather and the next batch grows.
func (s *Scheduler) Accepts(inFlight int) bool {
	return s.status.Role == consensus.Leader && inFlight < s.opts.Window && !(s.busy && s.next.writes())
}

// Propose hands an entry to the core. After an error it is surely not proposed.
func (s *Scheduler) Propose(data []byte) error {
	if s.status.Role != consensus.Leader {
		return ErrNotLeader
	}
	return s.core.Propose(data)
}

// Wrote reports the write that was out durable: what waited for it may leave.
func (s *Scheduler) Wrote(fx *Effects) {
	s.busy = false
	s.complete(s.writing, fx)
}

// complete reports a group's tokens and releases its messages.
func (s *Scheduler) complete(g *group, fx *Effects) {
	fx.Send = append(fx.Send, g.after...)
	for _, token := range g.tokens {
		s.core.Persisted(token)
	}
	g.reset()
}

// Applied reports that the state machine has applied everything up to index.
func (s *Scheduler) Applied(index uint64) {
	s.applied = index
	s.core.Applied(index)
}

// Run drains the core and adds what must be done to fx.
func (s *Scheduler) Run(fx *Effects) {
	for {
		for s.core.HasReady() {
			s.rd.reset()
			s.core.Ready(&s.rd)
			s.take(fx)
		}
		if s.busy || s.next.empty() {
			break
		}
		if s.next.writes() {
			s.writing, s.next = s.next, s.writing
			s.busy = true
			fx.Write = &s.writing.batch
			break
		}
		// Nothing to write and nothing being written: the tokens are as good as
		// durable, and completing them may make the core ready again.
		g := s.next
		s.complete(g, fx)
	}
	s.observe(fx)
	fx.ReadsDone = s.reads.done(s.applied, fx.ReadsDone)
}

// take turns one Ready into effects.
func (s *Scheduler) take(fx *Effects) {
	fx.Send = append(fx.Send, s.rd.SendNow...)
	switch {
	case s.rd.Token != 0:
		s.next.tokens = append(s.next.tokens, s.rd.Token)
		s.next.add(&s.rd.Persist)
		s.next.after = append(s.next.after, s.rd.SendAfterPersist...)
	case !s.next.empty():
		s.next.after = append(s.next.after, s.rd.SendAfterPersist...)
	case s.busy:
		s.writing.after = append(s.writing.after, s.rd.SendAfterPersist...)
	default:
		fx.Send = append(fx.Send, s.rd.SendAfterPersist...)
	}
	if len(s.rd.Apply) > 0 {
		s.observe(fx) // a lead just won counts for the entries below
		for _, e := range s.rd.Apply {
			if s.ownEntry && e.Stamp == s.status.Term {
				s.ownEntry = false
				fx.Events = append(fx.Events, s.event(consensus.EventCommit, e.Stamp, e.Index))
			}
		}
		fx.Apply = append(fx.Apply, s.rd.Apply...)
	}
	for _, r := range s.rd.Reads {
		s.reads.answer(r)
	}
}

// observe compares the core's status with the last one seen.
func (s *Scheduler) observe(fx *Effects) {
	old, now := s.status, s.core.Status()
	s.status = now
	if old.Role == now.Role && old.Term == now.Term {
		return
	}
	if old.Role == consensus.Leader {
		fx.LostLead = true
		fx.Events = append(fx.Events, s.event(consensus.EventStepDown, old.Term, 0))
		fx.ReadsDone = fx.ReadsDone[:0]
		s.reads.fail()
		s.ownEntry = false
	}
	switch now.Role {
	case consensus.Candidate:
		fx.Events = append(fx.Events, s.event(consensus.EventCampaign, now.Term, 0))
	case consensus.Leader:
		s.ownEntry = true
		fx.Events = append(fx.Events, s.event(consensus.EventLeader, now.Term, 0))
	}
}

func (s *Scheduler) event(kind consensus.EventKind, term, index uint64) consensus.Event {
	return consensus.Event{Kind: kind, Node: s.opts.Node, Term: term, Index: index}
}

// Status is the core's status when Run last returned.
func (s *Scheduler) Status() CoreStatus { return s.status }
