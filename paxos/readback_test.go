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
