//go:build !linux

package disk

import "os"

// fdatasync falls back to a full sync.
func fdatasync(f *os.File) error { return f.Sync() }
