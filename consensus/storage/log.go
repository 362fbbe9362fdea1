package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"gfslab/internal/disk"
)

// Log is a durable segmented log with hard state, stable keys and snapshots.
// All methods may be called from any goroutine; commits take turns.
type Log struct {
	opts Options
	dir  disk.File
	lock io.Closer

	// turn is held by the commit under way (and by Close). It is a channel and
	// not a mutex because a commit waits for the disk.
	turn     chan struct{}
	snapTurn chan struct{} // the same for what gives a snapshot its name
	out      *appender
	seq      uint64 // last sequence number used
	durable  uint64 // highest sequence number known durable
	scratch  []byte
	zeros    zeros
	recovery Recovery
	counters counters
	// temporaries tells unfinished snapshots apart.
	temporaries atomic.Uint64
	readers     atomic.Int64  // snapshots that are open
	closing     chan struct{} // closed by Hurry
	closeOnce   sync.Once

	mu   sync.RWMutex // guards the rest; never held across file access
	idx  *index
	segs map[uint64]*segment
	err  error // why the log is dead
	// gone are segments that no record needs any more, on their way to removal.
	gone    []*segment
	retired []string         // the same of snapshots, renamed
	remove  func(job func()) // see RemoveBy
}

type counters struct {
	commits, entries, records, fsyncs, dirSyncs, bytes, filled, rotated, removed atomic.Uint64
}

// Commit makes a batch durable. It is atomic: after a crash either all of it is
// there or nothing. It costs exactly one sync, and one more of the directory
// when a segment was full. The entries' Data is kept and must never be changed
// afterwards; all other bytes are copied. After an error the log is dead: what
// the batch did to the disk is unknown, and every later commit or snapshot
// returns the error. What was durable before can still be read.
func (l *Log) Commit(b *Batch) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if err := l.Err(); err != nil {
		return err
	}
	err := l.validate(b)
	if err == nil {
		err = l.commit(b)
	}
	if err != nil {
		l.fail(err)
	}
	return err
}

func (l *Log) commit(b *Batch) error {
	rotated := false
	if l.out.size() >= l.opts.SegmentBytes {
		if err := l.rotate(cut{}); err != nil {
			return err
		}
		rotated = true
	}
	l.mu.RLock()
	oldest := l.idx.oldest(l.out.seg.number)
	l.mu.RUnlock()

	off, err := l.appendRecord(kindBatch, oldest, b, cut{})
	if err != nil {
		return err
	}
	if err := l.flush(rotated); err != nil {
		return err
	}
	l.counters.commits.Add(1)
	l.counters.entries.Add(uint64(len(b.Entries)))

	l.mu.Lock()
	l.idx.apply(b, makePosition(l.out.seg.number, off), true)
	old := len(l.gone)
	for number, seg := range l.segs {
		if number < oldest {
			l.gone = append(l.gone, seg)
			delete(l.segs, number)
		}
	}
	slices.SortFunc(l.gone[old:], func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	added := len(l.gone) > old
	l.mu.Unlock()
	if added {
		l.clear()
	}
	return nil
}

// RemoveBy has segments and large snapshots that are not needed any more removed by
// a job given to run, instead of by the commit that finds it out: giving back the
// pages of a large file takes longer than a commit should. Close does what is left.
func (l *Log) RemoveBy(run func(job func())) {
	l.mu.Lock()
	l.remove = run
	l.mu.Unlock()
}

// validate refuses what would break the log before anything is written.
func (l *Log) validate(b *Batch) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	low := max(l.idx.compacted, b.CompactTo)
	first, last := l.idx.slots.base, l.idx.slots.end()
	if gone := b.CompactTo+1 >= last || b.TruncateFrom != 0 && b.TruncateFrom <= first; (gone || l.idx.count == 0) && len(b.Entries) > 0 {
		first, last = b.Entries[0].Index, b.Entries[0].Index
	}
	size := len(b.HardState)
	for i := range b.Entries {
		e := &b.Entries[i]
		switch {
		case e.Index <= low:
			return fmt.Errorf("%w: entry %d is not above the compaction point %d", ErrBatch, e.Index, low)
		case i > 0 && e.Index <= b.Entries[i-1].Index:
			return fmt.Errorf("%w: entry %d follows entry %d", ErrBatch, e.Index, b.Entries[i-1].Index)
		case e.Index > last && e.Index-last > maxGap, e.Index < first && first-e.Index > maxGap:
			return fmt.Errorf("%w: entry %d is more than %d away from the log %d..%d", ErrBatch, e.Index, maxGap, first, last)
		}
		last = max(last, e.Index)
		size += len(e.Data)
	}
	for _, kv := range b.Stable {
		size += len(kv.Key) + len(kv.Value)
	}
	if size > maxBatchBytes {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrBatch, size, maxBatchBytes)
	}
	return nil
}

// appendRecord puts a record into the writer's buffer.
func (l *Log) appendRecord(kind byte, oldest uint64, b *Batch, c cut) (off int64, err error) {
	l.seq++
	l.scratch = appendHeader(l.scratch[:0], header{
		version: formatVersion, kind: kind,
		segment: l.out.seg.number, seq: l.seq, durable: l.durable, oldest: oldest,
	})
	l.scratch = appendBody(l.scratch, b, c)
	off, err = l.out.append(l.scratch)
	l.counters.records.Add(1)
	if cap(l.scratch) > keepBuffer {
		l.scratch = nil
	}
	return off, err
}

// flush makes all appended records durable, and the directory entry of a new
// segment too.
func (l *Log) flush(newFile bool) error {
	if err := l.out.flush(&l.zeros, &l.counters); err != nil {
		return err
	}
	if newFile {
		if err := l.syncDir(); err != nil {
			return err
		}
	}
	l.durable = l.seq
	return nil
}

func (l *Log) syncDir() error {
	l.counters.fsyncs.Add(1)
	l.counters.dirSyncs.Add(1)
	return l.dir.Sync()
}

// rotate starts a new segment with the whole state at its head, so that older
// segments are needed for their entries only. The next flush makes it durable.
func (l *Log) rotate(c cut) error {
	number := uint64(1)
	if l.out != nil {
		number = l.out.seg.number + 1
	}
	return l.start(number, c)
}

func (l *Log) start(number uint64, c cut) error {
	f, err := l.opts.FS.OpenReadWrite(l.path(segmentName(number)), "gfslab-log")
	if err != nil {
		return err
	}
	seg := newSegment(number, f)
	l.out = newAppender(seg)
	l.counters.rotated.Add(1)

	l.mu.Lock()
	l.segs[number] = seg
	head := Batch{HardState: l.idx.hardState, CompactTo: l.idx.compacted}
	for k, v := range l.idx.stable {
		head.Stable = append(head.Stable, KV{Key: k, Value: v})
	}
	oldest := l.idx.oldest(number)
	l.mu.Unlock()

	slices.SortFunc(head.Stable, func(a, b KV) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	_, err = l.appendRecord(kindHead, oldest, &head, c)
	return err
}

func (l *Log) path(name string) string { return l.opts.FS.PathJoin(l.opts.Dir, name) }

// Err is why the log is dead, nil while it is alive.
func (l *Log) Err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.err
}

func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = fmt.Errorf("storage: log is dead: %w", err)
	}
}

// Counters returns the counts since Open.
func (l *Log) Counters() Counters {
	l.mu.RLock()
	segments := uint64(len(l.segs))
	l.mu.RUnlock()
	c := &l.counters
	return Counters{
		Commits: c.commits.Load(), Entries: c.entries.Load(), Records: c.records.Load(),
		Fsyncs: c.fsyncs.Load(), DirSyncs: c.dirSyncs.Load(), Bytes: c.bytes.Load(),
		Filled: c.filled.Load(), Segments: segments, Rotated: c.rotated.Load(), Removed: c.removed.Load(),
	}
}

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { return l.recovery }

// Hurry ends the rests of removals. Who waits for RemoveBy's job before it closes the
// log calls it first; Close does.
func (l *Log) Hurry() { l.closeOnce.Do(func() { close(l.closing) }) }

// Close waits for the commit under way and closes all files. Everything
// committed is durable already: Close writes nothing. Snapshots that are still
// being written or received must have ended; they can no longer be committed.
func (l *Log) Close() error {
	l.Hurry()
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.snapTurn <- struct{}{}
	defer func() { <-l.snapTurn }()

	l.mu.Lock()
	closed := errors.Is(l.err, ErrClosed)
	l.err = ErrClosed
	segs := l.segs
	l.segs = nil
	l.mu.Unlock()
	if closed {
		return nil
	}
	removal{l: l}.all()
	var errs []error
	for _, seg := range segs {
		errs = append(errs, seg.release())
	}
	return errors.Join(append(errs, l.dir.Close(), l.lock.Close())...)
}
