package paxos

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// with returns a follower with slots 1 to len(rounds) accepted at those rounds of
// node 2, none where the round is 0.
func with(t *testing.T, c Config, rounds ...uint64) *Node {
	t.Helper()
	disk := store{}
	for i, r := range rounds {
		if r != 0 {
			disk[uint64(i+1)] = Entry{uint64(i + 1), Ballot{r, 2}, []byte("v")}
			c.HardState.Promised = Ballot{max(c.HardState.Promised.Round, r), 2}
		}
	}
	c.Storage = disk
	return newNode(t, c)
}

// TestSwitchE: a candidate whose gap-free prefix ends at a lower (ballot, slot) is
// refused. If it only asked, nothing changes; else nobody below it is followed any more.
func TestSwitchE(t *testing.T) {
	for _, c := range []struct {
		name   string
		rounds []uint64
		tip    Tip
		refuse bool
	}{
		{"the same", []uint64{1, 2}, Tip{Ballot{2, 2}, 2}, false},
		{"longer, lower ballot", []uint64{1, 2}, Tip{Ballot{1, 2}, 9}, true},
		{"shorter, same ballot", []uint64{2, 2}, Tip{Ballot{2, 2}, 1}, true},
		{"shorter, higher ballot", []uint64{1, 2}, Tip{Ballot{3, 2}, 1}, false},
		{"behind a gap nothing counts", []uint64{1, 0, 2}, Tip{Ballot{1, 2}, 1}, false},
		{"an empty log", nil, Tip{}, false},
	} {
		for _, kind := range []Kind{MsgPrePrepare, MsgPrepare} {
			for _, e := range []Eligibility{AnyNode, UpToDate} {
				conf := config(1, 3)
				conf.Switches.Eligibility = e
				n := with(t, conf, c.rounds...)
				before := n.promised
				step(t, n, Message{Kind: kind, From: 3, Ballot: Ballot{7, 3}, Lo: 1, Tip: c.tip})
				sent, _ := flush(n)
				refused := len(sent) == 1 && sent[0].Kind == MsgReject
				if want := c.refuse && e == UpToDate; refused != want || want && (n.promised == before) != (kind == MsgPrePrepare) {
					t.Errorf("%s: %v with eligibility %d: answers %v, promise %v", c.name, kind, e, sent, n.promised)
				}
			}
		}
	}
}

// TestSwitchEGivesUp: a candidate that a quorum finds behind stops, and one that a
// single node finds behind goes on.
func TestSwitchEGivesUp(t *testing.T) {
	c := config(1, 3)
	c.Switches.Eligibility = UpToDate
	n := with(t, c, 1)
	n.Campaign()
	sent, _ := flush(n)
	if len(sent) != 2 || sent[0].Kind != MsgPrepare || sent[0].Tip != (Tip{Ballot{1, 2}, 1}) {
		t.Fatalf("a candidate sends %v; want two Prepares that name its tip", sent)
	}
	step(t, n, Message{Kind: MsgReject, From: 2, Ballot: n.promised, Promised: Ballot{1, 2}})
	if n.role != Candidate {
		t.Fatalf("after one refusal of two the candidate is %v", n.role)
	}
	step(t, n, Message{Kind: MsgReject, From: 3, Ballot: n.promised, Promised: Ballot{1, 2}})
	if n.role != Follower || n.backoffs != 1 {
		t.Errorf("after two refusals the candidate is %v, %d backoffs", n.role, n.backoffs)
	}
}

// TestTipOrderIsTotal: of any two logs one is at least as up to date as the other,
// so of any quorum some member is eligible.
func TestTipOrderIsTotal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func() Tip {
			return Tip{Ballot{rapid.Uint64Range(0, 3).Draw(rt, "round"), NodeID(rapid.IntRange(1, 2).Draw(rt, "node"))}, rapid.Uint64Range(0, 3).Draw(rt, "slot")}
		}
		a, b, c := draw(), draw(), draw()
		if a != b && a.Less(b) == b.Less(a) || a.Less(a) || a.Less(b) && b.Less(c) && !a.Less(c) {
			rt.Fatalf("%v, %v and %v are not in order", a, b, c)
		}
	})
}

// TestSwitchN: which messages name the chosen prefix, and when a bare notice leaves.
func TestSwitchN(t *testing.T) {
	for mode, want := range map[NoticeMode]struct {
		bare        bool // while another slot is in flight
		accept, end uint64
	}{
		NoticeIdle: {false, 1, 2}, NoticeEager: {true, 1, 2}, NoticePiggyback: {false, 1, 0}, NoticeHeartbeat: {false, 0, 0},
	} {
		c := config(1, 3)
		c.Switches.Notice = mode
		n := newNode(t, c)
		b := elect(t, n)
		propose := func() (sent []Message) {
			if _, err := n.Propose([]byte("v")); err != nil {
				t.Fatal(err)
			}
			sent, _ = flush(n)
			return sent
		}
		acked := func(slot uint64) (sent []Message) {
			step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: slot})
			sent, _ = flush(n)
			return sent
		}
		highest := func(sent []Message, k Kind) (chosen uint64, any bool) {
			for _, m := range sent {
				if m.Kind == k {
					chosen, any = max(chosen, m.Chosen), true
				}
			}
			return chosen, any
		}
		propose()
		propose()
		if _, bare := highest(acked(1), MsgChosen); bare != want.bare {
			t.Errorf("notice %d: bare notice with a slot in flight: %t", mode, bare)
		}
		if got, _ := highest(propose(), MsgAccept); got != want.accept {
			t.Errorf("notice %d: an Accept names %d, want %d", mode, got, want.accept)
		}
		acked(2)
		n.lead.next, n.lead.unsent = 3, nil // as if slot 3 had not been proposed
		n.lead.notified = 1
		sent, _ := flush(n)
		if got, _ := highest(sent, MsgChosen); got != want.end {
			t.Errorf("notice %d: with nothing in flight a bare notice names %d, want %d", mode, got, want.end)
		}
		for range n.cfg.HeartbeatTicks {
			n.Tick()
		}
		sent, _ = flush(n)
		if got, _ := highest(sent, MsgHeartbeat); got != 2 {
			t.Errorf("notice %d: a heartbeat names %d, want 2", mode, got)
		}
	}
}

// TestSwitchG: with catch-up from the leader only, nobody else is asked, and with
// no leader nobody.
func TestSwitchG(t *testing.T) {
	asked := func(g CatchUpMode, leader bool) (to []NodeID) {
		c := config(1, 3)
		c.Switches.CatchUp = g
		n := newNode(t, c)
		if leader {
			step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{1, 2}, Chosen: 5})
		} else {
			step(t, n, Message{Kind: MsgCatchUpReply, From: 3, Chosen: 5})
		}
		for range 4 * c.HeartbeatTicks {
			n.tickFetch()
			sent, _ := flush(n)
			for _, m := range sent {
				if m.Kind == MsgCatchUp && !slices.Contains(to, m.To) {
					to = append(to, m.To)
				}
			}
		}
		return to
	}
	if got := asked(FromAny, true); !slices.Equal(got, []NodeID{3, 2}) {
		t.Errorf("from any: asks %v in turn, want 3 and 2", got)
	}
	if got := asked(FromLeader, true); !slices.Equal(got, []NodeID{2}) {
		t.Errorf("from the leader: asks %v, want 2", got)
	}
	if got := asked(FromLeader, false); len(got) != 0 {
		t.Errorf("from the leader, which is unknown: asks %v", got)
	}
}

// TestRule18QuorumsIntersect: every pair of sizes is admitted if and only if any two
// such sets of members share one.
func TestRule18QuorumsIntersect(t *testing.T) {
	for n := 1; n <= 7; n++ {
		for q1 := 1; q1 <= n; q1++ {
			for q2 := 1; q2 <= n; q2++ {
				apart := false
				for a := range 1 << n {
					for b := range 1 << n {
						va, vb := votes(a), votes(b)
						apart = apart || va.count() == q1 && vb.count() == q2 && va&vb == 0
					}
				}
				c := config(1, n)
				c.Phase1Quorum, c.Phase2Quorum = q1, q2
				_, err := New(c)
				if (err != nil) != apart || err != nil && !strings.Contains(err.Error(), "rule 18") {
					t.Errorf("quorums of %d and %d of %d: error %v; disjoint ones exist: %t", q1, q2, n, err, apart)
				}
			}
		}
	}
	for _, bad := range [][2]int{{-1, 3}, {4, 3}, {3, 4}, {3, -2}} {
		c := config(1, 3)
		c.Phase1Quorum, c.Phase2Quorum = bad[0], bad[1]
		if _, err := New(c); err == nil {
			t.Errorf("quorums %v of 3 are taken", bad)
		}
	}
}

// TestFlexibleQuorums: with quorums of 4 and 2 of 5 a leader needs four promises,
// itself included, and chooses with one other node.
func TestFlexibleQuorums(t *testing.T) {
	c := config(1, 5)
	c.Phase1Quorum, c.Phase2Quorum, c.CheckQuorum = 4, 2, true
	n := newNode(t, c)
	n.Campaign()
	flush(n)
	for from := NodeID(2); from <= 4; from++ {
		if n.role == Leader {
			t.Fatalf("it leads with %d promises", from-1)
		}
		step(t, n, Message{Kind: MsgPromise, From: from, Ballot: n.promised, Lo: 1, Hi: 1, Done: true})
	}
	if flush(n); n.role != Leader {
		t.Fatalf("with four promises it is %v", n.role)
	}
	if _, err := n.Propose([]byte("v")); err != nil {
		t.Fatal(err)
	}
	if flush(n); n.chosen != 0 {
		t.Fatal("a slot is chosen by its proposer alone")
	}
	step(t, n, Message{Kind: MsgAccepted, From: 5, Ballot: n.promised, Lo: 1, Hi: 1})
	if flush(n); n.chosen != 1 {
		t.Errorf("chosen through %d with two of five, want 1", n.chosen)
	}
}
