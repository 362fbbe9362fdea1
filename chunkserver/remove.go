package chunkserver

import (
	"context"
	"errors"

	"gfslab/api"
	"gfslab/internal/disk"
)

// shrinkStep is by how much a file is cut at a time before it is removed: giving
// up a large file at once holds up everybody's syncs.
const shrinkStep = 8 << 20

// removal is a replica that a leader named, and the file that it was in then: a
// clone that has taken its place since is another one.
type removal struct {
	c       *chunk
	file    *openFile
	version uint64
}

// removals looks up what was named.
func (s *Server) removals(named []*api.ChunkReport) []removal {
	list := make([]removal, 0, len(named))
	for _, r := range named {
		if c := s.chunk(r.Handle); c != nil {
			c.mu.Lock()
			list = append(list, removal{c: c, file: c.file, version: r.Version})
			c.mu.Unlock()
		}
	}
	return list
}

// remove deletes the replicas that a leader of the term named, unless they have
// a higher version by now or were replaced, and makes that durable. It blocks:
// nothing waits for it.
func (s *Server) remove(term uint64, replicas []removal) {
	any := false
	for _, r := range replicas {
		if term < s.termSeen() {
			break // another leader has spoken meanwhile
		}
		if s.removeChunk(r, term) {
			any = true
		}
	}
	if !any {
		return
	}
	if err := s.syncFolder(s.folder); err != nil {
		s.log.Warn("a removal may not last", "chunkserver", s.opts.Name, "err", err)
	}
}

// removeChunk deletes one replica of at most that version and reports whether it
// is gone.
func (s *Server) removeChunk(r removal, term uint64) bool {
	c := r.c
	t := newTask(
		func(*batch) error {
			if r.file == nil {
				return errNotHere
			}
			c.mu.Lock()
			if c.accepting > r.version || c.file != r.file || c.term > term || c.lease != nil && c.lease.live(s.opts.Now()) {
				c.mu.Unlock()
				return errStale
			}
			c.failed = errGone
			s.endLeaseLocked(c, c.lease, "the replica is removed")
			c.mu.Unlock()
			return s.deleteFile(c, r.file)
		},
		func() {
			s.forget(c)
			s.stats.removed.Add(1)
			s.event(Event{Kind: EventDelete, Handle: c.handle, Version: r.version, Term: term})
		})
	t.alone = true
	c.mu.Lock()
	s.enqueueLocked(c, t)
	c.mu.Unlock()
	if err := await(s.ctx, t); err != nil {
		if !errors.Is(err, context.Canceled) {
			s.log.Info("a replica was not removed", "chunkserver", s.opts.Name, "handle", c.handle, "reason", err)
		}
		return false
	}
	return true
}

// deleteFile is called by the worker, for a chunk that nothing can be done with
// any more. After success the file is held until forget.
func (s *Server) deleteFile(c *chunk, f *openFile) error {
	fs := s.opts.FS
	s.files.hold(f)
	c.mu.Lock()
	size := int64(c.durable)
	c.mu.Unlock()
	for size > shrinkStep {
		size -= shrinkStep
		if err := disk.Shrink(fs, c.path, layout{s.opts.ChunkBytes}.dataStart()+size); err != nil {
			break // this file system cannot: it is removed at once
		}
	}
	if err := fs.Remove(c.path); err != nil {
		s.files.letGo(f)
		s.fail(c, err)
		return err
	}
	return nil
}

// forget drops a removed chunk.
func (s *Server) forget(c *chunk) {
	s.mu.Lock()
	if s.chunks[c.handle] == c {
		delete(s.chunks, c.handle)
	}
	s.mu.Unlock()
	c.mu.Lock()
	f := c.file
	c.file = nil
	c.mu.Unlock()
	s.files.drop(f)
	s.changed(c.handle)
}
