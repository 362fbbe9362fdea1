package engine

import (
	"fmt"
	"time"

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
	// ElectionTicks is how long the scheduler waits before it asks an unanswered
	// read again, and asks for a lost piece of a snapshot again; and half of what a
	// transfer, or a write of a leader, may take.
	ElectionTicks int
	ReadMode      consensus.ReadMode
	// SnapshotEvery and TrailingEntries are those of consensus.Limits.
	SnapshotEvery, TrailingEntries uint64
	// Recovered is what the log was found to hold before the core was opened.
	Recovered Recovered
	// Peers are whom to talk to as long as this node is no member: Config.Peers.
	Peers []consensus.Peer
}

// Scheduler decides the order of a replica's writes, messages, applications
// and answers, and when to take, send and fetch snapshots. It is pure: no clock,
// goroutine or I/O. After one or more events the caller calls Run and carries
// out the effects.
type Scheduler struct {
	opts   SchedulerOptions
	core   Core
	status CoreStatus
	rd     Ready
	// writing is out with the shell; next gathers behind it. Both are swapped,
	// so the batch that is being written is never touched.
	writing, next *group
	busy          bool
	writeAge      int // ticks since writing went out
	// ownEntry: the leader has not yet seen an entry of its own term committed.
	ownEntry bool
	applied  uint64
	handed   uint64 // newest index handed out for application
	reads    readRounds
	snaps    snapshots
	fetch    fetch
	serving  int // pieces being read
	requests []Serve
	members  membership
	transfer transfer
}

// NewScheduler returns a scheduler for a core that has just been opened.
func NewScheduler(o SchedulerOptions) *Scheduler {
	s := &Scheduler{
		opts: o, core: o.Core, status: o.Core.Status(),
		writing: &group{}, next: &group{},
		reads: readRounds{nextID: o.FirstRead, nonce: o.FirstRead},
	}
	s.snaps.newest = o.Recovered.Snapshot
	s.snaps.compacted = o.Recovered.Compacted
	s.applied, s.handed = s.snaps.newest.Index, s.snaps.newest.Index
	s.members.now = o.Recovered.Start.Founders
	if c, ok := o.Core.(Changer); ok {
		s.members.now = c.Members()
	}
	s.members.told, s.members.highest = s.whom(), s.Highest()
	return s
}

// SetTime tells the time since some fixed moment of this process, before the
// events of a turn.
func (s *Scheduler) SetTime(now time.Duration) {
	if c, ok := s.core.(Clocked); ok {
		c.SetTime(now)
	}
}

// Tick lets one tick pass.
func (s *Scheduler) Tick() {
	s.core.Tick()
	s.reads.age++
	if s.reads.pending && s.reads.age >= s.opts.ElectionTicks {
		s.askRead()
	}
	s.tickFetch()
	s.transfer.age++
	if s.busy {
		s.writeAge++
	}
}

// Step hands a message to whom it concerns. The frame is kept.
func (s *Scheduler) Step(from consensus.NodeID, frame []byte) error {
	if len(frame) == 0 {
		return fmt.Errorf("%w: it is empty", errFrame)
	}
	kind, rest := frame[0], frame[1:]
	switch kind {
	case frameCore:
		return s.core.Step(from, rest)
	case frameRequest:
		return s.stepRequest(from, rest)
	case framePiece:
		return s.stepPiece(from, rest)
	case frameNone:
		return s.stepNone(from, rest)
	}
	return fmt.Errorf("%w of kind %d", errFrame, kind)
}

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
	s.busy, s.writeAge = false, 0
	s.complete(s.writing, fx)
}

// complete reports a group's tokens and releases its messages.
func (s *Scheduler) complete(g *group, fx *Effects) {
	fx.Send = append(fx.Send, g.after...)
	fx.Snapshots = append(fx.Snapshots, g.ends...)
	if g.installs {
		s.snaps.installing = s.next.installs && g != s.next
	}
	for _, token := range g.tokens {
		s.core.Persisted(token)
	}
	g.reset()
}

// Applied reports that the state machine has applied everything up to index.
func (s *Scheduler) Applied(index uint64) {
	if index > s.applied {
		s.applied = index
		s.core.Applied(index)
	}
}

// Run drains the core and adds what must be done to fx.
func (s *Scheduler) Run(fx *Effects) {
	s.resignIfStalled(fx)
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
			s.busy, s.writeAge = true, 0
			fx.Write = &s.writing.batch
			break
		}
		// Nothing to write and nothing being written: the tokens are as good as
		// durable, and completing them may make the core ready again.
		g := s.next
		s.complete(g, fx)
	}
	s.observe(fx)
	s.runSnapshots(fx)
	s.runFetch(fx)
	s.runMembers(fx)
	s.runTransfer(fx)
	fx.ReadsDone = s.reads.done(s.applied, fx.ReadsDone)
}

// take turns one Ready into effects.
func (s *Scheduler) take(fx *Effects) {
	fx.Send = append(fx.Send, s.rd.SendNow...)
	s.install(fx)
	switch {
	case s.rd.Token != 0:
		s.next.tokens = append(s.next.tokens, s.rd.Token)
		s.next.add(&s.rd.Persist, s.snaps.compacted)
		s.next.after = append(s.next.after, s.rd.SendAfterPersist...)
	case !s.next.empty():
		s.next.after = append(s.next.after, s.rd.SendAfterPersist...)
	case s.busy:
		s.writing.after = append(s.writing.after, s.rd.SendAfterPersist...)
	default:
		fx.Send = append(fx.Send, s.rd.SendAfterPersist...)
	}
	if len(s.rd.Members) > 0 {
		s.members.pending = append(s.members.pending, s.rd.Members...)
		s.members.stale = true
	}
	if len(s.rd.Apply) > 0 {
		s.observe(fx) // a lead just won counts for the entries below
		s.apply(fx)
	}
	for _, r := range s.rd.Reads {
		s.reads.answer(r)
	}
	if s.rd.Fetch.From != 0 {
		s.startFetch(s.rd.Fetch)
	}
}

// apply hands the committed entries out, but for those of the protocol's own.
func (s *Scheduler) apply(fx *Effects) {
	for _, e := range s.rd.Apply {
		if s.ownEntry && e.Stamp == s.status.Term {
			s.ownEntry = false
			fx.Events = append(fx.Events, s.event(consensus.EventCommit, e.Stamp, e.Index))
		}
		s.reads.sawEntry(&e)
	}
	fx.Apply = append(fx.Apply, s.rd.Apply...)
	s.handed = s.rd.Apply[len(s.rd.Apply)-1].Index
}

// install lets a fetched snapshot take the place of what came before it.
func (s *Scheduler) install(fx *Effects) {
	meta := s.rd.Install
	if meta == nil {
		return
	}
	if s.rd.Persist.TruncateFrom != 0 {
		s.rd.Persist.TruncateFrom = 1
	}
	s.compactTo(meta.Index)
	if meta.Index <= s.handed {
		return // the state machine has it, or will
	}
	fx.Restore, s.handed = meta, meta.Index
	fx.Apply = clearSlice(fx.Apply) // all of it is within the snapshot
	s.snaps.installing, s.next.installs = true, true
	if s.reads.entry != nil { // it may be within the snapshot, and never be seen
		s.reads.entry, s.reads.age = nil, s.opts.ElectionTicks
	}
}

// compactTo lets the next write drop everything through index from the log.
func (s *Scheduler) compactTo(index uint64) {
	if index > s.snaps.compacted {
		s.snaps.compacted = index
		s.next.compact(index)
	}
}

// resignIfStalled gives the lead up when a write to the log has been out for the
// time of consensus.StallElections: as long as heartbeats alone still leave, nobody else would
// take over from a leader that commits nothing.
func (s *Scheduler) resignIfStalled(fx *Effects) {
	if !s.busy || s.writeAge < consensus.StallElections*s.opts.ElectionTicks || s.status.Role != consensus.Leader || s.opts.ElectionTicks == 0 {
		return
	}
	s.writeAge = 0 // should the core need longer, it is told once more later
	if c, ok := s.core.(Resigner); ok {
		fx.Events = append(fx.Events, s.event(consensus.EventStalled, s.status.Term, 0))
		c.Resign()
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
		s.members.lostLead(fx)
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

// Members is the newest configuration that has been applied; it must not be
// changed.
func (s *Scheduler) Members() consensus.Members { return s.members.now }

// Snapshot describes the newest snapshot on disk, and Compacted is the index
// through which the log is, or is about to be, cut.
func (s *Scheduler) Snapshot() storage.SnapshotInfo { return s.snaps.newest }
func (s *Scheduler) Compacted() uint64              { return s.snaps.compacted }
