package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gfslab/internal/disk"
)

const serverFile = "server"

// openStore reads everything that is on disk and makes it durable before the
// server answers: bytes that survived a crash only in the page cache could
// otherwise be confirmed a second time and then be lost to a power cut.
func (s *Server) openStore() error {
	fs := s.opts.FS
	s.folder = fs.PathJoin(s.opts.Dir, chunkFolder)
	folders, err := makeFolders(fs, s.opts.Dir, s.folder)
	if err != nil {
		return fmt.Errorf("open chunk store: %w", err)
	}
	names, err := fs.List(s.folder)
	if err != nil {
		return fmt.Errorf("open chunk store: %w", err)
	}
	for _, name := range names {
		if err := s.openFound(name); err != nil {
			return err
		}
	}
	if err := s.boot(); err != nil {
		return fmt.Errorf("open chunk store: %w", err)
	}
	for _, dir := range folders {
		if err := s.syncFolder(dir); err != nil {
			return fmt.Errorf("open chunk store: %w", err)
		}
	}
	return nil
}

// makeFolders makes folder, which is in dir, and returns which directories must
// be synced for it to last: all that hold an entry which may be new.
func makeFolders(fs disk.FS, dir, folder string) (sync []string, err error) {
	sync = []string{folder, dir, fs.PathDir(dir)}
	for at := fs.PathDir(dir); ; at = fs.PathDir(at) {
		if _, err := fs.Stat(at); err == nil || fs.PathDir(at) == at {
			break
		}
		sync = append(sync, fs.PathDir(at))
	}
	return sync, fs.MkdirAll(folder, 0o755)
}

// openFound takes over one file of the folder. A damaged header costs this
// replica, not the chunkserver: it is left as it is, and nobody hears of it.
func (s *Server) openFound(name string) error {
	fs := s.opts.FS
	path := fs.PathJoin(s.folder, name)
	handle, ok := chunkHandle(name)
	if !ok {
		if strings.HasSuffix(name, partSuffix) {
			return fs.Remove(path) // a copy that was cut short
		}
		return nil
	}
	c, err := s.loadChunk(handle)
	switch {
	case errors.Is(err, errNoSlot):
		// Its creation was cut short before anybody was told of it.
		if err := fs.Remove(path); err != nil {
			return fmt.Errorf("open chunk %d: %w", handle, err)
		}
		return nil
	case errors.Is(err, errLayout), tooManyOpen(err): // neither says anything about the replica
		return fmt.Errorf("open chunk %d: %w", handle, err)
	case err != nil:
		s.stats.corrupt.Add(1)
		s.log.Error("a replica cannot be opened", "chunkserver", s.opts.Name, "handle", handle, "err", err)
		return nil
	}
	s.chunks[handle] = c
	s.maxTerm = max(s.maxTerm, c.head.term)
	return nil
}

var errLayout = errors.New("the chunk has another size than the chunkserver is set to")

// loadChunk opens an existing chunk, finishes what a crash interrupted, and syncs it.
func (s *Server) loadChunk(handle uint64) (c *chunk, err error) {
	file := &openFile{path: s.opts.FS.PathJoin(s.folder, chunkFile(handle))}
	f, err := s.files.use(context.Background(), file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.files.drop(file)
		}
		s.files.done(file)
	}()
	m, err := readImage(f, handle)
	if err != nil {
		return nil, err
	}
	if m.lay.chunkBytes != s.opts.ChunkBytes {
		return nil, fmt.Errorf("%w: %d bytes, not %d", errLayout, m.lay.chunkBytes, s.opts.ChunkBytes)
	}
	if err := m.mend(f); err != nil {
		return nil, err
	}
	if err := s.timed(f.Sync); err != nil {
		return nil, err
	}
	c = s.newChunk(handle)
	c.install(m, file)
	if m.bad != "" {
		s.stats.corrupt.Add(1)
		s.log.Error("a replica is damaged", "chunkserver", s.opts.Name, "handle", handle, "err", m.bad)
	}
	return c, nil
}

// install makes the chunk what its file says. Call it with mu held, or before
// anybody else knows the chunk.
func (c *chunk) install(m *image, f *openFile) {
	c.file, c.head, c.accepting, c.term = f, m.head, m.head.version, m.head.term
	c.generation, c.recovered = m.head.generation, m.head.version
	c.blocks, c.settled, c.full, c.corrupt = m.blocks, m.batch, m.full, m.bad != ""
	c.durable = lengthOf(m.blocks)
	c.end = c.durable
	if c.full {
		c.end = uint64(m.lay.chunkBytes)
	}
	c.order = newSerialOrder()
}

func (s *Server) newChunk(handle uint64) *chunk {
	return &chunk{handle: handle, path: s.opts.FS.PathJoin(s.folder, chunkFile(handle)), order: newSerialOrder()}
}

// createFile makes the chunk's file with its header and makes the directory
// entry durable; the worker, which calls it, syncs the file.
func (s *Server) createFile(b *batch, head slot) error {
	file := &openFile{path: b.c.path}
	f, err := s.files.useBy(context.Background(), file, func() (disk.File, error) {
		return s.opts.FS.Create(file.path, disk.WriteCategory("chunkserver"))
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errDead, err)
	}
	if err = head.write(f); err == nil {
		err = s.syncFolder(s.folder)
	}
	if err != nil {
		s.files.drop(file)
		s.files.done(file)
		return fmt.Errorf("%w: %w", errDead, err)
	}
	b.f, b.file = f, file
	b.c.mu.Lock()
	b.c.file = file
	b.c.mu.Unlock()
	return nil
}

// boot counts this start and makes it durable.
func (s *Server) boot() error {
	fs := s.opts.FS
	path := fs.PathJoin(s.opts.Dir, serverFile)
	f, err := fs.OpenReadWrite(path, disk.WriteCategory("chunkserver"))
	if err != nil {
		return err
	}
	head, _, err := readSlot(f)
	if err != nil && !errors.Is(err, errNoSlot) {
		f.Close()
		return err
	}
	head.version++
	head.generation++
	head.term = max(head.term, s.maxTerm)
	if err := head.write(f); err != nil {
		f.Close()
		return err
	}
	if err := s.timed(f.Sync); err != nil {
		f.Close()
		return err
	}
	s.maxTerm, s.self, s.selfFile = head.term, head, f
	s.durableTerm.Store(head.term)
	return nil
}

// observeTerm learns the term of a leader and makes it durable, so that no
// leader of a lower term is obeyed again, not even after a restart.
func (s *Server) observeTerm(term uint64) error {
	s.raiseTerm(term)
	if term <= s.durableTerm.Load() {
		return nil
	}
	select {
	case s.selfLock <- struct{}{}:
	case <-s.ctx.Done():
		return errShutdown
	}
	defer func() { <-s.selfLock }()
	if s.self.term >= term {
		return nil
	}
	next := s.self
	next.term = term
	next.generation++
	if err := next.write(s.selfFile); err != nil {
		return err
	}
	if err := s.timed(s.selfFile.SyncData); err != nil {
		return err
	}
	s.self = next
	s.durableTerm.Store(term)
	return nil
}

// raiseTerm remembers a term in memory; the caller makes it durable before it
// acts on it.
func (s *Server) raiseTerm(term uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxTerm = max(s.maxTerm, term)
}

func (s *Server) termSeen() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxTerm
}
