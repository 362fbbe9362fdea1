package storage

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"gfslab/internal/disk"
)

// SnapshotMeta describes a snapshot: the last entry that it includes, and
// bytes of the backend's own (its membership, say).
type SnapshotMeta struct {
	Index uint64
	Stamp uint64
	Data  []byte
}

const (
	snapshotSuffix  = ".snap"
	temporarySuffix = ".tmp"
	trailerBytes    = 12 // length of all before it, CRC-32C of that
)

var snapshotMagic = []byte("gfssnap\x01") // the last byte is the format version

func snapshotName(m SnapshotMeta) string {
	return fmt.Sprintf("%016x-%016x%s", m.Index, m.Stamp, snapshotSuffix)
}

// SaveSnapshot stores a snapshot beside the log. It is durable and replaces
// the one before it when SaveSnapshot returns nil; otherwise the one before it
// stands. It may run beside commits; it does not compact the log. An index
// below the newest snapshot's is an error.
func (l *Log) SaveSnapshot(meta SnapshotMeta, write func(io.Writer) error) error {
	l.snapTurn <- struct{}{}
	defer func() { <-l.snapTurn }()
	if err := l.Err(); err != nil {
		return err
	}
	names, err := l.snapshots()
	if err != nil {
		return err
	}
	name := snapshotName(meta)
	if n := len(names); n > 0 && names[n-1][:16] > name[:16] {
		return fmt.Errorf("storage: snapshot %s is older than %s", name, names[n-1])
	}
	tmp := l.path(name + temporarySuffix)
	if err := l.writeSnapshot(tmp, meta, write); err != nil {
		return errors.Join(err, l.opts.FS.Remove(tmp))
	}
	if err := l.opts.FS.Rename(tmp, l.path(name)); err != nil {
		return err
	}
	if err := l.syncDir(); err != nil {
		return err
	}
	for _, old := range names {
		if old == name {
			continue
		}
		if err := l.opts.FS.Remove(l.path(old)); err != nil {
			l.opts.Logger.Warn("old snapshot not removed", "name", old, "err", err)
		}
	}
	return nil
}

func (l *Log) writeSnapshot(path string, meta SnapshotMeta, write func(io.Writer) error) error {
	f, err := l.opts.FS.Create(path, "gfslab-snapshot")
	if err != nil {
		return err
	}
	w := &checkedWriter{w: bufio.NewWriterSize(f, 64<<10)}
	head := append([]byte(nil), snapshotMagic...)
	head = binary.AppendUvarint(head, meta.Index)
	head = binary.AppendUvarint(head, meta.Stamp)
	head = binary.AppendUvarint(head, uint64(len(meta.Data)))
	if _, err = w.Write(append(head, meta.Data...)); err == nil {
		err = write(w)
	}
	if err == nil {
		var t [trailerBytes]byte
		binary.LittleEndian.PutUint64(t[:], w.n)
		binary.LittleEndian.PutUint32(t[8:], w.crc)
		_, err = w.w.Write(t[:])
	}
	if err == nil {
		err = w.w.Flush()
	}
	if err == nil {
		l.counters.fsyncs.Add(1)
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// OpenSnapshot returns the newest snapshot, after checking all of it. The
// caller closes the reader. ErrNoSnapshot if there is none.
func (l *Log) OpenSnapshot() (SnapshotMeta, io.ReadCloser, error) {
	if err := l.Err(); err != nil {
		return SnapshotMeta{}, nil, err
	}
	names, err := l.snapshots()
	if err != nil {
		return SnapshotMeta{}, nil, err
	}
	if len(names) == 0 {
		return SnapshotMeta{}, nil, ErrNoSnapshot
	}
	name := names[len(names)-1]
	f, err := l.opts.FS.Open(l.path(name))
	if err != nil {
		return SnapshotMeta{}, nil, err
	}
	meta, body, err := openSnapshot(name, f)
	if err != nil {
		return SnapshotMeta{}, nil, errors.Join(err, f.Close())
	}
	return meta, snapshotReader{body, f}, nil
}

func openSnapshot(name string, f disk.File) (meta SnapshotMeta, body io.Reader, err error) {
	corrupt := func(off int64, reason string) error {
		return &CorruptionError{File: name, Offset: off, Reason: reason}
	}
	st, err := f.Stat()
	if err != nil {
		return meta, nil, err
	}
	size := st.Size() - trailerBytes
	if size < int64(len(snapshotMagic)) {
		return meta, nil, corrupt(0, "snapshot is cut short")
	}
	var t [trailerBytes]byte
	if _, err := f.ReadAt(t[:], size); err != nil && err != io.EOF {
		return meta, nil, err
	}
	h := crc32.New(castagnoli)
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return meta, nil, err
	}
	if binary.LittleEndian.Uint64(t[:]) != uint64(size) || binary.LittleEndian.Uint32(t[8:]) != h.Sum32() {
		return meta, nil, corrupt(size, "snapshot does not match its checksum")
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10)
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return meta, nil, err
	}
	if !bytes.Equal(magic, snapshotMagic) {
		return meta, nil, fmt.Errorf("%w: %q in %s", ErrFormat, magic, name)
	}
	var n uint64
	for _, v := range []*uint64{&meta.Index, &meta.Stamp, &n} {
		if *v, err = binary.ReadUvarint(r); err != nil {
			return meta, nil, corrupt(int64(len(magic)), "snapshot's head ends early")
		}
	}
	if n > uint64(size) {
		return meta, nil, corrupt(int64(len(magic)), "snapshot's head ends early")
	}
	meta.Data = make([]byte, n)
	_, err = io.ReadFull(r, meta.Data)
	return meta, r, err
}

// snapshots lists the finished snapshots, oldest first.
func (l *Log) snapshots() ([]string, error) {
	names, err := l.opts.FS.List(l.opts.Dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, snapshotSuffix) })
	slices.Sort(names)
	return names, nil
}

type snapshotReader struct {
	io.Reader
	io.Closer
}

// checkedWriter counts and checksums what it passes on.
type checkedWriter struct {
	w   *bufio.Writer
	n   uint64
	crc uint32
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	c.crc = crc32.Update(c.crc, castagnoli, p[:n])
	return n, err
}
