package file

import (
	"context"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"gfslab/api"
)

// Glob returns the paths that match a pattern of doublestar's (* ? [a-z] {a,b} and
// ** for any directories), in the order of a walk. A pattern without any of these,
// or one that is the name of something that exists, stands for itself, whether or
// not it exists.
func (f *FS) Glob(ctx context.Context, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[{\`) {
		return []string{pattern}, nil
	}
	if _, err := f.Stat(ctx, pattern, 0); err == nil {
		return []string{pattern}, nil
	}
	tree := &tree{ctx: ctx, f: f}
	found, err := doublestar.Glob(tree, strings.TrimPrefix(pattern, "/"), doublestar.WithFailOnIOErrors())
	if err == nil {
		err = tree.err
	}
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = "/" + found[i]
	}
	if len(found) == 0 {
		return nil, declined(pattern, "nothing matches")
	}
	return found, nil
}

// tree shows the namespace as an fs.FS of names and directories, as far as a glob
// needs one.
type tree struct {
	ctx context.Context
	f   *FS
	err error // the first failure that is not an absence
}

// absent is how io/fs says that there is nothing.
func (t *tree) absent(op, name string, err error) error {
	if Refused(err, api.Code_NOT_FOUND) || Refused(err, api.Code_NOT_DIRECTORY) {
		err = fs.ErrNotExist
	} else if t.err == nil {
		t.err = err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Open is needed for the interface; a glob opens nothing that it can read.
func (t *tree) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

// Stat implements fs.StatFS.
func (t *tree) Stat(name string) (fs.FileInfo, error) {
	st, err := t.f.Stat(t.ctx, Clean(name), 0)
	if err != nil {
		return nil, t.absent("stat", name, err)
	}
	return named{path.Base(name), st.Directory}, nil
}

// ReadDir implements fs.ReadDirFS.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	var out []fs.DirEntry
	_, err := t.f.List(t.ctx, Clean(name), ListOptions{}, func(e *api.Entry) error {
		out = append(out, named{strings.TrimSuffix(e.Name, "/"), e.Directory})
		return nil
	})
	if err != nil {
		return nil, t.absent("readdir", name, err)
	}
	return out, nil
}

// named is all that a glob asks of an entry.
type named struct {
	name      string
	directory bool
}

func (n named) Name() string               { return n.name }
func (n named) IsDir() bool                { return n.directory }
func (n named) Type() fs.FileMode          { return n.Mode().Type() }
func (n named) Info() (fs.FileInfo, error) { return n, nil }
func (n named) Size() int64                { return 0 }
func (n named) ModTime() time.Time         { return time.Time{} }
func (n named) Sys() any                   { return nil }
func (n named) Mode() fs.FileMode {
	if n.directory {
		return fs.ModeDir | 0o755
	}
	return 0o644
}
