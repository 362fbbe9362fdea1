package paxos

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// The local halves of rules 5, 16 and 17: each test breaks the rule on purpose, or
// asks for what it forbids.

func TestRule5CompactedSlotsAreNoGaps(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	for slot := uint64(1); slot <= 4; slot++ {
		step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: b, Chosen: slot, Entries: []Entry{{slot, b, []byte("v")}}})
	}
	flush(n)
	mustBreak(t, 5, func() { n.Compact(5, Snapshot{Slot: 5}) }) // not applied
	mustBreak(t, 5, func() { n.Compact(4, Snapshot{Slot: 3}) }) // no snapshot holds slot 4
	n.Compact(2, Snapshot{Slot: 3, Ballot: b})
	mustBreak(t, 5, func() { n.log.read(2, 5, 100) })
	// Whoever asks for compacted slots hears that all through the snapshot is chosen,
	// and what is above.
	step(t, n, Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{2, 3}, Lo: 1})
	sent, _ := flush(n)
	if m := sent[len(sent)-1]; m.Kind != MsgPromise || m.Settled != 3 || len(m.Entries) != 1 || m.Entries[0].Slot != 4 || !m.Done {
		t.Errorf("the promise is %+v; want slot 4, and all through 3 settled", m)
	}
	step(t, n, Message{Kind: MsgAccept, From: 3, Ballot: Ballot{2, 3}, Entries: []Entry{{1, Ballot{2, 3}, []byte("v")}}})
	sent, _ = flush(n)
	if m := sent[len(sent)-1]; m.Kind != MsgCatchUpReply || m.Settled != 3 || len(m.Entries) != 0 {
		t.Errorf("a proposal in a compacted slot is answered by %+v", m)
	}
}

// A fetched snapshot takes the place of everything below at once, and of nothing
// above.
func TestRule5InstallIsOneStep(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: b, Chosen: 9, Entries: []Entry{{2, b, []byte("x")}, {9, b, []byte("y")}}})
	flush(n)
	step(t, n, Message{Kind: MsgCatchUpReply, From: 3, Lo: 1, Chosen: 9, Settled: 8})
	rd := n.Ready()
	if rd.Fetch != (Fetch{3, 8}) {
		t.Fatalf("asks for %+v; want a snapshot of node 3 through 8", rd.Fetch)
	}
	n.FetchFailed(3)
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: 9, Settled: 8})
	if rd = n.Ready(); rd.Fetch != (Fetch{2, 8}) {
		t.Fatalf("after a failure, asks for %+v; want node 2's", rd.Fetch)
	}
	n.Fetched(Snapshot{Slot: 8, Ballot: b})
	rd = n.Ready()
	if rd.Install == nil || rd.Install.Slot != 8 || rd.Token == 0 || rd.HardState == nil || rd.HardState.Chosen != 9 || len(rd.Apply) != 1 || rd.Apply[0].Slot != 9 {
		t.Fatalf("installs by %+v; want the snapshot, the chosen prefix and slot 9 under one token", rd)
	}
	mustBreak(t, 5, func() { n.log.read(8, 10, 100) })
}

// What is known to be chosen is never proposed anew, whoever promised.
func TestRule5NothingNewBelowTheFloor(t *testing.T) {
	for name, propose := range map[string]func(n *Node) error{
		"a gap": func(n *Node) error {
			n.lead.barrier = 3
			n.recover()
			return nil
		},
		"a new value": func(n *Node) error {
			_, err := n.Propose([]byte("x"))
			return err
		},
	} {
		n := newNode(t, config(1, 3))
		step(t, n, Message{Kind: MsgCatchUpReply, From: 3, Lo: 1, Chosen: 3, Settled: 3})
		elect(t, n) // by a promise that reports nothing, which is a lie
		t.Log(name)
		mustBreak(t, 5, func() {
			if err := propose(n); err != nil {
				t.Error(err)
			}
		})
	}
}

// A leader that hears of a floor above all that it decided asks no more for promises
// of members who govern only what is below.
func TestRule16AFloorEndsOlderConfigurations(t *testing.T) {
	other := newNode(t, config(2, 5))
	other.configs = []*configuration{
		{Members: Members{Voters: []NodeID{1, 2, 6, 7, 8}, MaxID: 8}, slot: 18, from: 22, seal: 25, sealed: true},
		{Members: Members{Voters: []NodeID{1, 2, 9}, MaxID: 9}, slot: 30, from: 34},
	}
	n := newNode(t, config(1, 5))
	n.Campaign()
	flush(n)
	for _, from := range []NodeID{2, 3} {
		step(t, n, Message{Kind: MsgPromise, From: from, Ballot: n.promised, Lo: 1, Hi: 1, Done: true})
	}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: 50, Settled: 50, Data: other.SnapshotData(50)})
	if n.role != Leader || n.lead.next != 51 || n.lead.limit <= 51 || n.edge() != 50 {
		t.Fatalf("a %v goes on at slot %d, with promises for what is below %d, above %d; want slot 51 and no limit", n.role, n.lead.next, n.lead.limit, n.edge())
	}
}

func TestRule16Alpha(t *testing.T) {
	c := config(1, 3)
	c.Alpha = 3
	if _, err := New(c); err == nil {
		t.Fatal("an alpha below the window is taken")
	}
	c.Alpha = 6
	n := newNode(t, c)
	b := elect(t, n)
	slot, err := n.ProposeMembers(Members{Voters: []NodeID{1, 2, 4}})
	if err != nil || slot != 1 {
		t.Fatalf("slot %d, %v", slot, err)
	}
	if _, err := n.ProposeMembers(Members{Voters: []NodeID{1, 2, 5}}); !errors.Is(err, ErrWindowFull) {
		t.Errorf("a change during another: %v", err)
	}
	mustBreak(t, 16, func() {
		l := *n.lead
		defer func() { n.lead = &l }()
		n.lead.next = n.chosen + 7
		n.proposeNext(nil)
	})
	flush(n)
	step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: 1})
	sent, _ := flush(n)
	asked := slices.ContainsFunc(sent, func(m Message) bool { return m.Kind == MsgPrepare && m.To == 4 && m.Done })
	if c := n.governing(6); c.slot != 0 || asked {
		t.Errorf("slot 6 is governed by the change in slot %d; node 4 was asked: %v (node 2 promised already)", c.slot, asked)
	}
	if c := n.governing(7); c.slot != 1 {
		t.Errorf("slot 7 is governed by the entry in slot %d; want 1", c.slot)
	}
}

// Who joins with another alpha than the cluster's stops where it hears of a change.
func TestRule16ForeignAlpha(t *testing.T) {
	other := newNode(t, config(2, 3))
	other.configs = append(other.configs, &configuration{Members: Members{Voters: []NodeID{1, 2, 4}, MaxID: 4}, slot: 3, from: 9})
	n := newNode(t, config(4, 4))
	step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{1, 2}, Lo: 1})
	err := n.Step(Message{Kind: MsgCatchUpReply, From: 2, To: 4, Lo: 1, Chosen: 9, Settled: 9, Data: other.SnapshotData(9)})
	if err == nil || !strings.Contains(err.Error(), "alpha is 4 here, and 6") || n.Err() == nil || n.HasReady() {
		t.Errorf("a change 6 slots ahead, with an alpha of 4: %v", err)
	}
}

// Who joined and learned of the change from the log does not know the members that are
// being left; one of them leads, and must hear that a higher ballot is promised.
func TestRule16ANewcomerAnswersWhoIsBeingLeft(t *testing.T) {
	c := config(4, 4)
	c.Join = true
	n := newNode(t, c)
	b := Ballot{1, 3}
	entries := []Entry{{1, b, encodeMembers(Members{Voters: []NodeID{1, 2, 4}, MaxID: 4})}, {2, b, nil}, {3, b, nil}, {4, b, nil}}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: 4, Entries: entries})
	n.Campaign()
	flush(n)
	if err := n.Step(Message{Kind: MsgHeartbeat, From: 3, To: 4, Ballot: b, Chosen: 4}); !errors.Is(err, ErrNotPeer) {
		t.Error(err)
	}
	sent, _ := flush(n)
	if m := sent[len(sent)-1]; n.role != Candidate || m.Kind != MsgReject || m.To != 3 || m.Promised != n.promised {
		t.Errorf("a %v answers the leader that is being left with %+v", n.role, m)
	}
	// Once the change is sealed, whoever was left is heard no more.
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 5, Chosen: 5, Entries: []Entry{{5, b, encodeSeal(1)}}})
	err := n.Step(Message{Kind: MsgHeartbeat, From: 3, To: 4, Ballot: b, Chosen: 5})
	if sent, _ := flush(n); len(sent) != 0 || !errors.Is(err, ErrNotPeer) {
		t.Errorf("after the seal it answers %v, %v", sent, err)
	}
}

// What is chosen during another change is void for whoever is told of the members, too:
// else the seal of the first change would not end what the second began.
func TestRule16AVoidChangeIsNotTold(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	first := Members{Voters: []NodeID{1, 2, 3, 4}, MaxID: 4}
	second := Members{Voters: []NodeID{1, 2, 5}, MaxID: 5}
	entries := []Entry{{1, b, encodeMembers(first)}, {2, b, encodeMembers(second)}}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: 2, Entries: entries})
	flush(n)
	if c := n.Members(); c.Made != 1 || c.Before == nil || !slices.Equal(c.Members.Voters, first.Voters) {
		t.Errorf("during the first change, after a void one: %+v", c)
	}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 3, Chosen: 3, Entries: []Entry{{3, b, encodeSeal(1)}}})
	flush(n)
	if c := n.Members(); c.Made != 1 || c.Before != nil || c.Slot != 3 {
		t.Errorf("after its seal: %+v", c)
	}
}

// Nor is it told to a node whose own snapshot knows the members further than it goes:
// what the snapshot says covers the entries that follow, void ones too.
func TestRule16ASnapshotKnowsWhatIsVoid(t *testing.T) {
	b := Ballot{1, 2}
	log := []Entry{
		{1, b, nil}, {2, b, encodeMembers(Members{Voters: []NodeID{1, 2, 3, 4}, MaxID: 4})}, {3, b, nil},
		{4, b, encodeMembers(Members{Voters: []NodeID{1, 2, 5}, MaxID: 5})}, {5, b, nil}, {6, b, encodeSeal(2)}, {7, b, nil},
	}
	learned := func(id NodeID, through uint64) *Node {
		n := newNode(t, config(id, 3))
		step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: through, Entries: log[:through]})
		flush(n)
		return n
	}
	n := learned(1, 3)
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 4, Chosen: 7, Settled: 7, Data: learned(3, 7).SnapshotData(7)})
	c := config(1, 3)
	c.Snapshot = Snapshot{Slot: 3, Ballot: b, Data: n.SnapshotData(3)}
	n = newNode(t, c)
	step(t, n, Message{Kind: MsgCatchUpReply, From: 3, Lo: 4, Chosen: 7, Entries: log[3:]})
	flush(n)
	if got := n.Members(); n.applied != 7 || got.Made != 2 || got.Before != nil {
		t.Errorf("through slot %d: %+v; want the change of slot 2, sealed", n.applied, got)
	}
	// The next change is told of as ever.
	next := Members{Voters: []NodeID{1, 2, 3, 4, 6}, MaxID: 6}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 3, Lo: 8, Chosen: 8, Entries: []Entry{{8, b, encodeMembers(next)}}})
	flush(n)
	if got := n.Members(); got.Made != 8 || got.Before == nil || !slices.Equal(got.Members.Voters, next.Voters) {
		t.Errorf("after another change: %+v", got)
	}
}

// A leader above a floor steps aside if what is below does not come, and stays as long
// as it comes, be it ever so slowly.
func TestRule5ALeaderWaitsWhileItLearns(t *testing.T) {
	for _, learns := range []bool{false, true} {
		n := newNode(t, config(1, 3))
		n.Campaign()
		flush(n)
		b := n.promised
		step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: b, Lo: 1, Hi: 21, Settled: 20, Chosen: 20, Done: true})
		flush(n)
		n.FetchFailed(n.fetch.from) // the snapshot is not to be had, the slots are
		for slot := uint64(1); slot < 20; slot++ {
			for range n.cfg.ElectionTicks {
				n.Tick()
				flush(n)
			}
			if n.role == Leader && learns {
				step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: slot, Chosen: 20, Entries: []Entry{{slot, Ballot{0, 3}, nil}}})
				flush(n)
			}
		}
		if stayed := n.role == Leader && n.promised == b; stayed != learns {
			t.Errorf("learns %v: a %v with %d of 20 slots", learns, n.role, n.chosen)
		}
	}
}

func TestRule9OutbidCandidatesBackOff(t *testing.T) {
	n := newNode(t, config(1, 3))
	n.Campaign()
	flush(n)
	step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{9, 2}, Lo: 1})
	if n.role != Follower || n.backoffs != 1 {
		t.Errorf("outbid, a %v backs off %d times; want a follower that does once", n.role, n.backoffs)
	}
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{9, 2}})
	if n.backoffs != 0 {
		t.Errorf("with a leader it still backs off")
	}
}

func TestRule16Refusals(t *testing.T) {
	n := newNode(t, config(1, 3))
	if _, err := n.ProposeMembers(Members{Voters: []NodeID{1}}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower: %v", err)
	}
	elect(t, n)
	for name, m := range map[string]Members{
		"nobody votes":      {Learners: []NodeID{1, 2, 3}},
		"twice":             {Voters: []NodeID{1, 2, 2}},
		"voter and learner": {Voters: []NodeID{1, 2}, Learners: []NodeID{2}},
		"id 0":              {Voters: []NodeID{0, 1}},
		"id too high":       {Voters: []NodeID{1, 1 << 16}},
	} {
		if _, err := n.ProposeMembers(m); !errors.Is(err, ErrChange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.Propose([]byte{ConfigMark}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a value that looks like a change: %v", err)
	}
}

// An identity that was used is never used again.
func TestRule16IdentitiesAreUsedOnce(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := elect(t, n)
	change := func(voters ...NodeID) error {
		slot, err := n.ProposeMembers(Members{Voters: voters})
		if err != nil {
			return err
		}
		for range 3 { // the entry, the no-ops, the seal
			flush(n)
			step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: slot, Hi: n.lead.next - 1})
			flush(n)
			step(t, n, Message{Kind: MsgHeartbeatReply, From: 2, Ballot: b, Settled: n.chosen, Chosen: n.chosen})
		}
		if c := n.newest(); c.slot != slot || !c.sealed {
			t.Fatalf("the change in slot %d is not sealed: %+v", slot, c)
		}
		return nil
	}
	if err := change(1, 2); err != nil {
		t.Fatal(err)
	}
	if err := n.Step(Message{Kind: MsgPrepare, From: 3, To: 1, Ballot: Ballot{9, 3}, Lo: 1}); !errors.Is(err, ErrNotPeer) {
		t.Errorf("a removed node is heard: %v", err)
	}
	if err := change(1, 2, 3); !errors.Is(err, ErrChange) {
		t.Errorf("node 3 comes back: %v", err)
	}
	if err := change(1, 2, 4); err != nil {
		t.Errorf("node 4 joins: %v", err)
	}
}

func TestRule17Lease(t *testing.T) {
	c := config(1, 3)
	c.Lease, c.MaxDrift = 100, 0.1
	n := newNode(t, c)
	n.SetTime(1000)
	prepare := Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{1, 2}, Lo: 1}
	kinds := func(m Message) (ks []Kind) {
		step(t, n, m)
		sent, _ := flush(n)
		for _, m := range sent {
			ks = append(ks, m.Kind)
		}
		return ks
	}
	n.Campaign()
	if got := kinds(prepare); len(got) != 0 || n.role != Follower {
		t.Fatalf("right after a start a %v answers %v; want a node that waits a lease", n.role, got)
	}
	n.SetTime(1110)
	if got := kinds(prepare); !slices.Equal(got, []Kind{MsgPromise}) {
		t.Fatalf("a lease later it answers %v", got)
	}
	if got := kinds(Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{1, 2}, Time: 7}); !slices.Equal(got, []Kind{MsgHeartbeatReply}) || n.grant.until != 1220 {
		t.Fatalf("answers %v and grants until %v; want 1220", got, n.grant.until)
	}
	rival := Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{2, 3}, Lo: 1}
	n.SetTime(1219)
	if got := kinds(rival); len(got) != 0 {
		t.Fatalf("inside the lease a rival is answered %v", got)
	}
	rival.Promised = Ballot{1, 2}
	if got := kinds(rival); !slices.Equal(got, []Kind{MsgPromise}) {
		t.Fatalf("a rival whom the leader made way for is answered %v", got)
	}
}

func TestRule17LeaderCountsFromTheSend(t *testing.T) {
	c := config(1, 3)
	c.Lease, c.MaxDrift = 100, 0.1
	n := newNode(t, c)
	at := func(now time.Duration) bool {
		n.SetTime(now)
		if err := n.ReadIndex(uint64(now)); err != nil {
			t.Fatal(err)
		}
		rd := n.Ready()
		return len(rd.Reads) == 1
	}
	n.SetTime(0)
	n.SetTime(200)
	b := elect(t, n)
	n.SetTime(260)
	step(t, n, Message{Kind: MsgHeartbeatReply, From: 2, Ballot: b, Time: 200})
	if !at(289) {
		t.Error("inside the lease, counted from the send, a read is not answered")
	}
	if at(290) {
		t.Error("a read is answered when the lease has run out")
	}
	step(t, n, Message{Kind: MsgHeartbeatReply, From: 2, Ballot: b, Time: 280})
	if err := n.Transfer(2); err != nil {
		t.Fatal(err)
	}
	step(t, n, Message{Kind: MsgHeartbeatReply, From: 2, Ballot: b, Time: 280})
	flush(n)
	if !n.lead.transfer.sent || at(291) {
		t.Errorf("told another to take over: %v; and reads on under the lease", n.lead.transfer.sent)
	}
}
