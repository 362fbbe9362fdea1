package paxos

import (
	"errors"
	"slices"
	"testing"
)

// changedLog is a log of n slots in which slot 2 replaces node 2 by node 4 and slot 6
// (alpha is 4) seals that.
func changedLog(n uint64) store {
	s := store{}
	for slot := uint64(1); slot <= n; slot++ {
		s[slot] = Entry{slot, Ballot{1, 1}, []byte("x")}
	}
	s[2] = Entry{2, Ballot{1, 1}, encodeMembers(Members{Voters: []NodeID{1, 3, 4}, MaxID: 4})}
	s[6] = Entry{6, Ballot{1, 1}, encodeSeal(2)}
	return s
}

func recovered(t *testing.T, through uint64, s Snapshot) *Node {
	t.Helper()
	c := config(3, 3)
	c.Storage, c.Snapshot, c.HardState = changedLog(through), s, HardState{Ballot{1, 1}, through}
	return newNode(t, c)
}

func mustVote(t *testing.T, n *Node, want ...NodeID) {
	t.Helper()
	if c := n.current(); !slices.Equal(c.Voters, want) {
		t.Errorf("slot %d is governed by %v; want %v", n.edge()+1, c.Voters, want)
	}
}

// TestRule16SnapshotKnowsFurtherMembers: a laggard that was told of the members
// through slot 8, and then took a snapshot through slot 6, knows them after a restart,
// however much it has learned since.
func TestRule16SnapshotKnowsFurtherMembers(t *testing.T) {
	donor := recovered(t, 8, Snapshot{})
	mustVote(t, donor, 1, 3, 4)
	c := config(3, 3)
	c.HardState = HardState{Ballot{1, 1}, 0}
	n := newNode(t, c)
	step(t, n, Message{Kind: MsgCatchUpReply, From: 1, Lo: 1, Chosen: 8, Settled: 8, Data: donor.SnapshotData(8)})
	flush(n)
	n.FetchFailed(1)
	all := changedLog(10)
	for slot := uint64(1); slot <= 6; slot++ {
		step(t, n, Message{Kind: MsgCatchUpReply, From: 1, Lo: slot, Chosen: 8, Entries: []Entry{all[slot]}})
	}
	flush(n)
	s := Snapshot{Slot: 6, Ballot: Ballot{1, 1}, Data: n.SnapshotData(6)}
	n.Compact(6, s)
	for _, through := range []uint64{6, 7, 8, 10} {
		mustVote(t, recovered(t, through, s), 1, 3, 4)
	}
}

// TestRule16AppliedMembersAreKnown: what the state machine outlives a crash with
// takes no change of the members from the node.
func TestRule16AppliedMembersAreKnown(t *testing.T) {
	c := config(3, 3)
	c.Storage, c.HardState, c.Applied = changedLog(8), HardState{Ballot{1, 1}, 8}, 7
	n := newNode(t, c)
	mustVote(t, n, 1, 3, 4)
	if m := n.Members(); m.Before != nil || !slices.Equal(m.Members.Voters, []NodeID{1, 3, 4}) {
		t.Errorf("it shows %+v", m)
	}
}

// TestRule16FoundersAreKept: a node that joined, and learned all from the log, does not
// know the founders; who is told of the members by it keeps them while they govern.
func TestRule16FoundersAreKept(t *testing.T) {
	c := config(4, 3)
	c.Join = true
	donor := newNode(t, c)
	step(t, donor, Message{Kind: MsgHeartbeat, From: 1, Ballot: Ballot{1, 1}, Chosen: 4})
	all := changedLog(4)
	for slot := uint64(1); slot <= 4; slot++ {
		step(t, donor, Message{Kind: MsgCatchUpReply, From: 1, Lo: slot, Chosen: 4, Entries: []Entry{all[slot]}})
	}
	flush(donor)
	n := newNode(t, config(3, 3))
	step(t, n, Message{Kind: MsgHeartbeat, From: 1, Ballot: Ballot{1, 1}})
	step(t, n, Message{Kind: MsgCatchUpReply, From: 4, Lo: 1, Chosen: 4, Settled: 4, Data: donor.SnapshotData(4)})
	mustVote(t, n, 1, 2, 3)
	if c := n.newest(); c.sealed || c.from != 6 || !slices.Equal(c.Voters, []NodeID{1, 3, 4}) {
		t.Errorf("the newest configuration is %+v", c)
	}
}

// TestOldChangeAcceptedAgain: a change that was chosen long ago, and is proposed again
// by a leader who does not know that, holds up no other.
func TestOldChangeAcceptedAgain(t *testing.T) {
	n := recovered(t, 8, Snapshot{})
	flush(n)
	b := Ballot{2, 1}
	e := n.cfg.Storage.(store)[2]
	e.Ballot = b
	step(t, n, Message{Kind: MsgAccept, From: 1, Ballot: b, Chosen: 8, Entries: []Entry{e}})
	flush(n)
	n.Campaign()
	flush(n)
	step(t, n, Message{Kind: MsgPromise, From: 4, Ballot: n.promised, Lo: 9, Hi: 9, Done: true})
	if _, err := n.ProposeMembers(Members{Voters: []NodeID{1, 3, 4, 5}}); err != nil {
		t.Fatal(err)
	}
}

// TestForeignQuorumsDecideNothing: a node that joins with quorums which the members
// cannot have must not take that for quorums of nobody.
func TestForeignQuorumsDecideNothing(t *testing.T) {
	c := config(3, 3)
	c.Join, c.Phase1Quorum, c.Phase2Quorum = true, 5, 5
	c.Snapshot = Snapshot{Slot: 8, Ballot: Ballot{1, 1}, Data: recovered(t, 8, Snapshot{}).SnapshotData(8)}
	n := newNode(t, c)
	mustVote(t, n, 1, 3, 4)
	n.Campaign()
	if flush(n); n.role == Leader {
		t.Fatal("it leads without a promise")
	}
}

// TestOneVoteKeepsItsMembers: see paxostest/testdata/vote_members.txt for why.
func TestOneVoteKeepsItsMembers(t *testing.T) {
	c := config(1, 3)
	c.Switches.Number = OneVote
	n := newNode(t, c)
	elect(t, n)
	if _, err := n.ProposeMembers(Members{Voters: []NodeID{1, 2, 4}}); !errors.Is(err, ErrChange) {
		t.Fatalf("a change of the members: %v", err)
	}
}
