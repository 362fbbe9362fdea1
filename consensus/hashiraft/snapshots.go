package hashiraft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus/storage"
)

// snapshots is the library's SnapshotStore over storage's: the newest one only.
// Snapshots go to and come from the disk piece by piece.
type snapshots struct {
	store *store
	// taken is told of a snapshot of our own that is durable.
	taken func(storage.SnapshotMeta)
	stop  <-chan struct{}
	// fetched counts those that were received.
	fetched atomic.Uint64

	mu sync.Mutex
	// installing: a snapshot is being received. The library may be taking one
	// itself at that time, and note it as its newest after the received one.
	installing bool
	own        *sink         // being written
	done       chan struct{} // closes when the library is done with it
}

var _ raft.SnapshotStore = (*snapshots)(nil)

var (
	errYields   = errors.New("hashiraft: a snapshot is being received, or the replica closes")
	errChecksum = errors.New("hashiraft: a snapshot that does not match its checksum")
)

// The backend's own bytes of a snapshot: configuration's index, encoded
// configuration.
func snapshotData(configuration raft.Configuration, index uint64) []byte {
	return append(binary.AppendUvarint(nil, index), raft.EncodeConfiguration(configuration)...)
}

func snapshotMeta(f *storage.SnapshotFile) (*raft.SnapshotMeta, error) {
	m := f.Info.SnapshotMeta
	index, n := binary.Uvarint(m.Data)
	if n <= 0 {
		return nil, fmt.Errorf("hashiraft: snapshot %d has no configuration", m.Index)
	}
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: snapshotID(m.Index, m.Stamp), Index: m.Index, Term: m.Stamp,
		Configuration: raft.DecodeConfiguration(m.Data[n:]), ConfigurationIndex: index, Size: f.BodySize(),
	}, nil
}

func snapshotID(index, term uint64) string { return fmt.Sprintf("%d-%d", term, index) }

// Create implements raft.SnapshotStore. Whose snapshot it is, shows at its
// first piece.
func (s *snapshots) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, cIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	meta := storage.SnapshotMeta{Index: index, Stamp: term, Data: snapshotData(c, cIndex)}
	w, err := s.store.log.NewSnapshot(meta)
	if err != nil {
		return nil, err
	}
	return &sink{of: s, meta: meta, w: w}, nil
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	meta, body, err := s.open()
	if errors.Is(err, storage.ErrNoSnapshot) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{meta}, body.Close()
}

// Open implements raft.SnapshotStore.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, body, err := s.open()
	if err == nil && meta.ID != id {
		err = errors.Join(fmt.Errorf("hashiraft: there is no snapshot %s, only %s", id, meta.ID), body.Close())
	}
	if err != nil {
		return nil, nil, err
	}
	return meta, body, nil
}

func (s *snapshots) open() (*raft.SnapshotMeta, io.ReadCloser, error) {
	f, err := s.store.log.OpenSnapshotFile()
	if err != nil {
		return nil, nil, err
	}
	meta, err := snapshotMeta(f)
	var body io.Reader
	if err == nil {
		body, err = f.Body()
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return meta, snapshotBody{body, f}, nil
}

type snapshotBody struct {
	io.Reader
	io.Closer
}

// begin and end enclose the library's taking of a snapshot.
func (s *snapshots) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = make(chan struct{})
}

func (s *snapshots) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.done)
	s.own, s.done = nil, nil
}

// claim marks a sink as our own.
func (s *snapshots) claim(k *sink) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.installing {
		return errYields
	}
	k.own, s.own = true, k
	return nil
}

// yield has a snapshot of our own that is being written given up, and waits
// until the library has forgotten it.
func (s *snapshots) yield() {
	s.mu.Lock()
	s.installing = true
	wait := s.done
	if s.own == nil {
		wait = nil // not begun: it will find out
	}
	s.mu.Unlock()
	if wait != nil {
		<-wait
	}
}

func (s *snapshots) yields() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.installing
}

func (s *snapshots) received() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installing = false
}

const (
	// sumBytes is the length of the checksum at the end of a body, by which the
	// receiver of a snapshot knows that it has arrived whole.
	sumBytes = 4
	// receiveSync is after how many bytes a snapshot that is received is synced.
	receiveSync = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sink writes one snapshot.
type sink struct {
	of    *snapshots
	meta  storage.SnapshotMeta
	w     *storage.SnapshotWriter
	own   bool // else received
	begun bool
	ended bool
	paced *storage.PacedWriter // of one of our own
	since int                  // bytes received since the last sync
	crc   uint32               // of all but the last bytes
	last  []byte               // at most sumBytes
}

func (s *sink) ID() string { return snapshotID(s.meta.Index, s.meta.Stamp) }

// Write implements io.Writer.
func (s *sink) Write(p []byte) (n int, err error) {
	if !s.begun {
		s.begun = true
		if s.own {
			s.paced = storage.NewPacedWriter(s.w, s.of.stop)
		} else {
			s.of.yield()
		}
	}
	if s.own {
		if s.of.yields() {
			return 0, errYields
		}
		n, err = s.paced.Write(p)
		s.sum(p[:n])
		return n, err
	}
	for len(p) > 0 && err == nil {
		var m int
		m, err = s.w.Write(p[:min(len(p), receiveSync-s.since)])
		s.sum(p[:m])
		n, p = n+m, p[m:]
		if s.since += m; s.since == receiveSync && err == nil {
			s.since = 0
			err = s.w.Sync()
		}
	}
	return n, err
}

func (s *sink) sum(p []byte) {
	all := append(s.last, p...)
	cut := max(0, len(all)-sumBytes)
	s.crc = crc32.Update(s.crc, castagnoli, all[:cut])
	s.last = append(s.last[:0:0], all[cut:]...)
}

// Close makes the snapshot durable, and the newest one.
func (s *sink) Close() error {
	if s.ended {
		return nil
	}
	if len(s.last) != sumBytes || binary.LittleEndian.Uint32(s.last) != s.crc {
		return errors.Join(errChecksum, s.Cancel())
	}
	s.ended = true
	if !s.own {
		defer s.of.received()
	}
	if err := s.w.Commit(); err != nil {
		return err
	}
	if s.own {
		s.of.store.snapshot.Store(&s.meta)
		s.of.taken(s.meta)
		return nil
	}
	s.of.fetched.Add(1)
	return s.of.store.superseded(s.meta)
}

// Cancel drops it; after Close it does nothing.
func (s *sink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	if s.begun && !s.own {
		defer s.of.received()
	}
	return s.w.Abort()
}
