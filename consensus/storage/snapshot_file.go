package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"gfslab/internal/disk"
)

// SnapshotFile is an open snapshot as the bytes of its file, trailer included.
// It can be read as long as it is open, also when a newer one has replaced it.
// ReadAt may be called from any goroutine.
type SnapshotFile struct {
	Info SnapshotInfo
	f    disk.File
}

// OpenSnapshotFile opens the newest snapshot without checking it as a whole
// (whoever receives its bytes does). ErrNoSnapshot if there is none.
func (l *Log) OpenSnapshotFile() (*SnapshotFile, error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	name, f, err := l.newestSnapshot()
	if err != nil {
		return nil, err
	}
	info, err := snapshotInfo(name, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &SnapshotFile{Info: info, f: f}, nil
}

func snapshotInfo(name string, f disk.File) (SnapshotInfo, error) {
	st, err := f.Stat()
	if err != nil {
		return SnapshotInfo{}, err
	}
	if st.Size() < trailerBytes {
		return SnapshotInfo{}, &CorruptionError{File: name, Reason: "snapshot is cut short"}
	}
	var t [trailerBytes]byte
	if _, err := f.ReadAt(t[:], st.Size()-trailerBytes); err != nil && err != io.EOF {
		return SnapshotInfo{}, err
	}
	meta, _, err := readSnapshotHead(name, f, st.Size()-trailerBytes)
	return SnapshotInfo{
		SnapshotMeta: meta, Size: st.Size(), CRC: binary.LittleEndian.Uint32(t[8:]), Fetched: isFetched(name),
	}, err
}

// ReadAt implements io.ReaderAt.
func (s *SnapshotFile) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

// Check reads the whole file and compares it with its checksum.
func (s *SnapshotFile) Check() error {
	_, _, err := openSnapshot(snapshotName(s.Info.SnapshotMeta, s.Info.Fetched), s.f)
	return err
}

// Body returns a reader of what the state machine wrote. It reads through its
// own position; the file must stay open meanwhile.
func (s *SnapshotFile) Body() (io.Reader, error) {
	_, body, err := readSnapshotHead(snapshotName(s.Info.SnapshotMeta, s.Info.Fetched), s.f, s.Info.Size-trailerBytes)
	return body, err
}

// BodySize is the number of bytes that Body reads.
func (s *SnapshotFile) BodySize() int64 {
	return s.Info.Size - trailerBytes - int64(len(snapshotHead(s.Info.SnapshotMeta)))
}

// Close closes the file.
func (s *SnapshotFile) Close() error { return s.f.Close() }

// SnapshotReceiver puts a snapshot together from the pieces of another
// replica's file. It is used by one goroutine, and ends with Commit or Abort,
// before the log is closed.
type SnapshotReceiver struct {
	l        *Log
	info     SnapshotInfo
	file     temporaryFile
	size     int64
	unsynced int64
}

// receiveSync is after how many bytes a file that grows is synced, so that the
// log's own syncs beside it never wait for much.
const receiveSync = 1 << 20

// ReceiveSnapshot starts to put together the file that info describes.
func (l *Log) ReceiveSnapshot(info SnapshotInfo) (*SnapshotReceiver, error) {
	if err := l.Err(); err != nil {
		return nil, err
	}
	file, err := l.createTemporary(snapshotName(info.SnapshotMeta, true))
	if err != nil {
		return nil, err
	}
	return &SnapshotReceiver{l: l, info: info, file: file}, nil
}

// Append adds the next piece.
func (r *SnapshotReceiver) Append(p []byte) error {
	if r.size+int64(len(p)) > r.info.Size {
		return fmt.Errorf("storage: more than the %d bytes of the snapshot arrived", r.info.Size)
	}
	n, err := r.file.f.WriteAt(p, r.size)
	r.size += int64(n)
	r.unsynced += int64(n)
	if err == nil && r.unsynced >= receiveSync {
		r.unsynced = 0
		err = r.l.syncFile(r.file.f)
	}
	return err
}

// Size is the number of bytes put together.
func (r *SnapshotReceiver) Size() int64 { return r.size }

// Commit checks the whole file, makes it durable and the newest snapshot, and
// returns it open. A file that is damaged, or is not what was announced, is an
// error that wraps ErrCorrupt or ErrFormat, and is removed; an index below the
// newest snapshot's one that wraps ErrSuperseded.
func (r *SnapshotReceiver) Commit() (*SnapshotFile, error) {
	file, err := r.finish()
	if err != nil {
		return nil, errors.Join(err, r.Abort())
	}
	if err := r.l.publish(r.file, snapshotName(file.Info.SnapshotMeta, true)); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// finish opens the file anew, so that what is checked is what can be read.
func (r *SnapshotReceiver) finish() (*SnapshotFile, error) {
	if err := r.l.syncFile(r.file.f); err != nil {
		return nil, err
	}
	name := snapshotName(r.info.SnapshotMeta, true)
	opened, err := r.l.opts.FS.Open(r.file.path)
	if err != nil {
		return nil, err
	}
	r.l.readers.Add(1)
	f := &readFile{File: opened, l: r.l}
	info := SnapshotInfo{}
	if _, _, err = openSnapshot(name, f); err == nil {
		info, err = snapshotInfo(name, f)
	}
	if w := r.info; err == nil && (r.size != w.Size || info.Index != w.Index || info.Stamp != w.Stamp || info.CRC != w.CRC) {
		err = &CorruptionError{File: name, Reason: "the snapshot is not the one that was announced"}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &SnapshotFile{Info: info, f: f}, nil
}

// Abort gives the file up.
func (r *SnapshotReceiver) Abort() error { return r.l.discard(r.file) }
