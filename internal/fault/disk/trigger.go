package disk

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/internal/disk"
)

// Trigger is a file system that crashes the one underneath just before or just
// after one of its operations that change anything. The caller goes on without
// noticing, as through a frozen generation. Operations are counted across all
// goroutines; between them other operations may run.
type Trigger struct {
	disk.FS
	// Before, if not nil, is called just before the power is cut. A node that goes
	// on speaking after its disk has crashed acknowledges what is lost: cut its
	// connections here.
	Before func()

	under *FS
	after bool
	keep  int

	mu   sync.Mutex
	left int
	next *FS
}

// NewTrigger wraps under. The operation that is the at-th from now on, or from
// the last call of Arm, crashes it, before its effect or after it; of what was
// not synced keepPercent survives. at 0 never does.
func NewTrigger(under *FS, at int, after bool, keepPercent int) *Trigger {
	return &Trigger{FS: under, under: under, left: at, after: after, keep: keepPercent}
}

// Arm counts from here.
func (c *Trigger) Arm(at int) {
	c.mu.Lock()
	c.left = at
	c.mu.Unlock()
}

// Crash cuts the power now, unless that has happened, and returns the next
// generation.
func (c *Trigger) Crash() *FS {
	if c.Before != nil {
		c.Before()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = c.under.Crash(c.keep)
	}
	return c.next
}

// Next is the next generation once the power was cut, nil before.
func (c *Trigger) Next() *FS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// step counts one operation and crashes around it when its turn has come.
func (c *Trigger) step(op func()) {
	c.mu.Lock()
	c.left--
	mine := c.left == 0
	c.mu.Unlock()
	if mine && !c.after {
		c.Crash()
	}
	op()
	if mine && c.after {
		c.Crash()
	}
}

func (c *Trigger) wrap(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	return &triggerFile{File: f, c: c}, nil
}

// Create is FS.Create.
func (c *Trigger) Create(name string, cat disk.WriteCategory) (f disk.File, err error) {
	c.step(func() { f, err = c.wrap(c.FS.Create(name, cat)) })
	return f, err
}

// OpenReadWrite is FS.OpenReadWrite.
func (c *Trigger) OpenReadWrite(name string, cat disk.WriteCategory, opts ...vfs.OpenOption) (f disk.File, err error) {
	c.step(func() { f, err = c.wrap(c.FS.OpenReadWrite(name, cat, opts...)) })
	return f, err
}

// OpenDir is FS.OpenDir.
func (c *Trigger) OpenDir(name string) (disk.File, error) { return c.wrap(c.FS.OpenDir(name)) }

// Rename is FS.Rename.
func (c *Trigger) Rename(from, to string) (err error) {
	c.step(func() { err = c.FS.Rename(from, to) })
	return err
}

// Remove is FS.Remove.
func (c *Trigger) Remove(name string) (err error) {
	c.step(func() { err = c.FS.Remove(name) })
	return err
}

type triggerFile struct {
	disk.File
	c *Trigger
}

func (f *triggerFile) Write(p []byte) (n int, err error) {
	f.c.step(func() { n, err = f.File.Write(p) })
	return n, err
}

func (f *triggerFile) WriteAt(p []byte, off int64) (n int, err error) {
	f.c.step(func() { n, err = f.File.WriteAt(p, off) })
	return n, err
}

func (f *triggerFile) Sync() (err error) {
	f.c.step(func() { err = f.File.Sync() })
	return err
}

func (f *triggerFile) SyncData() (err error) {
	f.c.step(func() { err = f.File.SyncData() })
	return err
}
