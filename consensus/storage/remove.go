package storage

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gfslab/internal/disk"
)

const (
	// shrinkPiece is how much of a file is given back at once: well below a
	// millisecond of the kernel's work.
	shrinkPiece = 1 << 20
	shrinkRest  = time.Millisecond
	// longestRemoval bounds how long the rests of one removal hold up its caller.
	longestRemoval = 2 * time.Second
)

// removal gives files back beside a load. Removing a file of some ten megabytes keeps
// a processor, and the file system's journal with it, busy for as many milliseconds;
// so the file shrinks first, piece by piece, with a rest after each. Hurry
// ends the rests.
type removal struct {
	l     *Log
	until time.Time // no rest later
}

// clear has everything removed that nobody needs: by RemoveBy's runner if there is
// one, else at once and without rests.
func (l *Log) clear() {
	l.mu.RLock()
	run := l.remove
	l.mu.RUnlock()
	if run == nil {
		removal{l: l}.all()
		return
	}
	run(func() { removal{l, time.Now().Add(longestRemoval)}.all() })
}

// all removes segments that no record needs any more, and retired files. It needs no
// sync of the directory: a durable record already says that they are not needed.
func (r removal) all() {
	l := r.l
	for {
		l.mu.Lock()
		var seg *segment
		var path string
		switch {
		case len(l.gone) > 0:
			seg = l.gone[0]
			path = l.path(segmentName(seg.number))
			l.gone[0], l.gone = nil, l.gone[1:]
		case len(l.retired) > 0:
			path, l.retired = l.retired[0], l.retired[1:]
		default:
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		gentle := r
		if seg != nil && seg.refs.Load() > 1 { // read still: it must not shrink
			gentle.until = time.Time{}
		}
		err := gentle.remove(path)
		if seg != nil {
			err = errors.Join(err, seg.release())
			l.counters.removed.Add(1)
		}
		if err != nil {
			l.opts.Logger.Warn("a file that is not needed any more was not removed", "path", path, "err", err)
		}
	}
}

// remove removes a file. While it shrinks it goes under a name that opening the log
// removes: what a crash leaves of it is not taken for the whole.
func (r removal) remove(path string) error {
	if !time.Now().Before(r.until) || !r.l.shrinks(path) {
		return r.l.opts.FS.Remove(path)
	}
	path, err := r.l.rename(path)
	if err != nil {
		return err
	}
	if st, err := r.l.opts.FS.Stat(path); err == nil {
		for left := st.Size() - shrinkPiece; left > 0 && disk.Shrink(r.l.opts.FS, path, left) == nil; left -= shrinkPiece {
			r.rest()
		}
	}
	return r.l.opts.FS.Remove(path)
}

// retire removes an old snapshot, or leaves a large one for clear, unless it may be
// open: an open one can be read to its end.
func (l *Log) retire(path string) error {
	if !l.shrinks(path) {
		return l.opts.FS.Remove(path)
	}
	path, err := l.rename(path)
	if err != nil {
		return err
	}
	if l.readers.Load() > 0 { // whoever comes now does not find it
		return l.opts.FS.Remove(path)
	}
	l.mu.Lock()
	l.retired = append(l.retired, path)
	l.mu.Unlock()
	return nil
}

// readFile is an open snapshot, counted as long as it is.
type readFile struct {
	disk.File
	l      *Log
	closed atomic.Bool
}

func (f *readFile) Close() error {
	if f.closed.CompareAndSwap(false, true) {
		f.l.readers.Add(-1)
	}
	return f.File.Close()
}

// shrinks reports whether a file is large, and can be given back in pieces.
func (l *Log) shrinks(path string) bool {
	st, err := l.opts.FS.Stat(path)
	return err == nil && st.Size() > shrinkPiece && disk.Shrink(l.opts.FS, path, st.Size()) == nil
}

func (l *Log) rename(path string) (retired string, err error) {
	retired = l.path(fmt.Sprintf("gone.%d%s", l.temporaries.Add(1), temporarySuffix))
	return retired, l.opts.FS.Rename(path, retired)
}

// rest lets others have the processor and the journal between two pieces.
func (r removal) rest() {
	if !time.Now().Before(r.until) {
		return
	}
	t := time.NewTimer(shrinkRest)
	defer t.Stop()
	select {
	case <-r.l.closing:
	case <-t.C:
	}
}
