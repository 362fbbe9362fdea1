package paxos

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// The tests of this file hold Raft mode against the sections of "In Search of an
// Understandable Consensus Algorithm" (Ongaro, Ousterhout; extended version). A term
// is a round.

func raftConfig(id NodeID, members int) Config {
	c := config(id, members)
	c.Switches = RaftMode()
	return c
}

// log describes what a node holds, by round: "1 1 3".
func (s store) rounds() (text string) {
	for slot := uint64(1); slot <= uint64(len(s)); slot++ {
		text += fmt.Sprintf("%d ", s[slot].Ballot.Round)
	}
	return text
}

// raftNode returns a follower whose log holds entries of those rounds, of leader 2.
func raftNode(t *testing.T, members int, rounds ...uint64) *Node {
	t.Helper()
	return with(t, raftConfig(1, members), rounds...)
}

// TestRaft52_OneVoteATerm - "each server will vote for at most one candidate in a
// given term, on a first-come-first-served basis", also across a restart.
func TestRaft52_OneVoteATerm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := raftNode(t, 5)
		votes := map[uint64]NodeID{}
		for range rapid.IntRange(1, 12).Draw(rt, "requests") {
			if rapid.Bool().Draw(rt, "restart") {
				c := n.cfg
				c.HardState = n.out.written
				n = newNode(t, c)
			}
			b := Ballot{rapid.Uint64Range(1, 4).Draw(rt, "round"), NodeID(rapid.IntRange(2, 5).Draw(rt, "candidate"))}
			step(t, n, Message{Kind: MsgPrepare, From: b.Node, Ballot: b, Lo: 1})
			sent, _ := flush(n)
			for _, m := range sent {
				if m.Kind != MsgPromise {
					continue
				}
				if to, voted := votes[m.Ballot.Round]; voted && to != m.To {
					rt.Fatalf("in round %d it votes for %d and for %d", m.Ballot.Round, to, m.To)
				}
				votes[m.Ballot.Round] = m.To
			}
		}
	})
}

// TestRaft52_SplitVote - "each candidate will time out and start a new election": a
// candidate that got no majority neither outbids the other nor waits longer.
func TestRaft52_SplitVote(t *testing.T) {
	n := raftNode(t, 3)
	n.Campaign()
	flush(n)
	first := n.promised
	step(t, n, Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{first.Round, 3}, Lo: 1})
	sent, _ := flush(n)
	if len(sent) != 1 || sent[0].Kind != MsgReject || n.role != Candidate {
		t.Fatalf("a rival of the same round gets %v, and the candidate is %v", sent, n.role)
	}
	for _, from := range []NodeID{2, 3} {
		step(t, n, Message{Kind: MsgReject, From: from, Ballot: first, Promised: Ballot{first.Round, 3}})
	}
	if n.role != Follower || n.backoffs != 0 || n.timeout >= 2*n.cfg.ElectionTicks {
		t.Errorf("after a split vote it is %v, %d backoffs, timeout %d", n.role, n.backoffs, n.timeout)
	}
	// "If the leader's term is at least as large as the candidate's current term, the
	// candidate recognizes the leader as legitimate", though its vote went elsewhere.
	n.Campaign()
	flush(n)
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{n.promised.Round, 2}})
	if n.role != Follower || n.leader != 2 {
		t.Errorf("the leader of its own round makes a candidate %v of %d", n.role, n.leader)
	}
}

// TestRaft53_ConsistencyCheck - "if the follower does not find an entry in its log with
// the same index and term, then it refuses the new entries"; conflicting entries and
// all that follow are dropped, equal ones stay.
func TestRaft53_ConsistencyCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		log     []uint64
		prev    Tip
		entries []uint64
		refused bool
		want    string
	}{
		{"the first", nil, Tip{}, []uint64{1}, false, "1 "},
		{"in place", []uint64{1, 1}, Tip{Ballot{1, 2}, 2}, []uint64{4}, false, "1 1 4 "},
		{"behind a gap", []uint64{1}, Tip{Ballot{1, 2}, 3}, []uint64{4}, true, "1 "},
		{"behind another entry", []uint64{1, 1, 2}, Tip{Ballot{1, 2}, 3}, []uint64{4}, true, "1 1 2 "},
		{"conflict", []uint64{1, 2, 2, 2}, Tip{Ballot{1, 2}, 1}, []uint64{3}, false, "1 3 "},
		{"the same again", []uint64{1, 1, 1}, Tip{Ballot{1, 2}, 1}, []uint64{1}, false, "1 1 1 "},
		{"the same, then a conflict", []uint64{1, 1, 2, 2}, Tip{Ballot{1, 2}, 1}, []uint64{1, 3}, false, "1 1 3 "},
	} {
		n := raftNode(t, 3, c.log...)
		b := Ballot{5, 2}
		m := Message{Kind: MsgAccept, From: 2, Ballot: b, Tip: c.prev}
		for i, r := range c.entries {
			m.Entries = append(m.Entries, Entry{c.prev.Slot + 1 + uint64(i), Ballot{r, 2}, []byte("v")})
		}
		step(t, n, m)
		sent, _ := flush(n)
		if len(sent) != 1 || (sent[0].Kind == MsgBehind) != c.refused || !c.refused && sent[0].Kind != MsgAccepted {
			t.Errorf("%s: answers %v", c.name, sent)
			continue
		}
		if end := c.prev.Slot + uint64(len(c.entries)); !c.refused && sent[0].Hi != end {
			t.Errorf("%s: acknowledges through %d; the leader's log is known through %d", c.name, sent[0].Hi, end)
		}
		if got := n.cfg.Storage.(store).rounds(); got != c.want {
			t.Errorf("%s: the log is %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRaft53_Figure7 - each of the followers of figure 7 is brought to the leader's log.
func TestRaft53_Figure7(t *testing.T) {
	leaders := []uint64{1, 1, 1, 4, 4, 5, 5, 6, 6, 6}
	for name, log := range map[string][]uint64{
		"a": {1, 1, 1, 4, 4, 5, 5, 6, 6},
		"b": {1, 1, 1, 4},
		"c": {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
		"d": {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
		"e": {1, 1, 1, 4, 4, 4, 4},
		"f": {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
	} {
		l := raftNode(t, 3, leaders...)
		c := raftConfig(2, 3)
		f := with(t, c, log...)
		l.highest = Ballot{7, 2} // the leader is of term 8
		b := elect(t, l)
		if b.Round != 8 {
			t.Fatalf("the leader is of %v", b)
		}
		for range 20 {
			for range l.cfg.HeartbeatTicks {
				l.Tick()
			}
			exchange(t, l, f)
		}
		want := l.cfg.Storage.(store).rounds()
		if got := f.cfg.Storage.(store).rounds(); got != want || l.chosen != 11 {
			t.Errorf("follower %s ends with %q, chosen through %d; the leader has %q", name, got, l.chosen, want)
		}
	}
}

// exchange carries messages between two nodes until neither has more.
func exchange(t *testing.T, a, b *Node) {
	t.Helper()
	for busy := true; busy; {
		busy = false
		for _, pair := range [][2]*Node{{a, b}, {b, a}} {
			sent, _ := flush(pair[0])
			for _, m := range sent {
				if m.To == pair[1].cfg.ID {
					busy = true
					m.From = pair[0].cfg.ID
					step(t, pair[1], m)
				}
			}
		}
	}
}

// TestRaft541_Restriction - "the voter denies its vote if its own log is more
// up-to-date than that of the candidate", for any two logs.
func TestRaft541_Restriction(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var rounds []uint64
		for last := uint64(1); len(rounds) < rapid.IntRange(0, 6).Draw(rt, "slots"); {
			last += rapid.Uint64Range(0, 2).Draw(rt, "rise")
			rounds = append(rounds, last)
		}
		n := raftNode(t, 3, rounds...)
		theirs := Tip{Ballot{rapid.Uint64Range(1, 9).Draw(rt, "last round"), 2}, rapid.Uint64Range(1, 8).Draw(rt, "length")}
		step(t, n, Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{20, 3}, Lo: 1, Tip: theirs})
		sent, _ := flush(n)
		older := false
		if k := len(rounds); k > 0 {
			older = theirs.Ballot.Round < rounds[k-1] || theirs.Ballot.Round == rounds[k-1] && theirs.Slot < uint64(k)
		}
		if len(sent) != 1 || (sent[0].Kind == MsgReject) != older {
			rt.Fatalf("a log of rounds %v answers a candidate at %+v with %v", rounds, theirs, sent)
		}
		if len(sent[0].Entries) > 0 {
			rt.Fatal("a vote carries entries")
		}
	})
}

// TestRaft542_Figure8 - "only log entries from the leader's current term are committed
// by counting replicas": whatever the acknowledgements, nothing is chosen before an own
// entry has a quorum; then everything before it is.
func TestRaft542_Figure8(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		old := rapid.IntRange(1, 6).Draw(rt, "old entries")
		rounds := make([]uint64, old)
		for i := range rounds {
			rounds[i] = 2
		}
		n := raftNode(t, 5, rounds...)
		n.Campaign()
		flush(n)
		for _, from := range []NodeID{2, 3} {
			step(t, n, Message{Kind: MsgPromise, From: from, Ballot: n.promised, Lo: 1, Hi: 1, Done: true})
		}
		flush(n)
		own := uint64(old) + 1
		acked := map[NodeID]uint64{}
		for range rapid.IntRange(1, 10).Draw(rt, "acknowledgements") {
			from := NodeID(rapid.IntRange(2, 5).Draw(rt, "from"))
			acked[from] = max(acked[from], rapid.Uint64Range(1, own).Draw(rt, "through"))
			step(t, n, Message{Kind: MsgAccepted, From: from, Ballot: n.promised, Lo: 1, Hi: acked[from]})
			flush(n)
			have := 1 // the leader itself
			for hi := range maps.Values(acked) {
				if hi >= own {
					have++
				}
			}
			if want := map[bool]uint64{true: own, false: 0}[have >= 3]; n.chosen != want {
				rt.Fatalf("acknowledged %v, own entry %d: chosen through %d, want %d", acked, own, n.chosen, want)
			}
		}
	})
}

// TestRaft8_NoOpBeforeReads - "a leader must have the latest information on which
// entries are committed": it begins with a no-op, and reads wait for that.
func TestRaft8_NoOpBeforeReads(t *testing.T) {
	n := raftNode(t, 3, 1, 1)
	b := elect(t, n)
	if own, ok := n.log.get(3); !ok || own.Ballot != b || len(own.Value) != 0 {
		t.Fatalf("the leader begins with %v, want a no-op in slot 3", own)
	}
	if err := n.ReadIndex(7); err != nil {
		t.Fatal(err)
	}
	flush(n)
	step(t, n, Message{Kind: MsgReadConfirmReply, From: 2, Ballot: b, ID: n.lead.round})
	if _, reads := flush(n); len(reads) != 0 {
		t.Fatalf("a read is served before the no-op is chosen: %v", reads)
	}
	step(t, n, Message{Kind: MsgAccepted, From: 2, Ballot: b, Lo: 1, Hi: 3})
	if _, reads := flush(n); len(reads) != 1 || reads[0].Refused || reads[0].Slot < 3 {
		t.Errorf("after the no-op is chosen: reads %v", reads)
	}
}

// TestContiguousAcceptance: with old slots re-proposed, what is behind a gap is as good
// as lost, until the gap is filled.
func TestContiguousAcceptance(t *testing.T) {
	c := config(1, 3)
	c.Switches.Acceptance = Contiguous
	n := newNode(t, c)
	b := Ballot{1, 2}
	accept := func(slots ...uint64) (hi uint64) {
		m := Message{Kind: MsgAccept, From: 2, Ballot: b}
		for _, s := range slots {
			m.Entries = append(m.Entries, Entry{s, b, []byte("v")})
		}
		step(t, n, m)
		sent, _ := flush(n)
		for _, m := range sent {
			hi = max(hi, m.Hi)
		}
		return hi
	}
	if got := accept(2, 3); got != 0 || n.log.last != 0 {
		t.Errorf("slots 2 and 3 behind a gap: acknowledged through %d, log through %d", got, n.log.last)
	}
	if got := accept(1, 2, 4); got != 2 || n.log.last != 2 {
		t.Errorf("slots 1, 2 and 4: acknowledged through %d, log through %d; want 2", got, n.log.last)
	}
	if got := accept(3, 4); got != 4 {
		t.Errorf("slots 3 and 4 at last: acknowledged through %d", got)
	}
}

// TestRaft51_TermsAreTakenOver - "if one server's current term is smaller than the
// other's, then it updates its current term to the larger value": also from a candidate
// that it refuses. Its vote in that term is still to be given, and its own timeout is not
// put off.
func TestRaft51_TermsAreTakenOver(t *testing.T) {
	n := raftNode(t, 3, 1, 1)
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{3, 2}})
	for range 5 {
		n.Tick()
	}
	elapsed, timeout := n.elapsed, n.timeout
	step(t, n, Message{Kind: MsgPrepare, From: 3, Ballot: Ballot{6, 3}, Lo: 1})
	if sent, _ := flush(n); sent[len(sent)-1].Kind != MsgReject || n.elapsed != elapsed || n.timeout != timeout {
		t.Fatalf("a candidate without a log gets %v; the timeout moves from %d of %d to %d of %d", sent, elapsed, timeout, n.elapsed, n.timeout)
	}
	step(t, n, Message{Kind: MsgHeartbeat, From: 2, Ballot: Ballot{3, 2}})
	if sent, _ := flush(n); len(sent) != 1 || sent[0].Kind != MsgReject {
		t.Errorf("the leader of an older term gets %v", sent)
	}
	step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{6, 2}, Lo: 1, Tip: Tip{Ballot{1, 2}, 2}})
	if sent, _ := flush(n); len(sent) != 1 || sent[0].Kind != MsgPromise {
		t.Errorf("an eligible candidate of the term taken over gets %v", sent)
	}
}
