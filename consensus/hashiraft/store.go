package hashiraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// store is the library's LogStore and StableStore over one storage.Log. It
// does not claim to be a MonotonicLogStore: the log allows gaps.
//
// The first error of the log is this replica's end. The library would panic on
// its main goroutine if term or vote could not be stored; so such a write does
// not return any more, until release.
type store struct {
	log *storage.Log
	// roster is told of configurations as they enter and leave the log.
	roster *roster
	// vigil watches the writes.
	vigil vigil
	// failed is called once, with the log's first error.
	failed func(error)
	// trailing entries stay below a snapshot. (The library counts them from the
	// log's end, the other backends from the snapshot, and so does this one.)
	trailing uint64
	// snapshot is the newest durable one's.
	snapshot atomic.Pointer[storage.SnapshotMeta]

	// stableWrites counts Set and SetUint64, each an fsync of its own: the
	// library writes term, vote's term and vote's candidate one by one.
	stableWrites atomic.Uint64
	// term is the durable term.
	term     atomic.Uint64
	started  atomic.Bool // the library runs
	err      atomic.Pointer[error]
	released chan struct{} // Open has failed, or Close has begun
	release  sync.Once
}

func newStore(log *storage.Log, l consensus.Limits) *store {
	return &store{log: log, roster: newRoster(), vigil: vigil{limit: l.StallTimeout()}, trailing: l.TrailingEntries, released: make(chan struct{})}
}

// commit writes a batch under the vigil's eyes.
func (s *store) commit(b *storage.Batch) error {
	id := s.vigil.begin()
	err := s.log.Commit(b)
	s.vigil.end(id)
	if err != nil {
		s.fail(err)
	}
	return err
}

func (s *store) fail(err error) {
	if s.err.CompareAndSwap(nil, &err) && s.failed != nil {
		s.failed(err)
	}
}

// lost ends the replica because its state machine is lost. At Open the caller
// learns of it; later the library must not go on.
func (s *store) lost(err error) {
	s.fail(err)
	if s.started.Load() {
		<-s.released
	}
}

// dead says that the log has failed, or the state machine is lost.
func (s *store) dead() bool { return s.err.Load() != nil }

// commitStable returns only what the library can bear: success. When it does
// so for a log that is dead, the replica is mute, and nothing leaves it.
func (s *store) commitStable(b *storage.Batch) {
	if s.commit(b) != nil && s.started.Load() {
		<-s.released
	}
}

// let ends what commitStable holds back.
func (s *store) let() { s.release.Do(func() { close(s.released) }) }

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
	if errors.Is(err, raft.ErrLogNotFound) {
		if m := s.snapshot.Load(); m != nil && index == m.Index && index > 1 {
			// Only its term is asked for, by a follower whom the leader sends what
			// follows the snapshot; sends itself what it reads here it never does,
			// because the entry before it is gone, too.
			*l = raft.Log{Index: index, Term: m.Stamp, Type: raft.LogNoop}
			return nil
		}
	}
	if err == nil {
		err = decodeLog(e, l)
	}
	if err == nil && l.Type == raft.LogConfiguration {
		s.roster.found(index, raft.DecodeConfiguration(l.Data))
	}
	return err
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
		if m := s.snapshot.Load(); err != nil && m != nil && i <= m.Index {
			break // compacted, so the state machine has gone through it
		}
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
		if l.Type == raft.LogConfiguration {
			// Before it is durable: from then on its members are talked to.
			s.roster.appended(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	return s.commit(&b)
}

// DeleteRange compacts when all of the range is in the newest snapshot, but for
// the trailing entries, and truncates when it ends at the last entry.
func (s *store) DeleteRange(low, high uint64) error {
	first, last := s.log.Bounds()
	m := s.snapshot.Load()
	switch {
	case low > high || last == 0 || high < first || low > last:
		return nil
	case low <= first && m != nil && high <= m.Index:
		if m.Index <= s.trailing {
			return nil
		}
		if to := min(high, m.Index-s.trailing); to >= first {
			return s.commit(&storage.Batch{CompactTo: to})
		}
		return nil
	case high >= last:
		from := max(low, first)
		s.roster.truncated(from)
		return s.commit(&storage.Batch{TruncateFrom: from})
	}
	return fmt.Errorf("%w: %d..%d of %d..%d", errRange, low, high, first, last)
}

// stablePrefix keeps the library's keys apart from ours.
const stablePrefix = "raft."

// currentTerm is the library's key of the term.
const currentTerm = "CurrentTerm"

func (s *store) Set(key, value []byte) error {
	s.stableWrites.Add(1)
	if value == nil {
		value = []byte{} // nil would delete the key
	}
	s.commitStable(&storage.Batch{Stable: []storage.KV{{Key: stablePrefix + string(key), Value: value}}})
	return nil
}

func (s *store) Get(key []byte) ([]byte, error) {
	v, ok := s.log.Stable(stablePrefix + string(key))
	if !ok {
		return nil, errNotFound
	}
	return v, nil
}

func (s *store) SetUint64(key []byte, value uint64) error {
	err := s.Set(key, binary.BigEndian.AppendUint64(nil, value))
	if err == nil && string(key) == currentTerm {
		s.term.Store(value)
	}
	return err
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

// prepare refuses a log of another owner. An empty one gets its identity and,
// of a founder, term 1 and the first configuration, as raft.BootstrapCluster
// would write them, but in one commit: between the library's two a crash would
// leave a node that has state and no configuration, and a cluster of such nodes
// never elects anybody.
func (s *store) prepare(owner string, founders *raft.Configuration) error {
	if got, ok := s.log.Stable(identity); ok {
		if string(got) != owner {
			return fmt.Errorf("hashiraft: the log belongs to %q, not to %q", got, owner)
		}
		return nil
	}
	if _, last := s.log.Bounds(); last != 0 {
		return errors.New("hashiraft: the log has entries and no owner")
	}
	b := storage.Batch{Stable: []storage.KV{{Key: identity, Value: []byte(owner)}}}
	if founders != nil {
		first := raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(*founders)}
		b.Entries = []storage.Entry{encodeLog(&first)}
		b.Stable = append(b.Stable, storage.KV{Key: stablePrefix + currentTerm, Value: binary.BigEndian.AppendUint64(nil, 1)})
	}
	return s.log.Commit(&b)
}

// superseded cuts the log after a snapshot has been received. What it holds of
// the same entries goes unless it ends like the snapshot: the library would keep
// trailing ones, ask for the entry at the snapshot's end when the leader goes on
// from there, find another, and be sent the snapshot again, for ever.
func (s *store) superseded(m storage.SnapshotMeta) error {
	s.snapshot.Store(&m)
	if stamp, ok := s.log.Stamp(m.Index); ok && stamp == m.Stamp {
		return nil
	}
	return s.commit(&storage.Batch{CompactTo: m.Index})
}

// recover looks at the newest snapshot, and cuts the log as superseded would
// have done. What stands above the snapshot then contradicts it.
func (s *store) recover() (bytes int64, err error) {
	f, err := s.log.OpenSnapshotFile()
	if errors.Is(err, storage.ErrNoSnapshot) {
		if s.log.Compacted() > 0 {
			return 0, fmt.Errorf("hashiraft: the log begins above entry %d, and there is no snapshot", s.log.Compacted())
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := errors.Join(f.Check(), f.Close()); err != nil {
		return 0, err
	}
	m := f.Info.SnapshotMeta
	s.snapshot.Store(&m)
	if compacted := s.log.Compacted(); compacted > m.Index {
		return 0, fmt.Errorf("hashiraft: the log begins above entry %d, but the newest snapshot ends at %d", compacted, m.Index)
	} else if stamp, ok := s.log.Stamp(m.Index); compacted < m.Index && (!ok || stamp != m.Stamp) {
		err = s.log.Commit(&storage.Batch{TruncateFrom: 1, CompactTo: m.Index})
	}
	return f.Info.Size, err
}

// founders tells the roster of the first configuration, if the log has it. It
// is committed without further proof: every founder wrote the same.
func (s *store) founders() error {
	var l raft.Log
	err := s.GetLog(1, &l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil
	}
	if err == nil && l.Type == raft.LogConfiguration {
		s.roster.applied(1, raft.DecodeConfiguration(l.Data))
	}
	return err
}
