package paxos

import "testing"

// A candidate that lacks a long chosen tail learns it from whoever reports it
// first, and keeps no other copy of it.
func TestLaggardKeepsNoReportOfWhatIsChosen(t *testing.T) {
	n := newNode(t, config(1, 5))
	n.Campaign()
	flush(n)
	b := n.promised
	var tail []Entry
	for slot := uint64(1); slot <= 40; slot++ {
		tail = append(tail, Entry{slot, Ballot{0, 3}, []byte("v")})
	}
	// The second node's copy, but for the first slot, comes before it is known
	// chosen; the third node's afterwards.
	step(t, n, Message{Kind: MsgPromise, From: 2, Ballot: b, Lo: 1, Hi: 41, Entries: tail[1:]})
	if got := len(n.cand.best); got != 39 {
		t.Fatalf("%d reports are kept; want 39", got)
	}
	step(t, n, Message{Kind: MsgPromise, From: 3, Ballot: b, Lo: 1, Hi: 41, Chosen: 40, Entries: tail})
	step(t, n, Message{Kind: MsgPromise, From: 4, Ballot: b, Lo: 1, Hi: 41, Chosen: 40, Entries: tail})
	if n.chosen != 40 || len(n.cand.best) != 0 {
		t.Errorf("%d slots are chosen and %d reports kept; want 40 and 0", n.chosen, len(n.cand.best))
	}
}
