package disk

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// file is an open file or directory.
type file struct {
	fs    *FS
	n     *inode
	name  string
	write bool
	pos   int64
}

var _ vfs.File = (*file)(nil)

var errReadOnly = errors.New("fault disk: file was not opened for writing")

func (f *file) Close() error { return nil }

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if f.n.dir {
		return 0, &os.PathError{Op: "read", Path: f.name, Err: errors.New("is a directory")}
	}
	n, err := f.n.readAt(p, off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.pos)
	f.pos += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if !f.write {
		return 0, errReadOnly
	}
	if err := f.fs.failures().write; err != nil && !f.fs.frozen.Load() {
		return 0, err
	}
	if err := f.n.writeAt(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) Sync() error     { return f.fs.sync(f.n) }
func (f *file) SyncData() error { return f.fs.sync(f.n) }

// SyncTo promises nothing and does nothing, as vfs allows.
func (f *file) SyncTo(int64) (fullSync bool, err error) { return false, nil }

func (f *file) Preallocate(_, _ int64) error { return nil }
func (f *file) Prefetch(_, _ int64) error    { return nil }
func (f *file) Fd() uintptr                  { return vfs.InvalidFd }

func (f *file) Stat() (vfs.FileInfo, error) {
	if f.n.dir {
		return &info{name: f.name, dir: true, modTime: f.n.modTime}, nil
	}
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	return &info{name: f.name, size: f.n.length, modTime: f.n.modTime}, nil
}

type info struct {
	name    string
	size    int64
	dir     bool
	modTime time.Time
}

func (i *info) Name() string           { return i.name }
func (i *info) Size() int64            { return i.size }
func (i *info) ModTime() time.Time     { return i.modTime }
func (i *info) IsDir() bool            { return i.dir }
func (i *info) Sys() any               { return nil }
func (i *info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i *info) Mode() os.FileMode {
	if i.dir {
		return os.ModeDir | 0o755
	}
	return 0o644
}
