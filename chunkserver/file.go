package chunkserver

import (
	"sync/atomic"

	"gfslab/internal/disk"
)

// openFile is a chunk's file with a count of who uses it: a clone that takes its
// place and a removal must not close it under a reader.
type openFile struct {
	disk.File
	users atomic.Int64
}

// newOpenFile is used by its chunk alone at first.
func newOpenFile(f disk.File) *openFile {
	o := &openFile{File: f}
	o.users.Store(1)
	return o
}

// acquire adds a user; call it with the chunk's mu held, as only that keeps the
// chunk from giving up its own use meanwhile. f may be nil.
func (f *openFile) acquire() *openFile {
	if f != nil {
		f.users.Add(1)
	}
	return f
}

// release ends one use and closes the file after the last one.
func (f *openFile) release() error {
	if f == nil || f.users.Add(-1) > 0 {
		return nil
	}
	return f.Close()
}
