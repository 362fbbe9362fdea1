package chunkserver

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"syscall"

	"gfslab/internal/disk"
)

// openFile is a chunk's file, open or not: one file of one name, for as long as it
// has that name. What takes its place is another openFile.
type openFile struct {
	path string

	// The set's mu guards the rest.
	handle disk.File // nil while it is closed
	users  int       // of the handle
	idle   *list.Element
	busy   chan struct{} // not nil while it is opened, or held; closed when that is over
	gone   bool          // it is not opened any more, and closed with its last user
}

// fileSet bounds how many of the chunks' files are open at once: the one that nobody
// has used for the longest time is closed for the next. A file is opened again by its
// name when it is used, so who changes what the name stands for holds it meanwhile.
type fileSet struct {
	fs    disk.FS
	limit int
	// failed hears of a file that could not be closed. What was written to it was
	// synced before.
	failed func(path string, err error)

	mu    sync.Mutex // never held while anything blocks
	open  int        // handles, and those about to be opened
	idle  *list.List // of *openFile that are open and not used, the last used one first
	freed chan struct{}
}

func newFileSet(fs disk.FS, limit int, failed func(string, error)) *fileSet {
	return &fileSet{fs: fs, limit: limit, failed: failed, idle: list.New()}
}

// errReplaced: another file has taken the place of this one, or none.
var errReplaced = errors.New("the replica's file is not there any more")

// use opens the file if it is closed, and keeps it open until done. It waits while all
// files that may be open are in use; so a caller must have no other one in use.
func (s *fileSet) use(ctx context.Context, f *openFile) (disk.File, error) {
	return s.useBy(ctx, f, func() (disk.File, error) {
		if _, err := s.fs.Stat(f.path); err != nil {
			return nil, err // to open it would make an empty one
		}
		return s.fs.OpenReadWrite(f.path, disk.WriteCategory("chunkserver"))
	})
}

// useBy is use with another way to open the file.
func (s *fileSet) useBy(ctx context.Context, f *openFile, open func() (disk.File, error)) (disk.File, error) {
	for {
		s.mu.Lock()
		if f.handle != nil {
			if f.users++; f.idle != nil {
				s.idle.Remove(f.idle)
				f.idle = nil
			}
			s.mu.Unlock()
			return f.handle, nil
		}
		if f.gone {
			s.mu.Unlock()
			return nil, errReplaced
		}
		wait := f.busy
		if wait == nil {
			if s.open < s.limit {
				s.open++
				return s.openLocked(f, nil, open)
			}
			if last := s.idle.Back(); last != nil {
				return s.openLocked(f, last.Value.(*openFile), open)
			}
			if s.freed == nil {
				s.freed = make(chan struct{})
			}
			wait = s.freed
		}
		s.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openLocked opens the file in the place of victim, or in one that was counted
// already. It unlocks mu.
func (s *fileSet) openLocked(f, victim *openFile, open func() (disk.File, error)) (disk.File, error) {
	f.busy = make(chan struct{})
	var old disk.File
	if victim != nil {
		s.idle.Remove(victim.idle)
		old, victim.handle, victim.idle = victim.handle, nil, nil
	}
	s.mu.Unlock()
	if old != nil {
		if err := old.Close(); err != nil {
			s.failed(victim.path, err)
		}
	}
	h, err := open()
	s.mu.Lock()
	defer s.mu.Unlock()
	close(f.busy)
	f.busy = nil
	if err != nil {
		s.open--
		s.wake()
		return nil, err
	}
	f.handle, f.users = h, 1
	return h, nil
}

// done ends one use.
func (s *fileSet) done(f *openFile) {
	s.mu.Lock()
	f.users--
	s.restLocked(f)
}

// restLocked closes the file if it is gone, or lets others have its place, unless
// somebody uses it. It unlocks mu.
func (s *fileSet) restLocked(f *openFile) {
	var h disk.File
	if f.handle != nil && f.users == 0 {
		switch {
		case f.gone:
			if f.idle != nil {
				s.idle.Remove(f.idle)
				f.idle = nil
			}
			h, f.handle = f.handle, nil
			s.open--
		case f.idle == nil:
			f.idle = s.idle.PushFront(f)
		}
		s.wake()
	}
	s.mu.Unlock()
	if h != nil {
		if err := h.Close(); err != nil {
			s.failed(f.path, err)
		}
	}
}

func (s *fileSet) wake() {
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
}

// hold keeps the file from being opened until drop or letGo: its name is about to
// stand for another file, or for none. Who has it open goes on. f may be nil.
func (s *fileSet) hold(f *openFile) {
	if f == nil {
		return
	}
	for {
		s.mu.Lock()
		wait := f.busy
		if wait == nil {
			f.busy = make(chan struct{})
		}
		s.mu.Unlock()
		if wait == nil {
			return
		}
		<-wait
	}
}

// letGo ends hold: the name stands for the same file as before.
func (s *fileSet) letGo(f *openFile) { s.end(f, false) }

// drop ends hold: the file has lost its name. Without hold, nobody else may know it.
func (s *fileSet) drop(f *openFile) { s.end(f, true) }

func (s *fileSet) end(f *openFile, gone bool) {
	if f == nil {
		return
	}
	s.mu.Lock()
	f.gone = f.gone || gone
	if f.busy != nil {
		close(f.busy)
		f.busy = nil
	}
	s.restLocked(f)
}

// count is how many files are open.
func (s *fileSet) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// tooManyOpen tells an error that says nothing about the file.
func tooManyOpen(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
