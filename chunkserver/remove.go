package chunkserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

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
	term    uint64
}

// removeAgain is how long a removal that the file system refused waits to be tried
// again.
const removeAgain = 10 * time.Second

// removals looks up what a leader of the term named.
func (s *Server) removals(term uint64, named []*api.ChunkReport) []removal {
	list := make([]removal, 0, len(named))
	for _, r := range named {
		if c := s.chunk(r.Handle); c != nil {
			c.mu.Lock()
			list = append(list, removal{c: c, file: c.file, version: r.Version, term: term})
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
		if s.removeChunk(r, false) {
			any = true
		}
	}
	s.syncRemovals(any)
}

// removeRefused tries once more what the file system refused, if it is time. Nobody has
// to name it again: the replica has been given up, and is not reported.
func (s *Server) removeRefused() {
	now := s.opts.Now()
	s.mu.Lock()
	due := len(s.refused) > 0 && now.Sub(s.refusedAt) >= removeAgain && s.removing.CompareAndSwap(false, true)
	var list []removal
	if due {
		list = slices.SortedFunc(maps.Values(s.refused), func(a, b removal) int { return cmp.Compare(a.c.handle, b.c.handle) })
	}
	s.mu.Unlock()
	if !due {
		return
	}
	s.background.Go(func() {
		defer s.removing.Store(false)
		any := false
		for _, r := range list {
			any = s.removeChunk(r, true) || any
		}
		s.syncRemovals(any)
	})
}

// refuseRemoval keeps a removal that the file system refused, or drops it when it is done.
func (s *Server) refuseRemoval(r removal, refused bool) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !refused {
		delete(s.refused, r.c)
		return
	}
	s.refused[r.c] = r
	s.refusedAt = now
}

// syncRemovals makes removals durable, if there were any.
func (s *Server) syncRemovals(any bool) {
	if !any {
		return
	}
	if err := s.syncFolder(s.folder); err != nil {
		s.log.Warn("a removal may not last", "chunkserver", s.opts.Name, "err", err)
	}
}

// removeChunk deletes one replica of at most that version and reports whether it
// is gone. again says that it was given up before, and only its file is left.
func (s *Server) removeChunk(r removal, again bool) bool {
	c, term := r.c, r.term
	t := newTask(
		func(*batch) error {
			if r.file == nil {
				return errNotHere
			}
			c.mu.Lock()
			if again {
				c.mu.Unlock()
				return s.deleteFile(r)
			}
			if c.accepting > r.version || c.file != r.file || c.term > term || c.lease != nil && c.lease.live(s.opts.Now()) {
				c.mu.Unlock()
				return errStale
			}
			c.failed = errGone
			s.endLeaseLocked(c, c.lease, "the replica is removed")
			c.mu.Unlock()
			return s.deleteFile(r)
		},
		func() {
			s.forget(c)
			s.refuseRemoval(r, false)
			s.stats.removed.Add(1)
			s.event(Event{Kind: EventDelete, Handle: c.handle, Version: r.version, Term: term})
		})
	t.alone, t.again = true, again
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
func (s *Server) deleteFile(r removal) error {
	c, fs := r.c, s.opts.FS
	s.files.hold(r.file)
	c.mu.Lock()
	size := int64(c.durable)
	c.mu.Unlock()
	for size > shrinkStep {
		size -= shrinkStep
		if err := disk.Shrink(fs, c.path, layout{s.opts.ChunkBytes}.dataStart()+size); err != nil {
			break // this file system cannot: it is removed at once
		}
	}
	if err := fs.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.files.letGo(r.file)
		s.refuseRemoval(r, true)
		s.changed(c.handle) // it is not reported any more
		return fmt.Errorf("to be tried again: %w", err)
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
