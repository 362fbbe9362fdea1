package storage

import "errors"

// fill is an entry of a read that is no longer in memory.
type fill struct {
	at  int // its place in dst
	pos position
	seg *segment
}

// Entries appends the present entries of [lo, hi) to dst, in order, skipping
// gaps. It stops before their data would exceed maxBytes, but returns at least
// one entry if there is one; maxBytes <= 0 means no limit. The data must not
// be changed. A dead log still answers: some readers (etcd's raft) cannot go on
// without the answer, and must live until their owner hears of the failed commit.
func (l *Log) Entries(lo, hi uint64, maxBytes int, dst []Entry) ([]Entry, error) {
	var fills []fill
	l.mu.RLock()
	if errors.Is(l.err, ErrClosed) {
		l.mu.RUnlock()
		return dst, l.err
	}
	bytes, start := 0, len(dst)
	for i := max(lo, l.idx.slots.base); i < min(hi, l.idx.slots.end()); i++ {
		s := l.idx.slots.at(i)
		if s.pos == 0 {
			continue
		}
		if bytes += int(s.size); maxBytes > 0 && bytes > maxBytes && len(dst) > start {
			break
		}
		e := Entry{Index: i, Stamp: s.stamp}
		if d := l.idx.tail.at(i); d != nil && *d != nil {
			e.Data = *d
		} else {
			seg := l.segs[s.pos.segment()]
			seg.hold()
			fills = append(fills, fill{at: len(dst), pos: s.pos, seg: seg})
		}
		dst = append(dst, e)
	}
	l.mu.RUnlock()
	return dst, readBack(fills, dst)
}

// readBack reads the missing data from the segments. Neighbours usually share
// a record, so the last one read is kept.
func readBack(fills []fill, dst []Entry) error {
	var first error
	var have position
	var batch Batch
	for _, f := range fills {
		if first == nil && f.pos != have {
			batch, first = f.seg.readBatch(f.pos.offset())
			have = f.pos
		}
		if first == nil {
			first = f.take(&batch, &dst[f.at])
		}
		if err := f.seg.release(); first == nil {
			first = err
		}
	}
	return first
}

func (s *segment) readBatch(off int64) (Batch, error) {
	p, err := s.readRecordAt(off)
	if err != nil {
		return Batch{}, err
	}
	corrupt := &CorruptionError{File: segmentName(s.number), Offset: off, Reason: "another record stands here"}
	if h, ok := parseHeader(p); !ok || h.segment != s.number || h.version != formatVersion {
		return Batch{}, corrupt
	}
	b, _, err := decodeBody(p[headerBytes:])
	if err != nil {
		corrupt.Reason = err.Error()
		return Batch{}, corrupt
	}
	return b, nil
}

func (f *fill) take(b *Batch, into *Entry) error {
	for i := range b.Entries {
		if e := &b.Entries[i]; e.Index == into.Index && e.Stamp == into.Stamp {
			into.Data = e.Data
			return nil
		}
	}
	return &CorruptionError{File: segmentName(f.seg.number), Offset: f.pos.offset(), Reason: "record lacks the entry"}
}

// Stamp returns the stamp of an entry; ok is false in a gap.
func (l *Log) Stamp(index uint64) (stamp uint64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s := l.idx.slots.at(index)
	if s == nil || s.pos == 0 {
		return 0, false
	}
	return s.stamp, true
}

// Bounds returns the lowest and the highest index present, 0, 0 when the log
// is empty.
func (l *Log) Bounds() (first, last uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.idx.bounds()
}

// Compacted is the highest CompactTo ever committed, 0 if none.
func (l *Log) Compacted() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.idx.compacted
}

// HardState returns the last hard state committed, nil if none. The caller
// must not change it.
func (l *Log) HardState() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.idx.hardState
}

// Stable returns the value of a stable key. The caller must not change it.
func (l *Log) Stable(key string) (value []byte, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	value, ok = l.idx.stable[key]
	return value, ok
}
