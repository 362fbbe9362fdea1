package engine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// fakeCore is a protocol without sense: it asks for random writes, messages and
// applications, and remembers what the scheduler tells it.
type fakeCore struct {
	rng    *rand.Rand
	status CoreStatus
	ready  []Ready

	token     uint64
	persisted []uint64
	hard      []byte                   // as asked for last
	log       map[uint64]storage.Entry // after every write asked for so far
	applying  uint64
	applied   uint64
	asked     []uint64 // ids of reads
	ticks     int
	proposals [][]byte
	refuse    error
}

func (c *fakeCore) Tick() { c.ticks++ }
func (c *fakeCore) Step(_ consensus.NodeID, frame []byte) error {
	if len(frame) == 0 {
		return errors.New("empty")
	}
	return nil
}
func (c *fakeCore) Propose(data []byte) error {
	if c.refuse == nil {
		c.proposals = append(c.proposals, data)
	}
	return c.refuse
}
func (c *fakeCore) ReadIndex(id uint64) { c.asked = append(c.asked, id) }
func (c *fakeCore) HasReady() bool      { return len(c.ready) > 0 }
func (c *fakeCore) Ready(rd *Ready) {
	*rd, c.ready = c.ready[0], c.ready[1:]
}
func (c *fakeCore) Persisted(token uint64) {
	c.persisted = append(c.persisted, token)
	if c.rng != nil && c.rng.IntN(3) == 0 { // as protocols do: an own vote counts, so more happens
		c.want()
	}
}
func (c *fakeCore) Applied(index uint64) { c.applied = index }
func (c *fakeCore) Status() CoreStatus   { return c.status }

// note is a message that says which token it waits for.
type note struct {
	token uint64 // it must not leave before this one is durable
	seq   int
}

func (n note) Size() int                { return 0 }
func (n note) Append(dst []byte) []byte { return dst }

// want queues one random Ready.
func (c *fakeCore) want() {
	var rd Ready
	r := c.rng
	if r.IntN(4) > 0 {
		c.token++
		rd.Token = c.token
		if r.IntN(3) == 0 {
			c.hard = fmt.Appendf(nil, "hard state of token %d", c.token)
			rd.Persist.HardState = c.hard
		}
		if r.IntN(4) == 0 {
			rd.Persist.TruncateFrom = 1 + r.Uint64N(20)
			maps.DeleteFunc(c.log, func(i uint64, _ storage.Entry) bool { return i >= rd.Persist.TruncateFrom })
		}
		for i := uint64(1); i <= 20; i++ {
			if r.IntN(6) == 0 {
				e := storage.Entry{Index: i, Stamp: c.token, Data: fmt.Appendf(nil, "%d by %d", i, c.token)}
				rd.Persist.Entries = append(rd.Persist.Entries, e)
				c.log[i] = e
			}
		}
	}
	for i := range r.IntN(3) {
		rd.SendAfterPersist = append(rd.SendAfterPersist, Message{To: 2, Body: note{c.token, i}})
	}
	if r.IntN(2) == 0 {
		rd.SendNow = append(rd.SendNow, Message{To: 3, Body: note{}})
	}
	for range r.IntN(3) {
		c.applying++
		rd.Apply = append(rd.Apply, storage.Entry{Index: c.applying})
	}
	c.ready = append(c.ready, rd)
}

// fakeDisk applies batches as storage.Log.Commit is documented to.
type fakeDisk struct {
	hard []byte
	log  map[uint64]storage.Entry
	out  *storage.Batch
	copy string
}

func (d *fakeDisk) commit() {
	if d.out.HardState != nil {
		d.hard = d.out.HardState
	}
	if from := d.out.TruncateFrom; from != 0 {
		maps.DeleteFunc(d.log, func(i uint64, _ storage.Entry) bool { return i >= from })
	}
	for _, e := range d.out.Entries {
		d.log[e.Index] = e
	}
	d.out = nil
}

// TestWritesAndWhatWaitsForThem drives the scheduler with random wishes and a
// disk of random speed. Whatever the order: a message leaves after its token,
// tokens complete once and in order, the disk ends as if each write had been
// done by itself, and applications keep their order.
func TestWritesAndWhatWaitsForThem(t *testing.T) {
	for seed := range uint64(400) {
		if !t.Run("", func(t *testing.T) { randomWrites(t, seed) }) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomWrites(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	core := &fakeCore{rng: rng, log: map[uint64]storage.Entry{}}
	disk := &fakeDisk{log: map[uint64]storage.Entry{}}
	s := NewScheduler(SchedulerOptions{Node: 1, Core: core, Window: 10, ElectionTicks: 5})
	var fx Effects
	var applied uint64
	durable := func() uint64 {
		if len(core.persisted) == 0 {
			return 0
		}
		return core.persisted[len(core.persisted)-1]
	}
	carryOut := func() {
		s.Run(&fx)
		for _, m := range fx.Send {
			// Messages leave in the very step that reports their token.
			if n := m.Body.(note); n.token > durable() {
				t.Fatalf("a message for token %d left while only %d is durable", n.token, durable())
			}
		}
		if fx.Write != nil {
			if disk.out != nil {
				t.Fatal("a second write while one is out")
			}
			disk.out, disk.copy = fx.Write, fmt.Sprint(*fx.Write)
			if !slices.IsSortedFunc(fx.Write.Entries, func(a, b storage.Entry) int { return int(a.Index) - int(b.Index) }) {
				t.Fatalf("entries out of order: %v", fx.Write.Entries)
			}
		}
		for _, e := range fx.Apply {
			if applied++; e.Index != applied {
				t.Fatalf("entry %d is applied after %d", e.Index, applied-1)
			}
		}
		fx.Reset()
	}
	finish := func() {
		if got := fmt.Sprint(*disk.out); got != disk.copy {
			t.Fatalf("the batch changed while it was being written:\n%s\n%s", disk.copy, got)
		}
		disk.commit()
		s.Wrote(&fx)
		carryOut()
	}
	for range 60 {
		for range rng.IntN(3) {
			core.want()
		}
		carryOut()
		if disk.out != nil && rng.IntN(2) == 0 {
			finish()
		}
	}
	core.rng = nil // no further wishes
	for range 1000 {
		if disk.out == nil {
			break
		}
		finish()
	}
	for i, token := range core.persisted {
		if token != uint64(i+1) {
			t.Fatalf("tokens were reported as %v", core.persisted)
		}
	}
	if uint64(len(core.persisted)) != core.token {
		t.Fatalf("%d tokens were reported of %d", len(core.persisted), core.token)
	}
	if !maps.EqualFunc(disk.log, core.log, func(a, b storage.Entry) bool { return a.Stamp == b.Stamp && bytes.Equal(a.Data, b.Data) }) {
		t.Fatalf("the disk holds\n%v, want\n%v", disk.log, core.log)
	}
	if !bytes.Equal(disk.hard, core.hard) {
		t.Fatalf("the disk holds the hard state %q, want %q", disk.hard, core.hard)
	}
}

func TestAWriteBehindAWriteHoldsBatchesBack(t *testing.T) {
	core := &fakeCore{status: CoreStatus{Role: consensus.Leader}, log: map[uint64]storage.Entry{}}
	s := NewScheduler(SchedulerOptions{Node: 1, Core: core, Window: 3})
	var fx Effects
	write := func(token uint64) {
		core.ready = append(core.ready, Ready{Token: token, Persist: Persist{Entries: []storage.Entry{{Index: token}}}})
		s.Run(&fx)
	}
	steps := []struct {
		name     string
		do       func()
		inFlight int
		want     bool
	}{
		{"idle", func() {}, 0, true},
		{"window full", func() {}, 3, false},
		{"one write out", func() { write(1) }, 1, true},
		{"one waits behind it", func() { write(2) }, 2, false},
		{"the first is done", func() { s.Wrote(&fx); s.Run(&fx) }, 2, true},
		{"deposed", func() { core.status.Role = consensus.Follower; s.Run(&fx) }, 0, false},
	}
	for _, step := range steps {
		step.do()
		if got := s.Accepts(step.inFlight); got != step.want {
			t.Errorf("%s: accepts %v, want %v", step.name, got, step.want)
		}
	}
	if err := s.Propose([]byte("x")); !errors.Is(err, ErrNotLeader) || len(core.proposals) != 0 {
		t.Errorf("a deposed leader's proposal: %v", err)
	}
}

func TestATokenWithoutAWriteCostsNone(t *testing.T) {
	core := &fakeCore{}
	s := NewScheduler(SchedulerOptions{Node: 1, Core: core})
	var fx Effects
	core.ready = []Ready{{Token: 1, SendAfterPersist: []Message{{To: 2, Body: note{}}}}}
	s.Run(&fx)
	if fx.Write != nil || len(fx.Send) != 1 || !slices.Equal(core.persisted, []uint64{1}) {
		t.Fatalf("an empty token on an idle disk: write %v, %d sent, reported %v", fx.Write, len(fx.Send), core.persisted)
	}
	core.ready = []Ready{
		{Token: 2, Persist: Persist{HardState: []byte("h")}},
		{Token: 3, SendAfterPersist: []Message{{To: 2, Body: note{}}}},
	}
	fx.Reset()
	s.Run(&fx)
	if len(fx.Send) != 0 || len(core.persisted) != 1 {
		t.Fatal("an empty token overtook the write before it")
	}
	fx.Reset()
	s.Wrote(&fx)
	s.Run(&fx)
	if fx.Write != nil || len(fx.Send) != 1 || !slices.Equal(core.persisted, []uint64{1, 2, 3}) {
		t.Fatalf("after the write: write %v, %d sent, reported %v", fx.Write, len(fx.Send), core.persisted)
	}
}

func TestEventsAndLossOfTheLead(t *testing.T) {
	core := &fakeCore{}
	s := NewScheduler(SchedulerOptions{Node: 7, Core: core})
	event := func(kind consensus.EventKind, term, index uint64) consensus.Event {
		return consensus.Event{Kind: kind, Node: 7, Term: term, Index: index}
	}
	steps := []struct {
		status CoreStatus
		apply  []storage.Entry
		want   []consensus.Event
		lost   bool
	}{
		{CoreStatus{Role: consensus.Candidate, Term: 1}, nil, []consensus.Event{event(consensus.EventCampaign, 1, 0)}, false},
		{CoreStatus{Role: consensus.Leader, Term: 2}, []storage.Entry{{Index: 1, Stamp: 1}},
			[]consensus.Event{event(consensus.EventLeader, 2, 0)}, false},
		{CoreStatus{Role: consensus.Leader, Term: 2}, []storage.Entry{{Index: 2, Stamp: 2}, {Index: 3, Stamp: 2}},
			[]consensus.Event{event(consensus.EventCommit, 2, 2)}, false},
		// Deposed and elected again between two looks.
		{CoreStatus{Role: consensus.Leader, Term: 5}, []storage.Entry{{Index: 4, Stamp: 5}},
			[]consensus.Event{event(consensus.EventStepDown, 2, 0), event(consensus.EventLeader, 5, 0), event(consensus.EventCommit, 5, 4)}, true},
		{CoreStatus{Role: consensus.Follower, Term: 6}, []storage.Entry{{Index: 5, Stamp: 6}},
			[]consensus.Event{event(consensus.EventStepDown, 5, 0)}, true},
	}
	for i, step := range steps {
		var fx Effects
		core.status = step.status
		core.ready = []Ready{{Apply: step.apply}}
		s.Run(&fx)
		if !slices.Equal(fx.Events, step.want) || fx.LostLead != step.lost {
			t.Errorf("step %d: events %v (lost %v), want %v (lost %v)", i, fx.Events, fx.LostLead, step.want, step.lost)
		}
	}
}

func TestReadRounds(t *testing.T) {
	core := &fakeCore{status: CoreStatus{Role: consensus.Leader, Term: 1}}
	s := NewScheduler(SchedulerOptions{Node: 1, Core: core, FirstRead: 100, ElectionTicks: 3})
	var fx Effects
	expect := func(what string, want ...uint64) {
		t.Helper()
		fx.Reset()
		s.Run(&fx)
		if !slices.Equal(fx.ReadsDone, want) {
			t.Fatalf("%s: rounds %v are done, want %v", what, fx.ReadsDone, want)
		}
	}
	begin := func(want bool) {
		t.Helper()
		if _, ok := s.BeginRead(); ok != want {
			t.Fatalf("BeginRead: %v, want %v", ok, want)
		}
	}
	answer := func(id, index uint64) { core.ready = append(core.ready, Ready{Reads: []Read{{ID: id, Index: index}}}) }

	begin(true)
	begin(false) // later readers gather
	answer(99, 0)
	expect("an id from before the round")
	answer(100, 5)
	expect("confirmed, but the state machine is behind")
	begin(true) // a second round may start meanwhile
	s.Applied(4)
	expect("one entry short")
	s.Applied(5)
	expect("the first round", 1)
	for range 3 {
		s.Tick()
	}
	if !slices.Equal(core.asked, []uint64{100, 101, 102}) {
		t.Fatalf("ids asked: %v, want a fresh one each time", core.asked)
	}
	answer(101, 5) // the first asking of round 2 was not lost after all
	answer(102, 5)
	expect("confirmed twice", 2)

	begin(true)
	core.status = CoreStatus{Role: consensus.Follower, Term: 2}
	s.Run(&fx)
	if !fx.LostLead {
		t.Fatal("the loss of the lead went unnoticed")
	}
	begin(false)
	core.status = CoreStatus{Role: consensus.Leader, Term: 3}
	answer(103, 0)
	expect("an answer to a round that failed")
	begin(true)
	core.ready = append(core.ready, Ready{Reads: []Read{{ID: 104, Refused: true}}})
	expect("refused")
	answer(104, 1)
	expect("the newest round", 4)
}

// TestReadRoundsInTheLog: a round is one empty entry, and done when that is
// applied here, not when another like it is.
func TestReadRoundsInTheLog(t *testing.T) {
	core := &fakeCore{status: CoreStatus{Role: consensus.Leader, Term: 1}}
	s := NewScheduler(SchedulerOptions{Node: 1, Core: core, FirstRead: 100, ElectionTicks: 3, ReadMode: consensus.ReadLog})
	var fx Effects
	expect := func(what string, want ...uint64) {
		t.Helper()
		fx.Reset()
		s.Run(&fx)
		if !slices.Equal(fx.ReadsDone, want) {
			t.Fatalf("%s: rounds %v are done, want %v", what, fx.ReadsDone, want)
		}
	}
	apply := func(index uint64, data []byte) {
		core.ready = append(core.ready, Ready{Apply: []storage.Entry{{Index: index, Stamp: 1, Data: data}}})
	}
	core.refuse = ErrBusy
	if _, ok := s.BeginRead(); !ok {
		t.Fatal("no round")
	}
	if len(core.proposals)+len(core.asked) != 0 {
		t.Fatalf("proposed %q, asked %v", core.proposals, core.asked)
	}
	core.refuse = nil
	s.Tick()
	if len(core.proposals) != 1 {
		t.Fatalf("%d entries after a busy core was asked again", len(core.proposals))
	}
	for range 10 {
		s.Tick()
	}
	if len(core.proposals) != 1 {
		t.Fatalf("%d entries for one round", len(core.proposals))
	}
	first := core.proposals[0]
	apply(5, []byte{1, 2, 3})
	apply(6, nil)
	s.Applied(6)
	expect("other entries are applied")
	apply(7, first)
	expect("handed out, not yet applied")
	s.Applied(7)
	expect("applied", 1)
	if _, ok := s.BeginRead(); !ok {
		t.Fatal("no second round")
	}
	if bytes.Equal(core.proposals[1], first) {
		t.Fatal("two rounds share an entry")
	}
	apply(8, first) // as a duplicate would be
	s.Applied(8)
	expect("the old entry again")
	// A leader that lags installs a snapshot that may hold the entry.
	core.ready = append(core.ready, Ready{Token: 1, Install: &storage.SnapshotMeta{Index: 20}})
	s.Applied(20)
	expect("a snapshot is installed")
	s.Tick()
	if len(core.proposals) != 3 {
		t.Fatalf("%d entries after a snapshot took the second's place, want 3", len(core.proposals))
	}
	core.status = CoreStatus{Role: consensus.Follower, Term: 2}
	expect("the lead is lost")
	apply(30, core.proposals[2])
	s.Applied(30)
	expect("the entry of a round that failed")
}
