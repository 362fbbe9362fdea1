package disk

import (
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/internal/disk"
)

func notExist(op, name string) error {
	return &os.PathError{Op: op, Path: name, Err: os.ErrNotExist}
}

// clean turns a name into its parts; the root has none. As in vfs.MemFS the
// working directory is the root.
func clean(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// find returns the inode of a name. The caller holds fs.mu.
func (fs *FS) find(op, name string) (*inode, error) {
	n := fs.root
	for _, part := range clean(name) {
		if !n.dir {
			return nil, &os.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
		if n = n.children[part]; n == nil {
			return nil, notExist(op, name)
		}
	}
	return n, nil
}

// parent returns the directory that holds a name, and its last part.
func (fs *FS) parent(op, name string) (dir *inode, base string, err error) {
	parts := clean(name)
	if len(parts) == 0 {
		return nil, "", &os.PathError{Op: op, Path: name, Err: os.ErrInvalid}
	}
	last := len(parts) - 1
	dir, err = fs.find(op, strings.Join(parts[:last], "/"))
	if err == nil && !dir.dir {
		err = &os.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
	}
	return dir, parts[last], err
}

// Create is vfs.FS: a file that is there is replaced by a new one.
func (fs *FS) Create(name string, _ disk.WriteCategory) (disk.File, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.create(name)
	if err != nil {
		return nil, err
	}
	return &file{fs: fs, n: n, name: path.Base(name), write: true}, nil
}

func (fs *FS) create(name string) (*inode, error) {
	dir, base, err := fs.parent("create", name)
	if err != nil {
		return nil, err
	}
	if old := dir.children[base]; old != nil && old.dir {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.EISDIR}
	}
	n, err := fs.newFile(base)
	if err != nil {
		return nil, err
	}
	fs.change(dir, change{set: base, node: n})
	return n, nil
}

// Open is vfs.FS.
func (fs *FS) Open(name string, opts ...vfs.OpenOption) (disk.File, error) {
	return fs.open(name, false, opts)
}

// OpenDir is vfs.FS.
func (fs *FS) OpenDir(name string) (disk.File, error) { return fs.open(name, false, nil) }

// OpenReadWrite is vfs.FS.
func (fs *FS) OpenReadWrite(name string, _ disk.WriteCategory, opts ...vfs.OpenOption) (disk.File, error) {
	return fs.open(name, true, opts)
}

func (fs *FS) open(name string, write bool, opts []vfs.OpenOption) (disk.File, error) {
	fs.mu.Lock()
	n, err := fs.find("open", name)
	if write && errors.Is(err, os.ErrNotExist) {
		n, err = fs.create(name)
	}
	fs.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if write && n.dir {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	}
	f := &file{fs: fs, n: n, name: path.Base(name), write: write}
	for _, o := range opts {
		o.Apply(f)
	}
	return f, nil
}

// ReuseForWrite is vfs.FS: it renames and opens, keeping the old bytes.
func (fs *FS) ReuseForWrite(oldname, newname string, cat disk.WriteCategory) (disk.File, error) {
	if err := fs.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return fs.OpenReadWrite(newname, cat)
}

// Link is vfs.FS.
func (fs *FS) Link(oldname, newname string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find("link", oldname)
	if err != nil {
		return err
	}
	dir, base, err := fs.parent("link", newname)
	if err != nil {
		return err
	}
	if dir.children[base] != nil {
		return &os.LinkError{Op: "link", Old: oldname, New: newname, Err: os.ErrExist}
	}
	fs.change(dir, change{set: base, node: n})
	return nil
}

// Rename is vfs.FS. Within one directory it is one change: a crash keeps or
// loses it whole.
func (fs *FS) Rename(oldname, newname string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	from, oldBase, err := fs.parent("rename", oldname)
	if err != nil {
		return err
	}
	n := from.children[oldBase]
	if n == nil {
		return notExist("rename", oldname)
	}
	to, newBase, err := fs.parent("rename", newname)
	if err != nil {
		return err
	}
	if from == to {
		if oldBase != newBase {
			fs.change(from, change{set: newBase, node: n, unset: oldBase})
		}
		return nil
	}
	fs.change(to, change{set: newBase, node: n})
	fs.change(from, change{unset: oldBase})
	return nil
}

// Remove is vfs.FS.
func (fs *FS) Remove(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, base, err := fs.parent("remove", name)
	if err != nil {
		return err
	}
	n := dir.children[base]
	if n == nil {
		return notExist("remove", name)
	}
	if n.dir && len(n.children) > 0 {
		return &os.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	fs.change(dir, change{unset: base})
	return nil
}

// RemoveAll is vfs.FS.
func (fs *FS) RemoveAll(name string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	dir, base, err := fs.parent("remove", name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil && dir.children[base] != nil {
		fs.change(dir, change{unset: base})
	}
	return err
}

// MkdirAll is vfs.FS.
func (fs *FS) MkdirAll(name string, _ os.FileMode) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := fs.root
	for _, part := range clean(name) {
		next := n.children[part]
		if next == nil {
			next = fs.newDir()
			fs.change(n, change{set: part, node: next})
		}
		if !next.dir {
			return &os.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		n = next
	}
	return nil
}

// Lock is vfs.FS. A lock ends with its generation.
func (fs *FS) Lock(name string) (io.Closer, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	key := strings.Join(clean(name), "/")
	if fs.locks[key] {
		return nil, &os.PathError{Op: "lock", Path: name, Err: syscall.EAGAIN}
	}
	if _, err := fs.find("lock", name); errors.Is(err, os.ErrNotExist) {
		if _, err := fs.create(name); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	fs.locks[key] = true
	return &unlocker{fs: fs, key: key}, nil
}

type unlocker struct {
	fs  *FS
	key string
}

func (u *unlocker) Close() error {
	u.fs.mu.Lock()
	defer u.fs.mu.Unlock()
	delete(u.fs.locks, u.key)
	return nil
}

// List is vfs.FS; the names are sorted.
func (fs *FS) List(name string) ([]string, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n, err := fs.find("list", name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &os.PathError{Op: "list", Path: name, Err: syscall.ENOTDIR}
	}
	return slices.Sorted(maps.Keys(n.children)), nil
}

// Stat is vfs.FS.
func (fs *FS) Stat(name string) (vfs.FileInfo, error) {
	fs.mu.Lock()
	n, err := fs.find("stat", name)
	fs.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return (&file{fs: fs, n: n, name: path.Base(name)}).Stat()
}

// PathBase is vfs.FS.
func (*FS) PathBase(p string) string { return path.Base(p) }

// PathJoin is vfs.FS.
func (*FS) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir is vfs.FS.
func (*FS) PathDir(p string) string { return path.Dir(p) }

// GetDiskUsage is vfs.FS; it is not supported.
func (*FS) GetDiskUsage(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{}, vfs.ErrUnsupported }

// Unwrap is vfs.FS; there is nothing underneath.
func (*FS) Unwrap() vfs.FS { return nil }
