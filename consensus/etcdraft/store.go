package etcdraft

import (
	"encoding/binary"
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// store is raft.Storage over the shared log. The library asks it only for what
// is durable.
type store struct {
	log  *storage.Log
	hard *pb.HardState
	conf *pb.ConfState
	// durable is what the log says of term and vote.
	durable struct{ term, vote uint64 }
	// floor is the entry before the first one; the library must know its term.
	floor mark
	// snapshot is the newest one, without its state; nil if there is none.
	snapshot *pb.Snapshot
	// recent holds the library's own structures of entries that were written
	// but not yet applied, so that applying one does not build it anew. The
	// bytes are the log's in any case.
	recent []*pb.Entry
}

const maxRecent = 4096

// mark is the place of an entry.
type mark struct{ index, stamp uint64 }

func newStore(m consensus.Members, snapshot storage.SnapshotMeta, log *storage.Log) (*store, error) {
	s := &store{log: log, conf: confState(m)}
	if snapshot.Index > 0 {
		s.offer(snapshot, m)
	}
	s.floor = s.findFloor(mark{snapshot.Index, snapshot.Stamp})
	data := log.HardState()
	if data == nil && snapshot.Index == 0 {
		return s, nil
	}
	hard := &pb.HardState{Term: new(uint64(0)), Vote: new(uint64(0)), Commit: new(uint64(0))}
	if data != nil {
		var err error
		if hard, err = decodeHardState(data); err != nil {
			return nil, err
		}
	}
	s.durable.term, s.durable.vote = hard.GetTerm(), hard.GetVote()
	if last, _ := s.LastIndex(); hard.GetCommit() > last {
		return nil, fmt.Errorf("etcdraft: the hard state says that %d is committed, but the log ends at %d", hard.GetCommit(), last)
	}
	// The commit index is written late, and a fetched snapshot may be durable before
	// the term in which it came: the snapshot vouches for both.
	hard.Commit = new(max(hard.GetCommit(), snapshot.Index))
	if hard.GetTerm() < snapshot.Stamp {
		hard.Term, hard.Vote = new(snapshot.Stamp), new(uint64(0))
	}
	s.hard = hard
	return s, nil
}

// findFloor finds the entry before the first one in a log that was opened. Of
// the entry through which the log was cut nobody knows the term, unless a
// snapshot ends there; then the first entry left serves.
func (s *store) findFloor(snapshot mark) mark {
	cut := s.log.Compacted()
	_, last := s.log.Bounds()
	if cut == 0 && (last >= snapshot.index || snapshot.index == 0) {
		return mark{}
	}
	if stamp, ok := s.log.Stamp(cut + 1); ok && cut < snapshot.index && last >= snapshot.index {
		return mark{cut + 1, stamp}
	}
	return snapshot
}

// offer makes a snapshot the one that the library tells others of.
func (s *store) offer(snapshot storage.SnapshotMeta, m consensus.Members) {
	s.snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		Index: new(snapshot.Index), Term: new(snapshot.Stamp), ConfState: confState(m),
	}}
}

// compact tells that the log drops everything through index, which is not above
// a snapshot.
func (s *store) compact(index uint64, snapshot mark) {
	if index <= s.floor.index {
		return
	}
	if stamp, ok := s.log.Stamp(index); ok {
		s.floor = mark{index, stamp}
	} else {
		s.floor = snapshot
	}
	s.forget(s.floor.index)
}

const hardStateBytes = 24

func encodeHardState(term, vote, commit uint64) []byte {
	b := make([]byte, 0, hardStateBytes)
	b = binary.LittleEndian.AppendUint64(b, term)
	b = binary.LittleEndian.AppendUint64(b, vote)
	return binary.LittleEndian.AppendUint64(b, commit)
}

func decodeHardState(b []byte) (*pb.HardState, error) {
	if len(b) != hardStateBytes {
		return nil, fmt.Errorf("etcdraft: the hard state has %d bytes, want %d", len(b), hardStateBytes)
	}
	return &pb.HardState{
		Term:   new(binary.LittleEndian.Uint64(b)),
		Vote:   new(binary.LittleEndian.Uint64(b[8:])),
		Commit: new(binary.LittleEndian.Uint64(b[16:])),
	}, nil
}

// InitialState implements raft.Storage.
func (s *store) InitialState() (*pb.HardState, *pb.ConfState, error) { return s.hard, s.conf, nil }

// keep remembers entries that are being written; they replace what follows
// their first index.
func (s *store) keep(entries []*pb.Entry) {
	if n := len(s.recent); n > 0 {
		from, first := entries[0].GetIndex(), s.recent[0].GetIndex()
		switch {
		case from < first || from > first+uint64(n):
			s.recent = nil
		default:
			clear(s.recent[from-first:])
			s.recent = s.recent[:from-first]
		}
	}
	s.recent = append(s.recent, entries...)
	if over := len(s.recent) - maxRecent; over > 0 {
		s.recent = s.recent[over:]
	}
}

// forget drops what was applied.
func (s *store) forget(applied uint64) {
	n := 0
	for n < len(s.recent) && s.recent[n].GetIndex() <= applied {
		s.recent[n] = nil
		n++
	}
	s.recent = s.recent[n:]
}

// Entries implements raft.Storage.
func (s *store) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= s.floor.index {
		return nil, raft.ErrCompacted
	}
	if len(s.recent) > 0 {
		first := s.recent[0].GetIndex()
		if lo >= first && hi <= first+uint64(len(s.recent)) {
			return limit(s.recent[lo-first:hi-first], maxSize), nil
		}
	}
	return s.read(lo, hi, maxSize)
}

// limit copies the longest prefix within maxSize bytes, but at least one entry.
func limit(entries []*pb.Entry, maxSize uint64) []*pb.Entry {
	n, size := 0, uint64(0)
	for n < len(entries) {
		size += uint64(len(entries[n].GetData())) + entryOverhead
		if n > 0 && size > maxSize {
			break
		}
		n++
	}
	return append([]*pb.Entry(nil), entries[:n]...)
}

// entryOverhead is more than an entry's encoding adds to its data.
const entryOverhead = 32

// read builds entries from the log, many with few allocations.
func (s *store) read(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	got, err := s.log.Entries(lo, hi, int(min(max(maxSize, 1), math.MaxInt)), nil)
	if err != nil {
		return nil, err
	}
	if len(got) == 0 {
		return nil, raft.ErrUnavailable
	}
	type built struct {
		entry       pb.Entry
		term, index uint64
	}
	room, out := make([]built, len(got)), make([]*pb.Entry, len(got))
	for i, e := range got {
		if e.Index != lo+uint64(i) {
			return nil, raft.ErrUnavailable
		}
		b := &room[i]
		b.term, b.index = e.Stamp, e.Index
		b.entry.Term, b.entry.Index, b.entry.Data = &b.term, &b.index, e.Data
		if len(e.Data) > 0 && e.Data[0] == engine.ConfigMark {
			b.entry.Type, b.entry.Data = pb.EntryConfChangeV2.Enum(), e.Data[1:]
		}
		out[i] = &b.entry
	}
	return out, nil
}

// Term implements raft.Storage.
func (s *store) Term(i uint64) (uint64, error) {
	switch {
	case i == s.floor.index:
		return s.floor.stamp, nil
	case i < s.floor.index:
		return 0, raft.ErrCompacted
	}
	if stamp, ok := s.log.Stamp(i); ok {
		return stamp, nil
	}
	return 0, raft.ErrUnavailable
}

// LastIndex implements raft.Storage.
func (s *store) LastIndex() (uint64, error) {
	_, last := s.log.Bounds()
	return max(last, s.floor.index), nil
}

// FirstIndex implements raft.Storage.
func (s *store) FirstIndex() (uint64, error) { return s.floor.index + 1, nil }

// Snapshot implements raft.Storage.
func (s *store) Snapshot() (*pb.Snapshot, error) {
	if s.snapshot == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s.snapshot, nil
}
