package etcdraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// store is raft.Storage over the shared log. The library asks it only for what
// is durable.
type store struct {
	log  *storage.Log
	hard *pb.HardState
	conf *pb.ConfState
	// recent holds the library's own structures of entries that were written
	// but not yet applied, so that applying one does not build it anew. The
	// bytes are the log's in any case.
	recent []*pb.Entry
}

const maxRecent = 4096

func newStore(cfg consensus.Config, log *storage.Log) (*store, error) {
	s := &store{log: log, conf: &pb.ConfState{}}
	for _, p := range cfg.Peers {
		s.conf.Voters = append(s.conf.Voters, uint64(p.ID))
	}
	data := log.HardState()
	if data == nil {
		return s, nil
	}
	hard, err := decodeHardState(data)
	if err != nil {
		return nil, err
	}
	if _, last := log.Bounds(); hard.GetCommit() > last {
		return nil, fmt.Errorf("etcdraft: the hard state says that %d is committed, but the log ends at %d", hard.GetCommit(), last)
	}
	s.hard = hard
	return s, nil
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
		out[i] = &b.entry
	}
	return out, nil
}

// Term implements raft.Storage.
func (s *store) Term(i uint64) (uint64, error) {
	if i == 0 {
		return 0, nil
	}
	if stamp, ok := s.log.Stamp(i); ok {
		return stamp, nil
	}
	return 0, raft.ErrUnavailable
}

// LastIndex implements raft.Storage.
func (s *store) LastIndex() (uint64, error) {
	_, last := s.log.Bounds()
	return last, nil
}

// FirstIndex implements raft.Storage: nothing is compacted while snapshots are
// off.
func (s *store) FirstIndex() (uint64, error) { return 1, nil }

var errNoSnapshots = errors.New("etcdraft: snapshots are off")

// Snapshot implements raft.Storage.
func (s *store) Snapshot() (*pb.Snapshot, error) { return nil, errNoSnapshots }
