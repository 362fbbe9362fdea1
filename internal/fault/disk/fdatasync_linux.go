package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync makes a file's data, and the metadata needed to read it, durable.
func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
