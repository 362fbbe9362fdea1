package storage

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/record"

	"gfslab/internal/disk"
)

const (
	pageBytes = 4 << 10
	// Zeros are written ahead of the records, so that a sync seldom has to
	// commit a longer file or new blocks as well. The stride doubles from the
	// first to the last figure, so that short logs stay short.
	firstStride = 64 << 10
	lastStride  = 1 << 20
	// keepBuffer bounds what a writer keeps allocated after a large batch.
	keepBuffer = 1 << 20
	// maxZeros is the largest single write of zeros.
	maxZeros = 64 << 10
)

// zeros are zero bytes to write, allocated once they are needed.
type zeros struct{ p []byte }

// upTo returns at most n zeros, at least one.
func (z *zeros) upTo(n int64) []byte {
	n = min(n, maxZeros)
	if int64(len(z.p)) < n {
		z.p = make([]byte, n)
	}
	return z.p[:n]
}

func segmentName(number uint64) string { return fmt.Sprintf("%010d.log", number) }

// parseSegmentName is the inverse of segmentName.
func parseSegmentName(name string) (number uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%d.log", &number); err != nil {
		return 0, false
	}
	return number, number > 0 && segmentName(number) == name
}

// segment is one open file of the log. The file closes when the log and every
// read under way have let go of it.
type segment struct {
	number uint64
	file   disk.File
	refs   atomic.Int32
}

func newSegment(number uint64, file disk.File) *segment {
	s := &segment{number: number, file: file}
	s.refs.Store(1)
	return s
}

func (s *segment) hold() { s.refs.Add(1) }

func (s *segment) release() error {
	if s.refs.Add(-1) > 0 {
		return nil
	}
	return s.file.Close()
}

// readAll reads a whole file.
func readAll(f disk.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, st.Size())
	n, err := f.ReadAt(data, 0)
	if err == io.EOF {
		err = nil
	}
	return data[:n], err
}

// readRecordAt reads back the record that starts at off.
func (s *segment) readRecordAt(off int64) ([]byte, error) {
	p, err := s.readChunkAt(off)
	if p != nil || err != nil {
		return p, err
	}
	start := off - off%blockBytes
	var data []byte
	for want := 2 * blockBytes; ; want *= 2 {
		data = make([]byte, want)
		n, err := s.file.ReadAt(data, start)
		if err != nil && err != io.EOF {
			return nil, err
		}
		payload, _, st := readRecord(data[:n], int(off-start))
		switch {
		case st == readOK:
			return payload, nil
		case n < want:
			return nil, &CorruptionError{File: segmentName(s.number), Offset: off, Reason: "record can no longer be read"}
		}
	}
}

// readChunkAt reads back the record that starts at off if it is a sound one of
// one chunk, as most are, and nothing but it: whoever reads few small entries
// should not keep whole blocks. It returns nil for any other.
func (s *segment) readChunkAt(off int64) ([]byte, error) {
	off = int64(skipTrailer(int(off)))
	var h [chunkHeader]byte
	if n, err := s.file.ReadAt(h[:], off); n < len(h) {
		return nil, notEOF(err)
	}
	end := int64(chunkHeader) + int64(binary.LittleEndian.Uint16(h[4:]))
	if h[6] != chunkFull || off+end > int64(blockEnd(int(off))) {
		return nil, nil
	}
	data := make([]byte, end)
	if n, err := s.file.ReadAt(data, off); n < len(data) {
		return nil, notEOF(err)
	}
	if checksum(data[chunkHeader-1:]) != binary.LittleEndian.Uint32(data) {
		return nil, nil
	}
	return data[chunkHeader:], nil
}

func notEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// appender writes records to the newest segment. Records collect in memory;
// flush hands them to the file in one write and syncs it.
type appender struct {
	seg    *segment
	w      *record.Writer
	buf    buffer
	off    int64 // where the next flush goes
	filled int64 // the file is written up to here
	stride int64
}

// buffer is an io.Writer into memory.
type buffer struct{ p []byte }

func (b *buffer) Write(p []byte) (int, error) {
	b.p = append(b.p, p...)
	return len(p), nil
}

func newAppender(seg *segment) *appender {
	a := &appender{seg: seg, stride: firstStride}
	a.w = record.NewWriter(&a.buf)
	return a
}

// size is the length of the segment with all records appended so far.
func (a *appender) size() int64 { return a.off + int64(len(a.buf.p)) }

// append adds a record and returns where it will start. The offset may point
// at the unusable end of a block; readers skip that.
func (a *appender) append(payload []byte) (off int64, err error) {
	off = a.size()
	_, err = a.w.WriteRecord(payload)
	return off, err
}

// flush writes what was appended and syncs it.
func (a *appender) flush(z *zeros, c *counters) error {
	n := int64(len(a.buf.p))
	if _, err := a.seg.file.WriteAt(a.buf.p, a.off); err != nil {
		return err
	}
	c.bytes.Add(uint64(n))
	if end := a.off + n; end > a.filled {
		if err := a.fill(end, z, c); err != nil {
			return err
		}
	}
	c.fsyncs.Add(1)
	if err := a.seg.file.SyncData(); err != nil {
		return err
	}
	a.off += n
	if cap(a.buf.p) > keepBuffer {
		a.buf.p = nil
	}
	a.buf.p = a.buf.p[:0]
	return nil
}

// fill writes zeros behind end. The first time only to the end of a page: a
// segment may stay as short as its head.
func (a *appender) fill(end int64, z *zeros, c *counters) error {
	to := end + pageBytes
	if a.filled > 0 {
		to = end + a.stride
		a.stride = min(2*a.stride, lastStride)
	}
	to -= to % pageBytes
	for at := end; at < to; {
		p := z.upTo(to - at)
		if _, err := a.seg.file.WriteAt(p, at); err != nil {
			return err
		}
		c.filled.Add(uint64(len(p)))
		at += int64(len(p))
	}
	a.filled = max(to, end)
	return nil
}
