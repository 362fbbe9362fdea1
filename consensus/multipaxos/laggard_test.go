package multipaxos

import (
	"errors"
	"testing"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
	"gfslab/paxos"
)

// openCore opens node 1 of three on an empty log.
func openCore(t *testing.T) (*core, *storage.Log) {
	t.Helper()
	log, err := storage.Open(storage.Options{FS: faultdisk.NewMem(1), Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := consensus.Config{Cluster: "x", Self: 1, Limits: consensus.Matched2()}
	for id := range consensus.NodeID(3) {
		cfg.Peers = append(cfg.Peers, consensus.Peer{ID: id + 1, Addr: "x"})
	}
	c, err := NewCore(cfg, log, engine.Start{Founders: consensus.Founders(cfg.Peers)})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*core), log
}

// drain writes what c asks for and returns the messages that left.
func drain(t *testing.T, c *core, log *storage.Log) (sent []paxos.Message) {
	t.Helper()
	for c.HasReady() {
		var rd engine.Ready
		c.Ready(&rd)
		if rd.Token != 0 {
			if err := log.Commit(&storage.Batch{HardState: rd.Persist.HardState, Entries: rd.Persist.Entries}); err != nil {
				t.Fatalf("the log cannot hold what the node accepted: %v", err)
			}
			c.Persisted(rd.Token)
		}
		for _, m := range append(rd.SendNow, rd.SendAfterPersist...) {
			sent = append(sent, paxos.Message(*m.Body.(*body)))
		}
		if n := len(rd.Apply); n > 0 {
			c.Applied(rd.Apply[n-1].Index)
		}
	}
	return sent
}

func stepFrom(t *testing.T, c *core, from consensus.NodeID, m paxos.Message) {
	t.Helper()
	if err := c.Step(from, (*body)(&m).Append(nil)); err != nil {
		t.Fatal(err)
	}
}

// A node that was away while the others chose millions of slots hears the next
// Accept first. Its log must not be asked for a gap that it refuses, on this side
// of what is missing or on the other.
func TestALaggardCatchesUpBeforeItAccepts(t *testing.T) {
	for _, known := range []uint64{0, 3} {
		const far = 5 << 20
		c, log := openCore(t)
		b := paxos.Ballot{Round: 1, Node: 2}
		entry := func(slot uint64) []paxos.Entry { return []paxos.Entry{{Slot: slot, Ballot: b, Value: []byte("v")}} }
		for slot := uint64(1); slot <= known; slot++ {
			stepFrom(t, c, 2, paxos.Message{Kind: paxos.MsgAccept, Ballot: b, Chosen: slot, Entries: entry(slot)})
		}
		drain(t, c, log)
		stepFrom(t, c, 2, paxos.Message{Kind: paxos.MsgAccept, Ballot: b, Chosen: far - 1, Entries: entry(far)})
		for _, m := range drain(t, c, log) {
			if m.Kind == paxos.MsgAccepted {
				t.Fatalf("it acknowledged %d to %d", m.Lo, m.Hi)
			}
		}
		stepFrom(t, c, 3, paxos.Message{Kind: paxos.MsgCatchUpReply, Lo: known + 1, Chosen: far - 1, Entries: entry(known + 1)})
		drain(t, c, log)
		if got := c.Status().Committed; got != known+1 {
			t.Fatalf("it knows %d slots, want %d", got, known+1)
		}
		near := known + 1 + paxos.MaxAhead
		stepFrom(t, c, 2, paxos.Message{Kind: paxos.MsgAccept, Ballot: b, Chosen: known, Entries: entry(near)})
		if sent := drain(t, c, log); len(sent) == 0 || sent[len(sent)-1].Kind != paxos.MsgAccepted || sent[len(sent)-1].Lo != near {
			t.Fatalf("it did not accept slot %d: %v", near, sent)
		}
	}
}

// The core asks for one entry, whatever its size, by a bound of 0 bytes.
func TestABoundOfNothingIsOneEntry(t *testing.T) {
	_, log := openCore(t)
	b := &storage.Batch{}
	for i := range uint64(20) {
		b.Entries = append(b.Entries, storage.Entry{Index: i + 1, Stamp: 1, Data: make([]byte, 100)})
	}
	if err := log.Commit(b); err != nil {
		t.Fatal(err)
	}
	got, err := store{log}.Entries(1, 21, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d entries, %v; want 1", len(got), err)
	}
}

// A candidate is the one to be hurt by promises and rejections out of thin air.
func TestHostileAnswersToACandidate(t *testing.T) {
	c, log := openCore(t)
	absurd := paxos.Message{Kind: paxos.MsgReject, Ballot: paxos.Ballot{Round: 1, Node: 1}, Promised: paxos.Ballot{Round: maxRound, Node: 2}}
	if err := c.Step(2, (*body)(&absurd).Append(nil)); !errors.Is(err, paxos.ErrMalformed) {
		t.Errorf("a round of 2^48-1: %v", err)
	}
	learned := paxos.Message{Kind: paxos.MsgCatchUpReply, Lo: 1, Chosen: 1, Entries: []paxos.Entry{
		{Slot: 1, Ballot: paxos.Ballot{Round: maxRound, Node: 2}, Value: []byte("v")}}}
	if err := c.Step(2, (*body)(&learned).Append(nil)); !errors.Is(err, paxos.ErrMalformed) {
		t.Errorf("an entry of round 2^48-1: %v", err)
	}
	c.node.Campaign()
	var attempt paxos.Message
	for _, m := range drain(t, c, log) {
		if m.Kind == paxos.MsgPrePrepare && m.To == 2 {
			attempt = m
		}
	}
	stepFrom(t, c, 2, paxos.Message{Kind: paxos.MsgPrePromise, Ballot: attempt.Ballot, ID: attempt.ID})
	drain(t, c, log)
	if got := c.node.Status().Role; got != paxos.Candidate {
		t.Fatalf("the node is a %v", got)
	}
	b := c.node.Status().Ballot
	outside := paxos.Message{Kind: paxos.MsgPromise, Ballot: b, Lo: 1, Hi: 2, Entries: []paxos.Entry{{Slot: 7, Ballot: b}}}
	if err := c.Step(2, (*body)(&outside).Append(nil)); !errors.Is(err, errMalformed) {
		t.Errorf("an entry outside its page: %v", err)
	}
	stepFrom(t, c, 2, paxos.Message{Kind: paxos.MsgPromise, Ballot: b, Lo: 1, Hi: 1, Done: true})
	if got := c.node.Status().Role; got != paxos.Leader {
		t.Errorf("the node is a %v after an honest promise", got)
	}
}
