package hashiraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus/storage"
)

// store is the library's LogStore and StableStore over one storage.Log. It
// does not claim to be a MonotonicLogStore: the log allows gaps.
type store struct {
	log *storage.Log
	// stableWrites counts Set and SetUint64, each an fsync of its own: the
	// library writes term, vote's term and vote's candidate one by one.
	stableWrites atomic.Uint64
}

var (
	_ raft.LogStore    = (*store)(nil)
	_ raft.StableStore = (*store)(nil)
)

// errNotFound must have exactly this text: the library compares it.
var errNotFound = errors.New("not found")

// errRange is a DeleteRange in the middle of the log.
var errRange = errors.New("hashiraft: only a prefix or a suffix of the log can be deleted")

func (s *store) FirstIndex() (uint64, error) {
	first, _ := s.log.Bounds()
	return first, nil
}

func (s *store) LastIndex() (uint64, error) {
	_, last := s.log.Bounds()
	return last, nil
}

// GetLog answers raft.ErrLogNotFound in a gap.
func (s *store) GetLog(index uint64, l *raft.Log) error {
	e, err := s.entry(index)
	if err != nil {
		return err
	}
	return decodeLog(e, l)
}

func (s *store) entry(index uint64) (storage.Entry, error) {
	var room [1]storage.Entry
	found, err := s.log.Entries(index, index+1, 0, room[:0])
	if err != nil {
		return storage.Entry{}, err
	}
	if len(found) == 0 {
		return storage.Entry{}, raft.ErrLogNotFound
	}
	return found[0], nil
}

// lastCommand returns the highest index in (after, upTo] that carries a
// command for the state machine, or after if there is none. The entries must
// be committed, so that they do not change meanwhile.
func (s *store) lastCommand(after, upTo uint64) (uint64, error) {
	for i := upTo; i > after; i-- {
		e, err := s.entry(i)
		if err != nil {
			return 0, err
		}
		kind, err := logType(e)
		if err != nil {
			return 0, err
		}
		if kind == raft.LogCommand {
			return i, nil
		}
	}
	return after, nil
}

func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs makes all of logs durable with one fsync.
func (s *store) StoreLogs(logs []*raft.Log) error {
	b := storage.Batch{Entries: make([]storage.Entry, len(logs))}
	for i, l := range logs {
		b.Entries[i] = encodeLog(l)
	}
	return s.log.Commit(&b)
}

// DeleteRange compacts when it begins at the first entry, and truncates when
// it ends at the last. A range of everything truncates, so that the same
// indexes can be written again.
func (s *store) DeleteRange(low, high uint64) error {
	first, last := s.log.Bounds()
	switch {
	case low > high || last == 0 || high < first || low > last:
		return nil
	case high >= last:
		return s.log.Commit(&storage.Batch{TruncateFrom: max(low, first)})
	case low <= first:
		return s.log.Commit(&storage.Batch{CompactTo: high})
	}
	return fmt.Errorf("%w: %d..%d of %d..%d", errRange, low, high, first, last)
}

// stablePrefix keeps the library's keys apart from ours.
const stablePrefix = "raft."

func (s *store) Set(key, value []byte) error {
	s.stableWrites.Add(1)
	if value == nil {
		value = []byte{} // nil would delete the key
	}
	return s.log.Commit(&storage.Batch{Stable: []storage.KV{{Key: stablePrefix + string(key), Value: value}}})
}

func (s *store) Get(key []byte) ([]byte, error) {
	v, ok := s.log.Stable(stablePrefix + string(key))
	if !ok {
		return nil, errNotFound
	}
	return v, nil
}

func (s *store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

func (s *store) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("hashiraft: stable key %q has %d bytes, want 8", key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// identity is the stable key that names the owner of a log. It is the one that
// package engine uses, so that neither opens a directory of the other.
const identity = "engine.identity"

// prepare refuses a log of another owner. An empty one gets its identity, term
// 1 and the first configuration, as raft.BootstrapCluster would write them, but
// in one commit: between the library's two a crash would leave a node that has
// state and no configuration, and a cluster of such nodes never elects anybody.
func (s *store) prepare(owner string, configuration raft.Configuration) error {
	if got, ok := s.log.Stable(identity); ok {
		if string(got) != owner {
			return fmt.Errorf("hashiraft: the log belongs to %q, not to %q", got, owner)
		}
		return nil
	}
	if _, last := s.log.Bounds(); last != 0 {
		return errors.New("hashiraft: the log has entries and no owner")
	}
	first := raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(configuration)}
	return s.log.Commit(&storage.Batch{
		Entries: []storage.Entry{encodeLog(&first)},
		Stable: []storage.KV{
			{Key: identity, Value: []byte(owner)},
			{Key: stablePrefix + "CurrentTerm", Value: binary.BigEndian.AppendUint64(nil, 1)},
		},
	})
}
