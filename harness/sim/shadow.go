package sim

import (
	"bytes"
	"fmt"

	"gfslab/consensus/storage"
)

// shadow is the dumb twin of a node's log: what was confirmed durable. It says
// which entries are on which disk while the node is down, and what its recovery
// must find.
type shadow struct {
	hard      []byte
	compacted uint64
	first     uint64 // index of entries[0]
	entries   []storage.Entry
	snapshot  uint64 // all through it is in a snapshot
	// doubtful may or may not have reached the disk before the last crash.
	doubtful *storage.Batch
}

// at is the entry at index, nil if there is none.
func (s *shadow) at(index uint64) *storage.Entry {
	if index < s.first || index >= s.first+uint64(len(s.entries)) || s.entries[index-s.first].Index == 0 {
		return nil
	}
	return &s.entries[index-s.first]
}

// commit does what storage.Log.Commit promises.
func (s *shadow) commit(b *storage.Batch) {
	if b.HardState != nil {
		s.hard = bytes.Clone(b.HardState)
	}
	if from := b.TruncateFrom; from != 0 && from < s.first+uint64(len(s.entries)) {
		s.entries = s.entries[:max(from, s.first)-s.first]
	}
	if to := b.CompactTo; to != 0 {
		s.compacted = max(s.compacted, to)
		if n := to + 1 - s.first; to >= s.first {
			s.entries = s.entries[min(n, uint64(len(s.entries))):]
			s.first = to + 1
		}
	}
	for _, e := range b.Entries {
		s.put(e)
	}
}

func (s *shadow) put(e storage.Entry) {
	if len(s.entries) == 0 {
		s.first = e.Index
	}
	if e.Index < s.first {
		s.entries = append(make([]storage.Entry, s.first-e.Index, s.first-e.Index+uint64(len(s.entries))), s.entries...)
		s.first = e.Index
	}
	for e.Index >= s.first+uint64(len(s.entries)) {
		s.entries = append(s.entries, storage.Entry{})
	}
	s.entries[e.Index-s.first] = e
}

// hold notes that a snapshot through index is durable.
func (s *shadow) hold(index uint64) { s.snapshot = max(s.snapshot, index) }

// mended follows what the engine does to a log that was just opened, in which it
// may finish what a crash cut short: nothing above the snapshot may get lost,
// unless the log contradicts the snapshot.
func (s *shadow) mended(log *storage.Log, snapshot storage.SnapshotMeta) error {
	if snapshot.Index < s.snapshot {
		return fmt.Errorf("the newest snapshot is one through %d; one through %d was durable", snapshot.Index, s.snapshot)
	}
	s.hold(snapshot.Index)
	if log.Compacted() == s.compacted {
		return nil
	}
	if log.Compacted() > snapshot.Index {
		return fmt.Errorf("the log was cut through %d, and the snapshot ends at %d", log.Compacted(), snapshot.Index)
	}
	at := s.at(snapshot.Index)
	agrees := at != nil && at.Stamp == snapshot.Stamp
	s.commit(&storage.Batch{CompactTo: log.Compacted()})
	if _, last := log.Bounds(); last == 0 && !agrees {
		s.entries = nil
	}
	return s.equals(log)
}

// doubt remembers a batch that was being written when the power went.
func (s *shadow) doubt(b *storage.Batch) {
	c := *b
	c.Entries = append([]storage.Entry(nil), b.Entries...)
	c.HardState = bytes.Clone(b.HardState)
	s.doubtful = &c
}

// recovered compares the shadow with what recovery found: what was durable, with
// or without the doubtful batch.
func (s *shadow) recovered(log *storage.Log) error {
	doubtful := s.doubtful
	s.doubtful = nil
	err := s.equals(log)
	if err != nil && doubtful != nil {
		s.commit(doubtful)
		err = s.equals(log)
	}
	return err
}

func (s *shadow) equals(log *storage.Log) error {
	if !bytes.Equal(s.hard, log.HardState()) {
		return fmt.Errorf("the hard state is %x, and %x was durable", log.HardState(), s.hard)
	}
	if log.Compacted() != s.compacted {
		return fmt.Errorf("the log is compacted through %d, and was through %d", log.Compacted(), s.compacted)
	}
	for n := len(s.entries); n > 0 && s.entries[n-1].Index == 0; n-- {
		s.entries = s.entries[:n-1]
	}
	for len(s.entries) > 0 && s.entries[0].Index == 0 {
		s.entries, s.first = s.entries[1:], s.first+1
	}
	var first, last uint64
	if n := len(s.entries); n > 0 {
		first, last = s.first, s.entries[n-1].Index
	}
	if f, l := log.Bounds(); f != first || l != last {
		return fmt.Errorf("the log holds %d-%d; %d-%d was durable", f, l, first, last)
	}
	// The bytes are compared when they are applied.
	for i := range s.entries {
		want := &s.entries[i]
		stamp, ok := log.Stamp(s.first + uint64(i))
		if ok != (want.Index != 0) || stamp != want.Stamp {
			return fmt.Errorf("entry %d has stamp %d; stamp %d was durable (0: no entry)", s.first+uint64(i), stamp, want.Stamp)
		}
	}
	return nil
}
