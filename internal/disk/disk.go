package disk

import "github.com/cockroachdb/pebble/v2/vfs"

// FS is a file system.
type FS = vfs.FS

// File is an open file.
type File = vfs.File

// WriteCategory labels writes for accounting.
type WriteCategory = vfs.DiskWriteCategory

// Default is the operating system's file system.
var Default FS = vfs.Default
