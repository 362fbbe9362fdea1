package disk

import (
	"errors"
	"os"
)

// Shrink cuts the file to size bytes. Only the operating system's file system can,
// counted or not: another one answers errors.ErrUnsupported, so that no fault in it
// is passed by.
func Shrink(fs FS, name string, size int64) error {
	if c, ok := fs.(*Counted); ok {
		fs = c.FS
	}
	if fs != Default {
		return errors.ErrUnsupported
	}
	return os.Truncate(name, size)
}
