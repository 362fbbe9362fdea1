package engine

import (
	"errors"
	"slices"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// changer is a fakeCore whose members change and whose lead can be handed over.
type changer struct {
	fakeCore
	members   consensus.Members
	changes   []consensus.Change
	transfers []consensus.NodeID
	resigned  int
	err       error
}

func (c *changer) ProposeChange(ch consensus.Change) error {
	c.changes = append(c.changes, ch)
	return c.err
}
func (c *changer) Members() consensus.Members { return c.members }
func (c *changer) Transfer(to consensus.NodeID) error {
	c.transfers = append(c.transfers, to)
	return c.err
}
func (c *changer) Resign() { c.resigned++ }

func peer(id consensus.NodeID) consensus.Peer {
	return consensus.Peer{ID: id, Addr: string(rune('a'+id)) + ":1"}
}

func newChanger(t *testing.T) (*changer, *Scheduler) {
	t.Helper()
	core := &changer{members: consensus.Founders([]consensus.Peer{peer(1), peer(2), peer(3)})}
	core.status = CoreStatus{Role: consensus.Leader, Term: 1, Leader: 1}
	return core, NewScheduler(SchedulerOptions{Node: 1, Core: core, ElectionTicks: 3, Peers: core.members.Voters})
}

// configure lets the core hand out an entry that makes m the configuration.
func (c *changer) configure(index uint64, m consensus.Members) {
	m.Index = index
	c.members = m
	c.ready = append(c.ready, Ready{Apply: []storage.Entry{{Index: index}}, Members: []MembersChange{{index, m}}})
}

func ids(peers []consensus.Peer) (list []consensus.NodeID) {
	for _, p := range peers {
		list = append(list, p.ID)
	}
	return list
}

// TestAChangeIsDoneWhenApplied: also if it takes two steps. The newcomer is
// dialed as soon as its configuration is known, the leaver let go once it is in
// effect.
func TestAChangeIsDoneWhenApplied(t *testing.T) {
	core, s := newChanger(t)
	var fx Effects
	change := consensus.Change{AddVoters: []consensus.Peer{peer(4)}, Remove: []consensus.NodeID{2}}
	if err := s.ProposeChange(change); err != nil || len(core.changes) != 1 {
		t.Fatal(err)
	}
	if err := s.ProposeChange(change); !errors.Is(err, ErrBusy) || len(core.changes) != 1 {
		t.Fatalf("a second change: %v", err)
	}
	final, err := core.members.Apply(change)
	if err != nil {
		t.Fatal(err)
	}
	joint := final
	joint.Outgoing = core.members.Voters
	core.configure(5, joint)
	s.Run(&fx)
	if got := ids(fx.Peers); !slices.Equal(got, []consensus.NodeID{1, 2, 3, 4}) || fx.Changed != nil || len(fx.Events) > 0 {
		t.Fatalf("handed out: peers %v, done %v, events %v", got, fx.Changed, fx.Events)
	}
	fx.Reset()
	s.Applied(5)
	core.configure(6, final)
	s.Run(&fx)
	if len(fx.Events) != 1 || fx.Events[0].Kind != consensus.EventMembers || fx.Events[0].Index != 5 || fx.Changed != nil || fx.Peers != nil {
		t.Fatalf("the joint configuration: events %+v, done %+v, peers %v", fx.Events, fx.Changed, fx.Peers)
	}
	fx.Reset()
	s.Applied(6)
	s.Run(&fx)
	if fx.Changed == nil || fx.Changed.Err != nil || fx.Changed.Members.Index != 6 || s.Members().Index != 6 {
		t.Fatalf("the end: %+v", fx.Changed)
	}
	if got := ids(fx.Peers); !slices.Equal(got, []consensus.NodeID{1, 3, 4}) {
		t.Fatalf("the end: peers %v", got)
	}
	if err := s.ProposeChange(consensus.Change{Remove: []consensus.NodeID{3}}); err != nil {
		t.Fatalf("the next change: %v", err)
	}
}

func TestAChangeIsRefused(t *testing.T) {
	core, s := newChanger(t)
	var fx Effects
	if err := s.ProposeChange(consensus.Change{Remove: []consensus.NodeID{9}}); !errors.Is(err, consensus.ErrRefused) || len(core.changes) > 0 {
		t.Errorf("removing a stranger: %v", err)
	}
	core.err = ErrBusy
	if err := s.ProposeChange(consensus.Change{Remove: []consensus.NodeID{3}}); !errors.Is(err, ErrBusy) {
		t.Errorf("a busy core: %v", err)
	}
	core.err = nil
	core.members.Outgoing = core.members.Voters
	if err := s.ProposeChange(consensus.Change{Remove: []consensus.NodeID{9}}); !errors.Is(err, ErrBusy) {
		t.Errorf("while another leader's change is half done: %v", err)
	}
	core.members.Outgoing = nil
	core.status.Role = consensus.Follower
	s.Run(&fx)
	if err := s.ProposeChange(consensus.Change{Remove: []consensus.NodeID{3}}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	if err := s.Transfer(2); !errors.Is(err, ErrNotLeader) || len(core.transfers) > 0 {
		t.Errorf("a follower's transfer: %v", err)
	}
}

// TestLosingTheLeadEndsAChange, but not one that has come through: a leader
// that removes itself loses the lead by that.
func TestLosingTheLeadEndsAChange(t *testing.T) {
	for _, through := range []bool{false, true} {
		core, s := newChanger(t)
		var fx Effects
		change := consensus.Change{Remove: []consensus.NodeID{1}}
		if err := s.ProposeChange(change); err != nil {
			t.Fatal(err)
		}
		final, err := core.members.Apply(change)
		if err != nil {
			t.Fatal(err)
		}
		if through {
			core.configure(5, final)
		}
		core.status = CoreStatus{Role: consensus.Follower, Term: 2, Leader: 3}
		s.Run(&fx)
		if !through {
			if fx.Changed == nil || !errors.Is(fx.Changed.Err, consensus.ErrUnknown) {
				t.Errorf("the lead is lost: %+v", fx.Changed)
			}
			continue
		}
		if fx.Changed != nil {
			t.Errorf("the lead is lost before the change was applied: %+v", fx.Changed)
		}
		fx.Reset()
		s.Applied(5)
		s.Run(&fx)
		if fx.Changed == nil || fx.Changed.Err != nil {
			t.Errorf("applied: %+v", fx.Changed)
		}
		// No member any more: it goes on listening to those it was told of.
		if got := ids(s.Peers()); !slices.Equal(got, []consensus.NodeID{1, 2, 3}) {
			t.Errorf("peers of a removed node: %v", got)
		}
	}
}

func TestTransferEnds(t *testing.T) {
	core, s := newChanger(t)
	var fx Effects
	start := func() {
		t.Helper()
		if err := s.Transfer(2); err != nil {
			t.Fatal(err)
		}
		if err := s.Transfer(3); !errors.Is(err, ErrBusy) {
			t.Fatalf("a second transfer: %v", err)
		}
	}
	run := func() *TransferEnd {
		fx.Reset()
		s.Run(&fx)
		return fx.Transferred
	}
	start()
	if e := run(); e != nil {
		t.Fatalf("at once: %+v", e)
	}
	core.status = CoreStatus{Role: consensus.Follower, Term: 2}
	if e := run(); e != nil {
		t.Fatalf("nobody leads yet: %+v", e)
	}
	core.status.Leader = 2
	if e := run(); e == nil || e.Err != nil {
		t.Fatalf("another leads: %+v", e)
	}
	core.status = CoreStatus{Role: consensus.Leader, Term: 3, Leader: 1}
	run()
	start()
	for range 5 {
		s.Tick()
		if e := run(); e != nil {
			t.Fatalf("too early: %+v", e)
		}
	}
	s.Tick()
	if e := run(); e == nil || e.Err == nil {
		t.Fatalf("after two election timeouts: %+v", e)
	}
	start() // is possible again
}

// TestAStalledWriteEndsTheLead: once a write is out for two election timeouts, and
// once more if the core did not mind; never because of many short writes.
func TestAStalledWriteEndsTheLead(t *testing.T) {
	core, s := newChanger(t)
	var fx Effects
	tick := func(want int) {
		t.Helper()
		s.Tick()
		fx.Reset()
		s.Run(&fx)
		if core.resigned != want {
			t.Fatalf("resigned %d times, want %d", core.resigned, want)
		}
	}
	write := func() { core.ready = append(core.ready, Ready{Token: 1, Persist: Persist{HardState: []byte("x")}}) }
	for range 4 { // each is done within the time
		write()
		tick(0)
		tick(0)
		s.Wrote(&fx)
	}
	write()
	tick(0)             // the write leaves after the tick
	for range 2*3 - 1 { // newChanger elects after three ticks
		tick(0)
	}
	tick(1)
	if len(fx.Events) != 1 || fx.Events[0].Kind != consensus.EventStalled {
		t.Errorf("events %+v", fx.Events)
	}
	for range 2*3 - 1 {
		tick(1)
	}
	tick(2)
	core.status.Role = consensus.Follower
	for range 6 {
		tick(2)
	}
	s.Wrote(&fx)
	core.status.Role = consensus.Leader
	for range 6 {
		tick(2)
	}
}

// TestANewcomerTurnsStrangersAwayOnceItIsAMember: those of the past, which may not
// know that they were removed, too - although it goes on talking to the same peers.
func TestANewcomerTurnsStrangersAwayOnceItIsAMember(t *testing.T) {
	core := &changer{members: consensus.Founders([]consensus.Peer{peer(1), peer(2), peer(3)})}
	joined, err := core.members.Apply(consensus.Change{AddVoters: []consensus.Peer{peer(4)}})
	if err != nil {
		t.Fatal(err)
	}
	s := NewScheduler(SchedulerOptions{Node: 4, Core: core, ElectionTicks: 3, Peers: joined.Voters})
	if got := s.Highest(); got != 0 {
		t.Fatalf("a newcomer turns away identities up to %d", got)
	}
	var fx Effects
	core.configure(5, joined)
	s.Run(&fx)
	if got := ids(fx.Peers); !slices.Equal(got, []consensus.NodeID{1, 2, 3, 4}) || fx.Highest != 4 {
		t.Fatalf("a member talks to %v, and turns away those up to %d, want 4", got, fx.Highest)
	}
}
