package engine

import (
	"errors"
	"fmt"
	"io"

	"gfslab/consensus/storage"
)

// SnapshotIO carries out what a scheduler wants done with the files of
// snapshots, in plain calls that wait for the disk. It belongs to one goroutine.
type SnapshotIO struct {
	log       *storage.Log
	served    []*servedFile
	receiver  *storage.SnapshotReceiver
	receiving uint64 // Piece.File of receiver
}

type servedFile struct {
	*storage.SnapshotFile
	used bool // since the last Sweep
}

// NewSnapshotIO returns one for log; Close it before the log.
func NewSnapshotIO(log *storage.Log) *SnapshotIO { return &SnapshotIO{log: log} }

// Serve reads the piece that q asks for; its results are those of
// Scheduler.Served. A file once served stays open, so that a laggard can finish
// it when a newer snapshot is there.
func (x *SnapshotIO) Serve(q Serve) (info storage.SnapshotInfo, offset int64, data []byte, err error) {
	file, offset, err := x.find(q.Request)
	if err != nil {
		return info, 0, nil, err
	}
	file.used = true
	data = make([]byte, max(min(int64(q.Limit), file.Info.Size-offset), 0))
	_, err = file.ReadAt(data, offset)
	if err == io.EOF {
		err = nil
	}
	return file.Info, offset, data, err
}

func (x *SnapshotIO) find(q PieceRequest) (file *servedFile, offset int64, err error) {
	for _, f := range x.served {
		if q.Names(f.Info) {
			return f, q.Offset, nil
		}
	}
	newest, err := x.log.OpenSnapshotFile()
	if err != nil {
		return nil, 0, err
	}
	for _, f := range x.served {
		if f.Info.Index == newest.Info.Index && f.Info.Stamp == newest.Info.Stamp {
			if err := newest.Close(); err != nil {
				return nil, 0, err
			}
			file = f
		}
	}
	if file == nil {
		file = &servedFile{SnapshotFile: newest}
		x.served = append(x.served, file)
	}
	switch {
	case q.Names(file.Info):
		return file, q.Offset, nil
	case file.Info.Index < q.Index:
		return nil, 0, fmt.Errorf("%w that is new enough", storage.ErrNoSnapshot)
	}
	return file, 0, nil
}

// Sweep closes the files that were not served since it was called before. It is
// called when a new snapshot has become durable.
func (x *SnapshotIO) Sweep() error {
	var errs []error
	kept := x.served[:0]
	for _, f := range x.served {
		if f.used {
			f.used = false
			kept = append(kept, f)
		} else {
			errs = append(errs, f.Close())
		}
	}
	clear(x.served[len(kept):])
	x.served = kept
	return errors.Join(errs...)
}

// Store adds a piece to the file being fetched.
func (x *SnapshotIO) Store(p Piece) error {
	if p.Offset == 0 {
		if err := x.drop(); err != nil {
			return err
		}
		receiver, err := x.log.ReceiveSnapshot(p.Info)
		if err != nil {
			return err
		}
		x.receiver, x.receiving = receiver, p.File
	}
	if x.receiver == nil || x.receiving != p.File || x.receiver.Size() != p.Offset {
		return fmt.Errorf("engine: a piece at offset %d of snapshot file %d is out of place", p.Offset, p.File)
	}
	return x.receiver.Append(p.Data)
}

// Finish makes the file that was fetched the newest snapshot, and returns it
// open.
func (x *SnapshotIO) Finish(file uint64) (*storage.SnapshotFile, error) {
	if x.receiver == nil || x.receiving != file {
		return nil, fmt.Errorf("engine: snapshot file %d is not being fetched", file)
	}
	r := x.receiver
	x.receiver = nil
	return r.Commit()
}

func (x *SnapshotIO) drop() error {
	if x.receiver == nil {
		return nil
	}
	r := x.receiver
	x.receiver = nil
	return r.Abort()
}

// Close closes the files and drops what is unfinished.
func (x *SnapshotIO) Close() error {
	errs := []error{x.drop()}
	for _, f := range x.served {
		errs = append(errs, f.Close())
	}
	x.served = nil
	return errors.Join(errs...)
}
