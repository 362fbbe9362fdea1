package disk

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Counted is a file system that counts the syncs passing through it: every
// Sync and SyncData of a file or directory, and SyncTo where it was a full
// sync. It is what a system call trace would count as fsync and fdatasync.
type Counted struct {
	FS
	syncs   atomic.Uint64
	written atomic.Uint64
}

// Count wraps a file system.
func Count(under FS) *Counted { return &Counted{FS: under} }

// Syncs is the number of syncs so far.
func (c *Counted) Syncs() uint64 { return c.syncs.Load() }

// Written is the number of bytes written so far.
func (c *Counted) Written() uint64 { return c.written.Load() }

// Unwrap returns the file system underneath.
func (c *Counted) Unwrap() vfs.FS { return c.FS }

func (c *Counted) wrap(f File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &countedFile{File: f, c: c}, nil
}

// Create is FS.Create.
func (c *Counted) Create(name string, cat WriteCategory) (File, error) {
	return c.wrap(c.FS.Create(name, cat))
}

// Open is FS.Open.
func (c *Counted) Open(name string, opts ...vfs.OpenOption) (File, error) {
	return c.wrap(c.FS.Open(name, opts...))
}

// OpenReadWrite is FS.OpenReadWrite.
func (c *Counted) OpenReadWrite(name string, cat WriteCategory, opts ...vfs.OpenOption) (File, error) {
	return c.wrap(c.FS.OpenReadWrite(name, cat, opts...))
}

// OpenDir is FS.OpenDir.
func (c *Counted) OpenDir(name string) (File, error) { return c.wrap(c.FS.OpenDir(name)) }

// ReuseForWrite is FS.ReuseForWrite.
func (c *Counted) ReuseForWrite(oldname, newname string, cat WriteCategory) (File, error) {
	return c.wrap(c.FS.ReuseForWrite(oldname, newname, cat))
}

type countedFile struct {
	File
	c *Counted
}

func (f *countedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.c.written.Add(uint64(n))
	return n, err
}

func (f *countedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	f.c.written.Add(uint64(n))
	return n, err
}

func (f *countedFile) Sync() error {
	f.c.syncs.Add(1)
	return f.File.Sync()
}

func (f *countedFile) SyncData() error {
	f.c.syncs.Add(1)
	return f.File.SyncData()
}

func (f *countedFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	if full {
		f.c.syncs.Add(1)
	}
	return full, err
}
