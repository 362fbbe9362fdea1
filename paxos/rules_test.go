package paxos

import (
	"errors"
	"testing"
)

// Each test here breaks one local rule of the protocol on purpose, and demands
// that the node notices. The rules are numbered as in the package's assertions.

func TestRule1PromiseNeverFalls(t *testing.T) {
	n := newNode(t, config(1, 3))
	n.setPromised(Ballot{5, 2})
	mustBreak(t, 1, func() { n.setPromised(Ballot{4, 3}) })
	mustBreak(t, 1, func() { n.accept(Entry{Slot: 1, Ballot: Ballot{4, 3}}) })
}

func TestRule2And3NothingSpeaksBeforeTheDisk(t *testing.T) {
	n := newNode(t, config(1, 3))
	n.Campaign()
	rd := n.Ready()
	if len(rd.SendNow) != 0 || len(rd.SendAfterPersist) != 2 || rd.SendAfterPersist[0].Kind != MsgPrepare {
		t.Fatalf("own ballot: now %v, after %v", rd.SendNow, rd.SendAfterPersist)
	}
	// A Promise asked for again, while the first one's write is under way.
	n = newNode(t, config(1, 3))
	prepare := Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{1, 2}, Lo: 1}
	step(t, n, prepare)
	if rd = n.Ready(); rd.Token == 0 || len(rd.SendNow) != 0 || len(rd.SendAfterPersist) != 1 {
		t.Fatalf("promise: %+v", rd)
	}
	step(t, n, prepare)
	if n.HasReady() {
		t.Fatalf("the repeated Promise leaves before the write: %+v", n.Ready())
	}
	n.Persisted(rd.Token)
	if rd = n.Ready(); len(rd.SendNow) != 1 || rd.SendNow[0].Kind != MsgPromise {
		t.Fatalf("after the write: %+v", rd)
	}
	step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: Ballot{1, 2}, Entries: []Entry{{1, Ballot{1, 2}, []byte("a")}}})
	if rd = n.Ready(); len(rd.SendNow) != 0 || len(rd.SendAfterPersist) != 1 || rd.SendAfterPersist[0].Kind != MsgAccepted {
		t.Fatalf("accepted: %+v", rd)
	}
}

func TestRule4OwnVoteAfterOwnSync(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := elect(t, n)
	if _, err := n.Propose([]byte("a")); err != nil {
		t.Fatal(err)
	}
	mustBreak(t, 4, func() { n.vote(n.members.self, 1, 1) })
	rd := n.Ready()
	step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: 1})
	if n.chosen != 0 {
		t.Fatal("one peer and an unfinished write chose slot 1")
	}
	n.Persisted(rd.Token)
	if n.chosen != 1 {
		t.Fatal("two durable votes did not choose slot 1")
	}
}

func TestLeaderDiskFirst(t *testing.T) {
	c := config(1, 3)
	c.LeaderDiskParallel = false
	n := newNode(t, c)
	elect(t, n)
	if _, err := n.Propose([]byte("a")); err != nil {
		t.Fatal(err)
	}
	rd := n.Ready()
	if len(rd.SendNow) != 0 || len(rd.SendAfterPersist) != 2 || rd.SendAfterPersist[0].Kind != MsgAccept {
		t.Fatalf("now %v, after %v; want the Accepts after the write", rd.SendNow, rd.SendAfterPersist)
	}
}

func TestRule5PagesOfAPromise(t *testing.T) {
	n := newNode(t, config(1, 3))
	n.Campaign()
	flush(n)
	b := n.promised
	page := Message{Kind: MsgPromise, From: 2, Ballot: b, Lo: 1, Hi: 2, Entries: []Entry{{1, Ballot{0, 3}, []byte("a")}}}
	step(t, n, page)
	if sent, _ := flush(n); n.role != Candidate || len(sent) != 1 || sent[0].Kind != MsgPrepare || sent[0].Lo != 2 {
		t.Fatalf("%v after the first page, sends %v; want a Prepare from slot 2", n.role, sent)
	}
	step(t, n, page) // a copy
	if n.role != Candidate {
		t.Fatal("the same page twice made a leader")
	}
	mustBreak(t, 5, func() {
		step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: b, Lo: 2, Hi: 3, Done: true, Entries: []Entry{{7, Ballot{0, 3}, nil}}})
	})
	step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: b, Lo: 2, Hi: 2, Done: true})
	if n.role != Leader {
		t.Fatal("the last page did not make a leader")
	}
}

func TestRule6HighestBallotIsAdopted(t *testing.T) {
	c := config(1, 5)
	c.Storage = store{1: {1, Ballot{2, 4}, []byte("own")}, 2: {2, Ballot{2, 4}, []byte("own")}}
	c.HardState.Promised = Ballot{2, 4}
	n := newNode(t, c)
	n.Campaign()
	flush(n)
	report := func(from NodeID, es ...Entry) {
		step(t, n, Message{Kind: MsgPromise, From: from, Ballot: n.promised, Lo: 1, Hi: 6, Done: true, Entries: es})
	}
	report(2, Entry{1, Ballot{1, 2}, []byte("old")}, Entry{2, Ballot{3, 5}, []byte("new")}, Entry{4, Ballot{1, 2}, []byte("four")})
	report(3, Entry{2, Ballot{1, 2}, []byte("old")})
	got := map[uint64]string{}
	sent, _ := flush(n)
	for _, m := range sent {
		for _, e := range m.Entries {
			if got[e.Slot] = string(e.Value); e.Ballot != n.promised {
				t.Errorf("slot %d is proposed at %v; want the new ballot %v", e.Slot, e.Ballot, n.promised)
			}
		}
	}
	want := map[uint64]string{1: "own", 2: "new", 3: "", 4: "four"}
	for slot, v := range want {
		if g, ok := got[slot]; !ok || g != v {
			t.Errorf("slot %d: proposes %q (%v); want %q", slot, g, ok, v)
		}
	}
	if n.counters.GapsFilled != 1 || n.counters.ValuesAdopted != 3 {
		t.Errorf("%d gaps filled, %d adopted; want 1 and 3", n.counters.GapsFilled, n.counters.ValuesAdopted)
	}
	// The window is full of what was found: no new command gets in between.
	if _, err := n.Propose([]byte("x")); !errors.Is(err, ErrWindowFull) {
		t.Errorf("a new command: %v", err)
	}
}

func TestRule7ChosenIsForEver(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: b, Chosen: 1, Entries: []Entry{{1, b, []byte("a")}}})
	mustBreak(t, 7, func() {
		step(t, n, Message{Kind: MsgAccept, From: 3, Ballot: Ballot{2, 3}, Entries: []Entry{{1, Ballot{2, 3}, []byte("b")}}})
	})
	mustBreak(t, 7, func() { n.markChosen(3) })
	mustBreak(t, 7, func() { n.Applied(1) }) // not handed out yet
}

func TestRule8BallotsAreFresh(t *testing.T) {
	c := config(1, 3)
	c.HardState.Promised = Ballot{7, 1} // used by an earlier life
	n := newNode(t, c)
	if n.role != Follower {
		t.Fatalf("restarts as %v", n.role)
	}
	n.Campaign()
	if n.promised != (Ballot{8, 1}) {
		t.Errorf("campaigns with %v; want 8.1", n.promised)
	}
	step(t, n, Message{Kind: MsgReject, From: 2, Ballot: n.promised, Promised: Ballot{20, 3}})
	n.Campaign()
	if n.promised != (Ballot{21, 1}) {
		t.Errorf("campaigns with %v; want 21.1", n.promised)
	}
}

func TestRule11AdoptedValueIsWrittenAgain(t *testing.T) {
	c := config(1, 3)
	old := Ballot{1, 1}
	c.Storage, c.HardState.Promised = store{1: {1, old, []byte("x")}}, old
	n := newNode(t, c)
	n.Campaign()
	flush(n)
	step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: n.promised, Lo: 1, Hi: 1, Done: true})
	rd := n.Ready()
	if len(rd.Entries) != 1 || rd.Entries[0].Ballot != n.promised || rd.Token == 0 {
		t.Fatalf("persists %v; want slot 1 at %v", rd.Entries, n.promised)
	}
	step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: n.promised, Lo: 1, Hi: 1})
	step(t, n, Message{Kind: MsgAccepted, From: 3, Ballot: old, Lo: 1, Hi: 1}) // of the old ballot
	if n.chosen != 0 {
		t.Fatal("a vote of the old ballot was counted")
	}
}

func TestRule12NoticeNeedsItsBallot(t *testing.T) {
	c := config(1, 3)
	c.Storage, c.HardState.Promised = store{1: {1, Ballot{1, 1}, []byte("x")}}, Ballot{1, 1}
	n := newNode(t, c)
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{2, 2}, Chosen: 1})
	if n.chosen != 0 {
		t.Fatal("a value accepted at 1.1 was taken for chosen on a notice of 2.2")
	}
	n.Tick()
	sent, _ := flush(n)
	if last := sent[len(sent)-1]; last.Kind != MsgCatchUp || last.Lo != 1 {
		t.Fatalf("sends %v; want a CatchUp", sent)
	}
	step(t, n, Message{Kind: MsgCatchUpReply, From: 2, Lo: 1, Chosen: 1, Entries: []Entry{{1, Ballot{2, 2}, []byte("y")}}})
	if rd := n.Ready(); n.chosen != 1 || len(rd.Apply) != 1 || string(rd.Apply[0].Value) != "y" {
		t.Fatalf("chosen %d, applies %v; want y", n.chosen, rd.Apply)
	}
}

func TestRule13OneValuePerBallot(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	accept := func(v string) {
		step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: b, Entries: []Entry{{1, b, []byte(v)}}})
	}
	accept("a")
	accept("a")
	mustBreak(t, 13, func() { accept("b") })
}

func TestRule14AcknowledgementsKnowHoles(t *testing.T) {
	n := newNode(t, config(1, 3))
	b := Ballot{1, 2}
	acks := func(slots ...uint64) (got []span) {
		m := Message{Kind: MsgAccept, From: 2, Ballot: b}
		for _, s := range slots {
			m.Entries = append(m.Entries, Entry{s, b, []byte("v")})
		}
		step(t, n, m)
		sent, _ := flush(n)
		for _, m := range sent {
			if m.Kind == MsgAccepted {
				got = append(got, span{m.Lo, m.Hi})
			}
		}
		return got
	}
	for _, c := range []struct{ slots, want []uint64 }{
		{[]uint64{1, 2}, []uint64{1, 2}},
		{[]uint64{4, 6}, []uint64{4, 4, 6, 6}},
		{[]uint64{5}, []uint64{4, 6}},
		{[]uint64{2}, []uint64{1, 2}}, // a copy is answered again
		{[]uint64{3}, []uint64{1, 6}},
	} {
		var want []span
		for i := 0; i < len(c.want); i += 2 {
			want = append(want, span{c.want[i], c.want[i+1]})
		}
		if got := acks(c.slots...); len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("slots %v: acknowledges %v; want %v", c.slots, got, want)
		}
	}
	n.acc.again = []uint64{9} // never accepted
	mustBreak(t, 14, func() { n.Ready() })
}

func TestRule15ReadsWaitForTheBarrier(t *testing.T) {
	n := newNode(t, config(1, 3))
	n.Campaign()
	flush(n)
	step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: n.promised, Lo: 1, Hi: 3, Done: true,
		Entries: []Entry{{2, Ballot{0, 3}, []byte("b")}}})
	flush(n)
	if err := n.ReadIndex(1); err != nil {
		t.Fatal(err)
	}
	flush(n)
	step(t, n, Message{Kind: MsgReadConfirmReply, From: 2, Ballot: n.promised, ID: 1})
	if _, reads := flush(n); len(reads) != 0 || n.Status().Barrier {
		t.Fatalf("confirms %v before slots 1 and 2 are chosen", reads)
	}
	step(t, n, Message{Kind: MsgAccepted, From: 3, Ballot: n.promised, Lo: 1, Hi: 2})
	if _, reads := flush(n); len(reads) != 1 || reads[0].Slot != 2 || !n.Status().Barrier {
		t.Fatalf("confirms %v; want read 1 at slot 2", reads)
	}
}

func TestBrokenStorageSilencesTheNode(t *testing.T) {
	c := config(1, 3)
	disk := &broken{}
	c.Storage = disk
	n := newNode(t, c)
	disk.failed = true
	err := n.Step(Message{Kind: MsgPrepare, From: 2, To: 1, Ballot: Ballot{1, 2}, Lo: 1})
	if !errors.Is(err, errDisk) || !errors.Is(n.Err(), errDisk) || n.HasReady() || len(n.Ready().SendAfterPersist) != 0 {
		t.Fatalf("step: %v, err: %v, has ready: %v", err, n.Err(), n.HasReady())
	}
	if _, err := New(Config{ID: 1, Peers: []NodeID{1}, Storage: store{}, ElectionTicks: 2, HeartbeatTicks: 1, Window: 1, MaxMessageBytes: 1,
		HardState: HardState{Chosen: 3}}); err == nil {
		t.Fatal("a log that ends before what is known chosen is taken")
	}
}

var errDisk = errors.New("the disk is gone")

// broken says that it holds slot 1, and cannot read it any more.
type broken struct{ failed bool }

func (b *broken) Entries(lo, hi uint64, maxBytes int) ([]Entry, error) {
	if b.failed {
		return nil, errDisk
	}
	return nil, nil
}
func (b *broken) Compacted() uint64            { return 0 }
func (b *broken) Bounds() (first, last uint64) { return 1, 1 }
