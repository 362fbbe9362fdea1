package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gfslab/internal/disk"
)

const lockName = "LOCK"

// Open recovers the log in o.Dir, or starts an empty one. When it returns,
// everything that it recovered is durable, whatever had survived in caches
// only: a torn tail was cut, the newest segment and the directory were synced,
// and a new segment was started whose head notes the cut. It fails on bytes
// that were durable and are damaged (CorruptionError), on an unknown format
// version (ErrFormat), and when the directory is in use.
func Open(o Options) (*Log, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := disk.MkdirAll(o.FS, o.Dir); err != nil {
		return nil, err
	}
	l := &Log{
		opts: o, turn: make(chan struct{}, 1), snapTurn: make(chan struct{}, 1), closing: make(chan struct{}),
		idx: newIndex(max(o.TailBytes, 0)), segs: map[uint64]*segment{},
	}
	if l.lock, err = o.FS.Lock(o.FS.PathJoin(o.Dir, lockName)); err != nil {
		return nil, fmt.Errorf("storage: %s is in use: %w", o.Dir, err)
	}
	if l.dir, err = o.FS.OpenDir(o.Dir); err == nil {
		err = l.recover()
	}
	if err != nil {
		for _, seg := range l.segs {
			err = errors.Join(err, seg.release())
		}
		if l.dir != nil {
			err = errors.Join(err, l.dir.Close())
		}
		return nil, errors.Join(err, l.lock.Close())
	}
	return l, nil
}

func (l *Log) recover() error {
	numbers, err := l.list()
	if err != nil {
		return err
	}
	next := uint64(1)
	if n := len(numbers); n > 0 {
		next = numbers[n-1] + 1
	}
	numbers, headless, err := l.withoutHeadless(numbers)
	if err != nil {
		return err
	}
	var c cut
	if len(numbers) > 0 {
		if numbers, err = l.needed(numbers); err != nil {
			return err
		}
		if c, err = l.replay(numbers, !headless); err != nil {
			return err
		}
	}
	if headless {
		next--
		if err := l.dropHeadless(next); err != nil {
			return err
		}
	}
	if err := l.start(next, c); err != nil {
		return err
	}
	if err := l.flush(true); err != nil {
		return err
	}
	l.recovery.Entries = l.idx.count
	if l.recovery.TornTail {
		l.opts.Logger.Info("torn tail cut", "segment", c.segment, "offset", c.offset, "bytes", c.bytes)
	}
	return nil
}

// list returns the numbers of all segments, ascending, and removes what an
// unfinished snapshot left.
func (l *Log) list() ([]uint64, error) {
	names, err := l.opts.FS.List(l.opts.Dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			numbers = append(numbers, n)
		}
		if strings.HasSuffix(name, temporarySuffix) {
			if err := l.opts.FS.Remove(l.path(name)); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// withoutHeadless leaves out the newest segment when a crash came before its
// first record was durable.
func (l *Log) withoutHeadless(numbers []uint64) (rest []uint64, headless bool, err error) {
	if len(numbers) == 0 {
		return nil, false, nil
	}
	newest := numbers[len(numbers)-1]
	_, found, err := l.lastHeader(newest)
	if err != nil || found {
		return numbers, false, err
	}
	rest = numbers[:len(numbers)-1]
	if newest > 1 && (len(rest) == 0 || rest[len(rest)-1] != newest-1) {
		return nil, false, &CorruptionError{File: segmentName(newest), Reason: "has no head, and its predecessor is missing"}
	}
	return rest, true, nil
}

// lastHeader is the header of the last record that can be read from the start
// of a segment; found is false when there is none.
func (l *Log) lastHeader(number uint64) (last header, found bool, err error) {
	data, err := l.readSegment(number)
	if err != nil {
		return header{}, false, err
	}
	for off := 0; ; {
		p, next, st := readRecord(data, off)
		if st != readOK {
			return last, found, nil
		}
		h, ok := parseHeader(p)
		if !ok && len(p) > 0 {
			h.version = p[0]
		}
		last, found, off = h, true, next
	}
}

func (l *Log) readSegment(number uint64) ([]byte, error) {
	f, err := l.opts.FS.Open(l.path(segmentName(number)))
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	return data, errors.Join(err, f.Close())
}

// needed drops the segments that the newest record declares unneeded (a crash
// can bring back the entry of a removed file) and requires all others.
func (l *Log) needed(numbers []uint64) ([]uint64, error) {
	newest := numbers[len(numbers)-1]
	h, found, err := l.lastHeader(newest)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, &CorruptionError{File: segmentName(newest), Reason: "head is unreadable in a finished segment"}
	}
	if h.version != formatVersion {
		return nil, fmt.Errorf("%w: %d in %s", ErrFormat, h.version, segmentName(newest))
	}
	i, _ := slices.BinarySearch(numbers, h.oldest)
	for _, n := range numbers[:i] {
		if err := l.opts.FS.Remove(l.path(segmentName(n))); err != nil {
			return nil, err
		}
	}
	numbers = numbers[i:]
	for k, n := range numbers {
		if n != h.oldest+uint64(k) {
			return nil, &CorruptionError{File: segmentName(h.oldest + uint64(k)), Reason: "segment is missing"}
		}
	}
	if len(numbers) == 0 {
		return nil, &CorruptionError{File: segmentName(h.oldest), Reason: "segment is missing"}
	}
	return numbers, nil
}

// replay reads the segments into the index. Only the newest may end in a torn
// record, and only if mayTear: a file behind it proves that it had been whole.
func (l *Log) replay(numbers []uint64, mayTear bool) (cut, error) {
	var c cut
	for i, n := range numbers {
		f, err := l.opts.FS.OpenReadWrite(l.path(segmentName(n)), "gfslab-log")
		if err != nil {
			return c, err
		}
		l.segs[n] = newSegment(n, f)
		data, err := readAll(f)
		if err != nil {
			return c, err
		}
		l.recovery.Segments++
		newest := i == len(numbers)-1
		end, bad, err := l.replaySegment(n, data, i == 0)
		if err != nil {
			return c, err
		}
		if bad {
			at, yes := confirmed(data, end, n, l.seq+1)
			if yes {
				return c, &CorruptionError{File: segmentName(n), Offset: int64(end),
					Reason: fmt.Sprintf("unreadable, though the record at %d says it was durable", at)}
			}
			if !newest || !mayTear {
				return c, &CorruptionError{File: segmentName(n), Offset: int64(end), Reason: "unreadable record in a finished segment"}
			}
			if c, err = l.cutTail(f, n, data, end); err != nil {
				return c, err
			}
		}
		if newest {
			// What was read may have survived in a cache only: it must not
			// be told to anyone before it is durable.
			l.counters.fsyncs.Add(1)
			if err := f.SyncData(); err != nil {
				return c, err
			}
		}
	}
	l.durable = l.seq
	return c, nil
}

// replaySegment applies the records of one segment. It returns where they end
// and whether anything but zeros follows.
func (l *Log) replaySegment(number uint64, data []byte, first bool) (end int, bad bool, err error) {
	name := segmentName(number)
	for off := 0; ; {
		p, next, st := readRecord(data, off)
		if st != readOK {
			return next, st == readBad, nil
		}
		corrupt := func(format string, args ...any) error {
			return &CorruptionError{File: name, Offset: int64(off), Reason: fmt.Sprintf(format, args...)}
		}
		h, ok := parseHeader(p)
		switch {
		case len(p) > 0 && p[0] != formatVersion:
			return 0, false, fmt.Errorf("%w: %d in %s at offset %d", ErrFormat, p[0], name, off)
		case !ok:
			return 0, false, corrupt("record of %d bytes is too short", len(p))
		case h.segment != number:
			return 0, false, corrupt("record belongs to segment %d", h.segment)
		case (h.kind == kindHead) != (off == 0) || h.kind > kindBatch:
			return 0, false, corrupt("record of kind %d is out of place", h.kind)
		case h.seq != l.seq+1 && !(first && off == 0):
			return 0, false, corrupt("record %d follows record %d", h.seq, l.seq)
		}
		b, _, err := decodeBody(p[headerBytes:])
		if err != nil {
			return 0, false, corrupt("%v", err)
		}
		l.idx.apply(&b, makePosition(number, int64(off)), false)
		l.seq = h.seq
		l.recovery.Records++
		off = next
	}
}

// cutTail overwrites a torn record, so that nothing of it is ever read again.
// The caller syncs the file.
func (l *Log) cutTail(f disk.File, number uint64, data []byte, off int) (cut, error) {
	end := len(data)
	for end > off && data[end-1] == 0 {
		end--
	}
	for at := off; at < end; {
		p := l.zeros.upTo(int64(end - at))
		if _, err := f.WriteAt(p, int64(at)); err != nil {
			return cut{}, err
		}
		at += len(p)
	}
	l.recovery.TornTail = true
	l.recovery.CutSegment, l.recovery.CutOffset, l.recovery.CutBytes = number, int64(off), int64(end-off)
	return cut{segment: number, offset: uint64(off), bytes: uint64(end - off)}, nil
}

// dropHeadless removes the newest segment, which has no head. It must have
// been created and never finished: a record in it that knew its head durable
// proves damage instead.
func (l *Log) dropHeadless(number uint64) error {
	data, err := l.readSegment(number)
	if err != nil {
		return err
	}
	if at, yes := confirmed(data, -1, number, l.seq+1); yes {
		return &CorruptionError{File: segmentName(number), Reason: fmt.Sprintf("head is unreadable, though the record at %d says it was durable", at)}
	}
	end := len(data)
	for end > 0 && data[end-1] == 0 {
		end--
	}
	l.recovery.TornTail = end > 0
	l.recovery.CutSegment, l.recovery.CutBytes = number, int64(end)
	if err := l.opts.FS.Remove(l.path(segmentName(number))); err != nil {
		return err
	}
	return l.syncDir()
}
