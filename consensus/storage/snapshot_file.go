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

// Commit checks the whole file, and makes it durable and the newest snapshot. A
// file that is damaged, or is not what was announced, is an error that wraps
// ErrCorrupt, and is removed; an index below the newest snapshot's one that
// wraps ErrSuperseded.
func (r *SnapshotReceiver) Commit() (SnapshotMeta, error) {
	meta, err := r.finish()
	if err != nil {
		return SnapshotMeta{}, errors.Join(err, r.Abort())
	}
	return meta, r.l.publish(r.file, snapshotName(meta, true))
}

func (r *SnapshotReceiver) finish() (SnapshotMeta, error) {
	if err := r.l.syncFile(r.file.f); err != nil {
		return SnapshotMeta{}, err
	}
	name := snapshotName(r.info.SnapshotMeta, true)
	f, err := r.l.opts.FS.Open(r.file.path)
	if err != nil {
		return SnapshotMeta{}, err
	}
	meta, _, err := openSnapshot(name, f)
	if err == nil && (r.size != r.info.Size || meta.Index != r.info.Index || meta.Stamp != r.info.Stamp) {
		err = &CorruptionError{File: name, Reason: "the snapshot is not the one that was announced"}
	}
	return meta, errors.Join(err, f.Close())
}

// Abort gives the file up.
func (r *SnapshotReceiver) Abort() error { return r.l.discard(r.file) }
