package disk

import (
	"errors"
	"io/fs"
)

// SyncDir makes the entries of a directory durable.
func SyncDir(fsys FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// MkdirAll creates dir with its parents and makes their entries durable. The
// parent of dir is synced even when dir was there already: whoever made it may
// have been killed before its own sync.
func MkdirAll(fsys FS, dir string) error {
	var parents []string
	for at := dir; ; {
		parent := fsys.PathDir(at)
		if parent == at {
			break
		}
		parents = append(parents, parent)
		if _, err := fsys.Stat(parent); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		at = parent
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range parents {
		if err := SyncDir(fsys, p); err != nil {
			return err
		}
	}
	return nil
}
