package paxos

import (
	"errors"
	"testing"
)

// lost holds entries until it fails.
type lost struct {
	store
	failed bool
}

func (l *lost) Entries(lo, hi uint64, maxBytes int) ([]Entry, error) {
	if l.failed {
		return nil, errDisk
	}
	return l.store.Entries(lo, hi, maxBytes)
}

// A late copy of an Accept for a chosen slot finds an entry that can no longer
// be read: a fault of the disk, not of the protocol.
func TestAnUnreadableEntryIsNoBrokenRule(t *testing.T) {
	b := Ballot{1, 2}
	e := Entry{1, b, []byte("v")}
	c := config(1, 3)
	disk := &lost{store: store{1: e}}
	c.Storage, c.HardState = disk, HardState{Promised: b, Chosen: 1}
	n := newNode(t, c)
	disk.failed = true
	err := n.Step(Message{Kind: MsgAccept, From: 2, To: 1, Ballot: b, Chosen: 1, Entries: []Entry{e}})
	if !errors.Is(err, errDisk) || !errors.Is(n.Err(), errDisk) || n.HasReady() {
		t.Errorf("step: %v, err: %v, has ready: %v", err, n.Err(), n.HasReady())
	}
}

// While the disk stalls, a question that is repeated leaves one answer waiting,
// be it another's question or this node's own.
func TestStalledDiskKeepsOneCopyOfWhatIsRepeated(t *testing.T) {
	n := newNode(t, config(1, 3))
	for range 100 {
		step(t, n, Message{Kind: MsgPrepare, From: 2, Ballot: Ballot{1, 2}, Lo: 1})
		n.Ready() // handed out, never persisted
	}
	if got := len(n.out.after); got > 1 {
		t.Errorf("%d promises wait; want 1", got)
	}
	c := config(1, 3)
	c.ElectionTicks = 1000
	n = newNode(t, c)
	n.Campaign()
	for range 100 {
		n.Tick()
		n.Ready()
	}
	if got := len(n.out.after); n.role != Candidate || got > 2 {
		t.Errorf("%v, and %d messages wait; want one for each of two peers", n.role, got)
	}
}
