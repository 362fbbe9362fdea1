package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"gfslab/internal/disk"
)

// ErrSuperseded: a newer snapshot became durable first; that one stands.
var ErrSuperseded = errors.New("storage: a newer snapshot is there")

// SnapshotWriter is a snapshot on its way to the disk. It is used by one
// goroutine, and ends with Commit or Abort, before the log is closed.
type SnapshotWriter struct {
	l    *Log
	meta SnapshotMeta
	file temporaryFile
	buf  []byte // what goes to the file next
	n    uint64
	crc  uint32
	err  error // the first one: what follows it has no place in the file
}

// NewSnapshot starts a snapshot beside the log; several may be on their way. It
// replaces the newest one when Commit returns nil; otherwise that one stands.
// It does not compact the log.
func (l *Log) NewSnapshot(meta SnapshotMeta) (*SnapshotWriter, error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	file, err := l.createTemporary(snapshotName(meta, false))
	if err != nil {
		return nil, err
	}
	w := &SnapshotWriter{l: l, meta: meta, file: file}
	if _, err := w.Write(snapshotHead(meta)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// snapshotHead is what stands before the body.
func snapshotHead(meta SnapshotMeta) []byte {
	head := append([]byte(nil), snapshotMagic...)
	head = binary.AppendUvarint(head, meta.Index)
	head = binary.AppendUvarint(head, meta.Stamp)
	head = binary.AppendUvarint(head, uint64(len(meta.Data)))
	return append(head, meta.Data...)
}

// writeBytes is how much of a snapshot gathers before it goes to the file. Most
// snapshots of small states never take as much memory.
const writeBytes = 64 << 10

// Write appends to the body.
func (w *SnapshotWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && w.err == nil {
		m := min(len(p)-n, writeBytes-len(w.buf))
		piece := p[n : n+m]
		w.buf = append(w.buf, piece...)
		w.crc = crc32.Update(w.crc, castagnoli, piece)
		w.n += uint64(m)
		n += m
		if len(w.buf) == writeBytes {
			_ = w.flush() // ends the loop, and is returned
		}
	}
	return n, w.err
}

func (w *SnapshotWriter) flush() error {
	if w.err == nil {
		_, w.err = w.file.f.Write(w.buf)
		w.buf = w.buf[:0]
	}
	return w.err
}

// Sync makes what was written so far durable. A long file that is synced piece
// by piece holds up the log's own syncs less than one large sync at its end.
func (w *SnapshotWriter) Sync() error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.l.syncFile(w.file.f)
}

// Size is the number of bytes written so far.
func (w *SnapshotWriter) Size() int64 { return int64(w.n) }

// Commit makes the snapshot durable and the newest one. An index below the
// newest snapshot's is an error that wraps ErrSuperseded.
func (w *SnapshotWriter) Commit() error {
	var t [trailerBytes]byte
	binary.LittleEndian.PutUint64(t[:], w.n)
	binary.LittleEndian.PutUint32(t[8:], w.crc)
	w.buf = append(w.buf, t[:]...)
	if err := w.Sync(); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.l.publish(w.file, snapshotName(w.meta, false))
}

// Abort gives the snapshot up.
func (w *SnapshotWriter) Abort() error { return w.l.discard(w.file) }

// temporaryFile is a file that opening the log removes.
type temporaryFile struct {
	f    disk.File
	path string
}

func (l *Log) createTemporary(name string) (temporaryFile, error) {
	path := l.path(fmt.Sprintf("%s.%d%s", name, l.temporaries.Add(1), temporarySuffix))
	f, err := l.opts.FS.Create(path, "gfslab-snapshot")
	return temporaryFile{f, path}, err
}

func (l *Log) discard(t temporaryFile) error {
	return errors.Join(t.f.Close(), l.opts.FS.Remove(t.path))
}

func (l *Log) syncFile(f disk.File) error {
	l.counters.fsyncs.Add(1)
	return f.SyncData()
}

// publish closes a finished and synced file, gives it its name, and removes the
// snapshots before it.
func (l *Log) publish(t temporaryFile, name string) error {
	l.snapTurn <- struct{}{}
	defer func() { <-l.snapTurn }()
	if err := l.Err(); err != nil {
		return errors.Join(err, l.discard(t))
	}
	names, err := l.snapshots()
	if err != nil {
		return errors.Join(err, l.discard(t))
	}
	if n := len(names); n > 0 && names[n-1][:16] > name[:16] {
		return errors.Join(fmt.Errorf("%w: %s is older than %s", ErrSuperseded, name, names[n-1]), l.discard(t))
	}
	if err := t.f.Close(); err != nil {
		return errors.Join(err, l.opts.FS.Remove(t.path))
	}
	if err := l.opts.FS.Rename(t.path, l.path(name)); err != nil {
		return err
	}
	if err := l.syncDir(); err != nil {
		return err
	}
	for _, old := range names {
		if old == name {
			continue
		}
		if err := l.retire(l.path(old)); err != nil {
			l.opts.Logger.Warn("old snapshot not removed", "name", old, "err", err)
		}
	}
	l.clear()
	return nil
}

// isFetched says whether a snapshot of that name came from another replica.
func isFetched(name string) bool { return strings.HasSuffix(name, fetchedSuffix) }
