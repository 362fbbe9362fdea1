package paxos

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The tests of this file are named by the sections of the papers whose claims
// they check: PMS is Lamport's Paxos Made Simple, PML is Paxos Made Live
// (Chandra, Griesemer, Redstone), PMMC is Paxos Made Moderately Complex (van
// Renesse, Altinbuken).

// TestPMS22_P1 - "an acceptor must accept the first proposal that it receives",
// sharpened to P1a: it accepts a proposal unless it has answered a Prepare of a
// higher number; if it has, it must not.
func TestPMS22_P1(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t, config(1, 3))
		promised := Ballot{rapid.Uint64Range(0, 4).Draw(rt, "promised"), 2}
		if promised.Round > 0 {
			step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: promised, Lo: 1})
			flush(n)
		}
		from := NodeID(rapid.IntRange(2, 3).Draw(rt, "from"))
		e := Entry{rapid.Uint64Range(1, 3).Draw(rt, "slot"), Ballot{rapid.Uint64Range(1, 5).Draw(rt, "round"), from}, []byte("v")}
		step(t, n, Message{Kind: MsgAccept, From: from, Ballot: e.Ballot, Entries: []Entry{e}})
		sent, _ := flush(n)
		want := MsgAccepted
		if promised.Round > 0 && e.Ballot.Less(promised) {
			want = MsgReject
		}
		if len(sent) != 1 || sent[0].Kind != want || sent[0].Ballot != e.Ballot {
			rt.Fatalf("promised %v, asked to accept at %v: answers %v; want one %v", promised, e.Ballot, sent, want)
		}
		if _, stored := n.cfg.Storage.(store)[e.Slot]; stored != (want == MsgAccepted) {
			rt.Fatalf("promised %v, asked to accept at %v: stored %t", promised, e.Ballot, stored)
		}
	})
}

// TestPMS22_Phase1b - the answer to a Prepare is a promise to accept nothing of
// a lower number any more, with the highest-numbered proposal below it that was
// accepted, if any.
func TestPMS22_Phase1b(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := newNode(t, config(1, 3))
		var best Entry
		for range rapid.IntRange(0, 5).Draw(rt, "accepts") {
			from := NodeID(rapid.IntRange(2, 3).Draw(rt, "from"))
			b := Ballot{rapid.Uint64Range(1, 5).Draw(rt, "round"), from}
			e := Entry{1, b, []byte(b.String())}
			step(t, n, Message{Kind: MsgAccept, From: from, Ballot: b, Entries: []Entry{e}})
			if !b.Less(best.Ballot) {
				best = e
			}
		}
		flush(n)
		step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{6, 2}, Lo: 1})
		sent, _ := flush(n)
		if len(sent) != 1 || sent[0].Kind != MsgPromise || !sent[0].Done {
			rt.Fatalf("answers %v; want one whole Promise", sent)
		}
		if es := sent[0].Entries; best.Slot == 0 && len(es) != 0 || best.Slot != 0 && (len(es) != 1 || es[0].Ballot != best.Ballot) {
			rt.Fatalf("the Promise reports %v; want %v", es, best)
		}
		step(t, n, Message{Kind: MsgAccept, From: 3, Ballot: Ballot{5, 3}, Entries: []Entry{{1, Ballot{5, 3}, []byte("late")}}})
		if sent, _ = flush(n); len(sent) != 1 || sent[0].Kind != MsgReject {
			rt.Fatalf("after the promise of 6.2, an Accept at 5.3 is answered by %v", sent)
		}
	})
}

// TestPMS22_P2c - a proposal (n, v) is issued only if there is a majority of
// acceptors of which none has accepted anything numbered below n, or whose
// highest-numbered such proposal has the value v. Checked as each Accept leaves.
func TestPMS22_P2c(t *testing.T) {
	adopted := 0
	randomRuns(t, func(rt failer, s *synod) {
		for _, p := range s.issued {
			if !p.safe {
				rt.Fatalf("slot %d: %q is proposed at %v, and no majority allows it: accepted were %v", p.Slot, p.Value, p.Ballot, p.before)
			}
			if len(p.before) > 0 {
				adopted++
			}
		}
	})
	t.Logf("%d proposals in slots where something had been accepted", adopted)
	if adopted == 0 {
		t.Error("no run proposed in a slot where something had been accepted")
	}
}

// TestPMS22_P2 - P2, P2a and P2b, each of which follows from the next: once v is
// chosen, every higher-numbered proposal that is chosen, accepted, or issued at
// all has the value v.
func TestPMS22_P2(t *testing.T) {
	higher := 0
	randomRuns(t, func(rt failer, s *synod) {
		for _, c := range s.votes {
			if !s.chosen(c) {
				continue
			}
			for _, v := range s.votes {
				if v.Slot == c.Slot && c.Ballot.Less(v.Ballot) && string(v.Value) != string(c.Value) {
					rt.Fatalf("P2a: slot %d: %q was chosen at %v, and %q accepted at %v", c.Slot, c.Value, c.Ballot, v.Value, v.Ballot)
				}
			}
			for _, p := range s.issued {
				if p.Slot != c.Slot || !c.Ballot.Less(p.Ballot) {
					continue
				}
				if higher++; string(p.Value) != string(c.Value) {
					rt.Fatalf("P2b: slot %d: %q was chosen at %v, and %q proposed at %v", c.Slot, c.Value, c.Ballot, p.Value, p.Ballot)
				}
			}
		}
	})
	t.Logf("%d proposals in slots chosen at a lower ballot", higher)
	if higher == 0 {
		t.Error("no run proposed anything in a slot that was chosen at a lower ballot")
	}
}

// TestPMS23_LearnOnlyWhatIsChosen - a process never learns that a value was
// chosen unless it was; and only values that somebody proposed are.
func TestPMS23_LearnOnlyWhatIsChosen(t *testing.T) {
	learned := 0
	randomRuns(t, func(rt failer, s *synod) {
		for i, es := range s.applied {
			for _, e := range es {
				learned++
				if !slices.ContainsFunc(s.votes, func(v vote) bool {
					return v.Slot == e.Slot && string(v.Value) == string(e.Value) && s.chosen(v)
				}) {
					rt.Fatalf("node %d learned %q in slot %d, which was not chosen", i+1, e.Value, e.Slot)
				}
				if len(e.Value) > 0 && !s.proposed[string(e.Value)] {
					rt.Fatalf("node %d learned %q in slot %d, which nobody proposed", i+1, e.Value, e.Slot)
				}
			}
		}
	})
	t.Logf("%d values learned", learned)
	if learned == 0 {
		t.Error("no run learned anything")
	}
}

// TestPMS23_LossOfTheNews - a value can be chosen without a learner ever finding
// out; it then learns by a new proposal. A leader crashes before it tells
// anybody; the next one learns what was chosen by proposing it again.
func TestPMS23_LossOfTheNews(t *testing.T) {
	s := newSynod(t, 3)
	s.lead(1)
	s.propose(1, "x")
	s.deliver(func(m Message) bool { return m.Kind == MsgAccept && m.To == 2 })
	s.net = nil // node 2 has accepted; its answer and the leader are lost
	if s.nodes[1].chosen != 0 {
		t.Fatal("an acceptor learned of the choice by its own vote")
	}
	s.crash(1)
	s.lead(2)
	s.deliver(func(Message) bool { return true })
	for i := range s.nodes {
		if got := fmt.Sprintf("%s", values(s.applied[i])); i > 0 && got != "[x]" {
			t.Errorf("node %d learned %s; want [x]", i+1, got)
		}
	}
}

// TestPMS24_ProgressWithOneProposer - two proposers can keep each other from
// ever choosing anything, which no safety rule forbids; a single distinguished
// one, with a majority to talk to, gets its proposal chosen.
func TestPMS24_ProgressWithOneProposer(t *testing.T) {
	s := newSynod(t, 3)
	for i := range 10 { // each raises the ballot before the other's Accepts arrive
		for _, id := range []NodeID{1, 3} {
			if s.lead(id); i == 0 {
				s.propose(id, fmt.Sprint("by ", id))
			}
			s.net = slices.DeleteFunc(s.net, func(m Message) bool { return m.Kind == MsgAccept || m.Kind == MsgHeartbeat })
		}
	}
	if c := s.nodes[0].chosen + s.nodes[2].chosen; c != 0 {
		t.Fatalf("duelling chose %d slots", c)
	}
	s.lead(1)
	s.deliver(func(Message) bool { return true })
	if len(s.applied[0]) == 0 {
		t.Fatal("the only proposer left gets nothing chosen")
	}
}

// TestPMS3_SameSequence - all servers execute the same sequence of commands: of
// any two, one's is a prefix of the other's.
func TestPMS3_SameSequence(t *testing.T) {
	longest := 0
	randomRuns(t, func(rt failer, s *synod) {
		for i, a := range s.applied {
			longest = max(longest, len(a))
			for j, b := range s.applied[:i] {
				for k := range min(len(a), len(b)) {
					if a[k].Slot != b[k].Slot || string(a[k].Value) != string(b[k].Value) {
						rt.Fatalf("command %d is %q on node %d and %q on node %d", k, a[k].Value, i+1, b[k].Value, j+1)
					}
				}
			}
		}
	})
	t.Logf("the longest sequence has %d commands", longest)
	if longest < 3 {
		t.Errorf("the longest sequence has %d commands", longest)
	}
}

// TestPMS3_NewLeaderExample - the paper's example. The new leader knows commands
// 1-134, 138 and 139. Phase 1 finds proposals in 135 and 140 only, so it
// proposes those two again and no-ops in 136 and 137, and then new commands
// from 141 on. (Commands 138 and 139, which the paper's leader knows, ours finds
// in phase 1 as well: it knows a prefix.) Here 134 is 4, and so on.
func TestPMS3_NewLeaderExample(t *testing.T) {
	disk := store{}
	for slot := uint64(1); slot <= 4; slot++ {
		disk[slot] = Entry{slot, Ballot{1, 2}, []byte("known")}
	}
	for slot := uint64(8); slot <= 9; slot++ {
		disk[slot] = Entry{slot, Ballot{1, 2}, []byte("known")}
	}
	c := config(1, 3)
	c.Window, c.Storage, c.HardState = 16, disk, HardState{Promised: Ballot{1, 2}, Chosen: 4}
	n := newNode(t, c)
	n.Campaign()
	prepares, _ := flush(n)
	if len(prepares) != 2 || prepares[0].Kind != MsgPrepare || prepares[0].Lo != 5 {
		t.Fatalf("phase 1 sends %v; want one Prepare a peer, for every slot from 5 on", prepares)
	}
	found := []Entry{{5, Ballot{1, 2}, []byte("five")}, {10, Ballot{1, 2}, []byte("ten")}}
	step(t, n, Message{Kind: MsgPromise, From: 3, Ballot: n.promised, Lo: 5, Hi: 11, Done: true, Entries: found})
	if _, err := n.Propose([]byte("new")); err != nil {
		t.Fatal(err)
	}
	sent, _ := flush(n)
	got := map[uint64]string{}
	for _, m := range sent {
		for _, e := range m.Entries {
			got[e.Slot] = string(e.Value)
		}
	}
	want := map[uint64]string{5: "five", 6: "", 7: "", 8: "known", 9: "known", 10: "ten", 11: "new"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the leader proposes %v; want %v", got, want)
	}
}

// TestPMS3_OnePrepareForAllSlots - phase 1 for infinitely many instances takes
// one short message a peer, however much there is to recover; and in the steady
// state a command costs phase 2 only.
func TestPMS3_OnePrepareForAllSlots(t *testing.T) {
	s := newSynod(t, 3)
	s.lead(1)
	s.deliver(func(Message) bool { return true })
	before := s.count
	for i := range 50 {
		s.propose(1, fmt.Sprint(i))
		s.deliver(func(Message) bool { return true })
	}
	for kind, want := range map[Kind]int{MsgPrepare: 0, MsgPromise: 0, MsgAccept: 100, MsgAccepted: 100} {
		if got := s.count[kind] - before[kind]; got != want {
			t.Errorf("50 commands took %d messages %v; want %d", got, kind, want)
		}
	}
	before = s.count
	s.lead(2)
	if got := s.count[MsgPrepare] - before[MsgPrepare]; got != 2 {
		t.Errorf("the election after 50 commands took %d Prepares; want one a peer", got)
	}
}

// TestPML42_CatchUp - a replica that was cut off learns what was chosen
// meanwhile from another replica, in order, without any new instance being run.
func TestPML42_CatchUp(t *testing.T) {
	s := newSynod(t, 3)
	s.lead(1)
	s.deliver(func(Message) bool { return true })
	for i := range 30 {
		s.propose(1, fmt.Sprint(i))
		s.deliver(func(m Message) bool { return m.To != 3 && m.From != 3 })
	}
	s.net = nil
	if s.nodes[2].chosen != 0 {
		t.Fatalf("node 3 knows of %d slots while it is cut off", s.nodes[2].chosen)
	}
	ballot, accepts := s.nodes[0].promised, s.count[MsgAccept]
	for range 20 {
		for i := range s.nodes {
			s.nodes[i].Tick()
			s.flush(i)
		}
		s.deliver(func(Message) bool { return true })
	}
	if !slices.Equal(values(s.applied[2]), values(s.applied[0])) || len(s.applied[2]) != 30 {
		t.Errorf("node 3 caught up to %v; want %v", values(s.applied[2]), values(s.applied[0]))
	}
	if s.nodes[0].promised != ballot || s.count[MsgAccept] != accepts {
		t.Errorf("catching up took a new ballot (%v, was %v) or %d Accepts", s.nodes[0].promised, ballot, s.count[MsgAccept]-accepts)
	}
}

// TestPML53_Epochs - a request that sees the same epoch when it arrives and when
// it is answered has had one master all along. Our epoch is the ballot: if a
// leader confirms a read, nothing was chosen at a higher ballot before the read
// was asked; a deposed one refuses.
func TestPML53_Epochs(t *testing.T) {
	confirmed, refused := 0, 0
	randomRuns(t, func(rt failer, s *synod) {
		for _, r := range s.answers {
			if r.Refused {
				refused++
				continue
			}
			confirmed++
			a := s.asked[r.ID]
			if a.above {
				rt.Fatalf("a read asked at ballot %v was confirmed, though a higher ballot had chosen something", a.ballot)
			}
			if r.Slot < a.applied {
				rt.Fatalf("a read asked at ballot %v is to see slot %d; slot %d had been applied", a.ballot, r.Slot, a.applied)
			}
		}
	})
	t.Logf("%d reads confirmed, %d refused", confirmed, refused)
	if confirmed == 0 || refused == 0 {
		t.Errorf("%d reads were confirmed and %d refused; want both", confirmed, refused)
	}
}

// TestPMMC41_StateReduction - of the values that an acceptor accepted in a slot
// it need keep only that of the highest ballot, which is also the only one that
// a leader looks at.
func TestPMMC41_StateReduction(t *testing.T) {
	n := newNode(t, config(1, 3))
	for round := uint64(1); round <= 5; round++ {
		b := Ballot{round, 2}
		step(t, n, Message{Kind: MsgAccept, From: 2, Ballot: b, Entries: []Entry{{1, b, []byte(b.String())}}})
		flush(n)
	}
	if disk := n.cfg.Storage.(store); len(disk) != 1 || string(disk[1].Value) != "5.2" {
		t.Errorf("after five ballots the disk holds %v; want the last only", disk)
	}
	step(t, n, Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{6, 3}, Lo: 1})
	if sent, _ := flush(n); len(sent) != 1 || len(sent[0].Entries) != 1 || string(sent[0].Entries[0].Value) != "5.2" {
		t.Errorf("the Promise is %v; want the value of 5.2 alone", sent)
	}
}

// TestPMMC42_GarbageCollection - an acceptor that forgets decided slots must say
// up to where, or else a leader who never heard of them takes them for empty
// and has another command decided there. Ours forgets none yet: whatever is
// chosen and applied is still reported, so a leader who missed all of it
// proposes nothing of its own below.
func TestPMMC42_GarbageCollection(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSynod(t, 3)
		page := rapid.SampledFrom([]int{1, 2, 1 << 10}).Draw(rt, "page")
		for _, n := range s.nodes {
			n.cfg.MaxMessageBytes = page
		}
		s.lead(1)
		k := rapid.IntRange(1, 12).Draw(rt, "decided")
		for i := range k {
			s.propose(1, fmt.Sprint(i))
			s.deliver(func(m Message) bool { return m.To != 3 && m.From != 3 })
		}
		s.net = nil
		s.crash(1)
		s.lead(3) // it gets its only other promise from node 2
		s.propose(3, "own")
		s.deliver(func(m Message) bool { return m.To != 1 })
		if got := values(s.applied[2]); len(got) != k+1 || got[k] != "own" || !slices.Equal(got[:k], values(s.applied[0])) {
			rt.Fatalf("the leader who missed all applies %q; want %q and then its own", got, values(s.applied[0]))
		}
	})
}

// TestPMMC43_StateOnDisk - an acceptor that crashes and comes back with what was
// on its disk has only been slow: whatever it promised and accepted still holds.
func TestPMMC43_StateOnDisk(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSynod(t, 3)
		b := Ballot{rapid.Uint64Range(2, 5).Draw(rt, "round"), 3}
		s.step(2, Message{Kind: MsgAccept, From: 3, To: 2, Ballot: b, Entries: []Entry{{1, b, []byte("v")}}})
		s.crash(2)
		s.net = nil
		low := Ballot{b.Round - 1, 1}
		s.step(2, Message{Kind: MsgPrepare, From: 1, To: 2, Ballot: low, Lo: 1})
		s.step(2, Message{Kind: MsgPrepare, From: 1, To: 2, Ballot: Ballot{b.Round + 1, 1}, Lo: 1})
		if len(s.net) != 2 || s.net[0].Kind != MsgReject || s.net[1].Kind != MsgPromise || len(s.net[1].Entries) != 1 || s.net[1].Entries[0].Ballot != b {
			rt.Fatalf("after the restart it answers %v; want a Reject of %v and a Promise that reports %v", s.net, low, b)
		}
	})
}
