package storage

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
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
	fetchedSuffix   = "-fetched" + snapshotSuffix
	temporarySuffix = ".tmp"
	trailerBytes    = 12 // length of all before it, CRC-32C of that
)

var snapshotMagic = []byte("gfssnap\x01") // the last byte is the format version

func snapshotName(m SnapshotMeta, fetched bool) string {
	suffix := snapshotSuffix
	if fetched {
		suffix = fetchedSuffix
	}
	return fmt.Sprintf("%016x-%016x%s", m.Index, m.Stamp, suffix)
}

// SnapshotInfo describes a snapshot's file.
type SnapshotInfo struct {
	SnapshotMeta
	// Size is that of the whole file, CRC the checksum in its trailer, which
	// covers all before the trailer. Together with index and stamp they name its
	// content.
	Size int64
	CRC  uint32
	// Fetched: another replica wrote it, so the log beside it may lack, or hold
	// otherwise, what it includes.
	Fetched bool
}

// SaveSnapshot stores a snapshot beside the log: NewSnapshot, write, Commit.
func (l *Log) SaveSnapshot(meta SnapshotMeta, write func(io.Writer) error) error {
	w, err := l.NewSnapshot(meta)
	if err != nil {
		return err
	}
	if err := write(w); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Commit()
}

// OpenSnapshot returns the newest snapshot, after checking all of it. The
// caller closes the reader. ErrNoSnapshot if there is none.
func (l *Log) OpenSnapshot() (SnapshotMeta, io.ReadCloser, error) {
	if err := l.Err(); err != nil {
		return SnapshotMeta{}, nil, err
	}
	name, f, err := l.newestSnapshot()
	if err != nil {
		return SnapshotMeta{}, nil, err
	}
	meta, body, err := openSnapshot(name, f)
	if err != nil {
		return SnapshotMeta{}, nil, errors.Join(err, f.Close())
	}
	return meta, snapshotReader{body, f}, nil
}

func (l *Log) newestSnapshot() (name string, f disk.File, err error) {
	l.readers.Add(1) // before looking: what is found must not shrink
	defer func() {
		if err != nil {
			l.readers.Add(-1)
		}
	}()
	for {
		names, err := l.snapshots()
		if err != nil {
			return "", nil, err
		}
		if len(names) == 0 {
			return "", nil, ErrNoSnapshot
		}
		gone := name // replaced by a newer one after it was found
		name = names[len(names)-1]
		if f, err = l.opts.FS.Open(l.path(name)); err == nil {
			return name, &readFile{File: f, l: l}, nil
		}
		if name == gone || !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
	}
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
	return readSnapshotHead(name, f, size)
}

// readSnapshotHead reads what stands before the body, and leaves the body.
func readSnapshotHead(name string, f disk.File, size int64) (meta SnapshotMeta, body io.Reader, err error) {
	corrupt := func(reason string) error {
		return &CorruptionError{File: name, Offset: int64(len(snapshotMagic)), Reason: reason}
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), int(min(size, 64<<10)))
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
			return meta, nil, corrupt("snapshot's head ends early")
		}
	}
	if n > uint64(size) {
		return meta, nil, corrupt("snapshot's head ends early")
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
