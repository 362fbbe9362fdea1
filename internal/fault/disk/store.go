package disk

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
)

// store is where the durable bytes of one file live. Two generations may use it
// at the same time: the old one reads, the new one does everything.
type store interface {
	readAt(p []byte, off int64) error // off+len(p) <= size()
	writeAt(p []byte, off int64) error
	sync() error // what was written is on the platter
	size() int64
	remove() error // no name leads here any more; open handles stay valid
}

// memStore keeps them in memory.
type memStore struct {
	mu   sync.RWMutex
	data []byte
}

func (m *memStore) readAt(p []byte, off int64) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	copy(p, m.data[off:])
	return nil
}

func (m *memStore) writeAt(p []byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reach(int(off) + len(p))
	copy(m.data[off:], p)
	return nil
}

// writePages writes the dirty bytes of pages, which end at or before end.
func (m *memStore) writePages(pages map[int64]*page, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reach(int(end))
	for at, pg := range pages {
		copy(m.data[at*pageBytes+int64(pg.lo):], pg.buf[pg.lo:pg.hi])
	}
}

// reach makes the file at least end bytes long. The caller holds m.mu.
func (m *memStore) reach(end int) {
	if end <= len(m.data) {
		return
	}
	if end > cap(m.data) {
		grown := make([]byte, len(m.data), max(end, 2*cap(m.data)))
		copy(grown, m.data)
		m.data = grown
	}
	m.data = m.data[:end]
}

func (m *memStore) size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(len(m.data))
}

func (m *memStore) sync() error   { return nil }
func (m *memStore) remove() error { return nil }

// fileStore keeps them in a real file. The file descriptor closes when the
// last reference to the store is gone (os.File's own cleanup).
type fileStore struct {
	f   *os.File
	end atomic.Int64
}

func newFileStore(dir string, inode uint64, base string) (*fileStore, error) {
	name := filepath.Join(dir, strconv.FormatUint(inode, 10)+"-"+base)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &fileStore{f: f}, nil
}

func (s *fileStore) readAt(p []byte, off int64) error {
	_, err := s.f.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return err
}

func (s *fileStore) writeAt(p []byte, off int64) error {
	_, err := s.f.WriteAt(p, off)
	if end := off + int64(len(p)); end > s.end.Load() {
		s.end.Store(end) // writers of one file take turns: its inode's mutex
	}
	return err
}

func (s *fileStore) sync() error   { return fdatasync(s.f) }
func (s *fileStore) size() int64   { return s.end.Load() }
func (s *fileStore) remove() error { return os.Remove(s.f.Name()) }
