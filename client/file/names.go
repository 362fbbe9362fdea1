package file

import (
	"context"
	"path"
	"strings"

	"gfslab/api"
	"gfslab/client"
)

// Stat describes a path; with an id, what is hidden under it.
func (f *FS) Stat(ctx context.Context, name string, id uint64) (*api.StatReply, error) {
	var more []client.CallOption
	if id != 0 {
		more = append(more, client.WithDeleted(id))
	}
	return take(f, name, f.main.Stat(ctx, name, f.lookup(more...)...))
}

// Usage counts what is below a path.
func (f *FS) Usage(ctx context.Context, name string) (*api.UsageReply, error) {
	return take(f, name, f.main.Usage(ctx, name, f.lookup()...))
}

// ListOptions say what a listing shows.
type ListOptions struct {
	Recursive bool
	Deleted   bool   // what is hidden instead
	Prefix    string // of names directly in the directory
}

// pageEntries is how many entries are asked for at a time.
const pageEntries = 5000

// List calls each with the entries of a directory, in byte order; names are
// relative to it and end with a slash for directories. Pages are taken one after
// the other: what changes meanwhile may or may not be seen.
func (f *FS) List(ctx context.Context, dir string, o ListOptions, each func(*api.Entry) error) (at *api.Position, err error) {
	r := &api.ListRequest{Path: dir, Long: true, Recursive: o.Recursive, Deleted: o.Deleted, Prefix: o.Prefix, Limit: pageEntries}
	for {
		reply, err := take(f, dir, f.main.ListPage(ctx, r, f.lookup()...))
		if err != nil {
			return nil, err
		}
		for _, e := range reply.Entries {
			if err := each(e); err != nil {
				return nil, err
			}
		}
		if r.After = reply.Next; r.After == "" {
			return reply.At, nil
		}
	}
}

// Create makes an empty file.
func (f *FS) Create(ctx context.Context, name string) (id uint64, err error) {
	reply, err := take(f, name, f.main.Create(ctx, name))
	return reply.GetId(), err
}

// Mkdir makes a directory; with parents, all that are missing on the way, and it
// is no error if it is there already.
func (f *FS) Mkdir(ctx context.Context, name string, parents bool) error {
	_, err := take(f, name, f.main.Mkdir(ctx, name))
	switch {
	case !parents || err == nil:
		return err
	case Refused(err, api.Code_EXISTS):
		if st, err := f.Stat(ctx, name, 0); err != nil || st.Directory {
			return err
		}
		return err
	case !Refused(err, api.Code_NOT_FOUND) || name == "/":
		return err
	}
	if err := f.Mkdir(ctx, path.Dir(name), true); err != nil {
		return err
	}
	return f.Mkdir(ctx, name, true)
}

// Remove hides a file, an empty directory, or, if recursive, a whole tree, and
// returns the id under which it can be brought back.
func (f *FS) Remove(ctx context.Context, name string, recursive bool) (id uint64, err error) {
	var more []client.CallOption
	if recursive {
		more = append(more, client.WithRecursive())
	}
	reply, err := take(f, name, f.main.Delete(ctx, name, more...))
	return reply.GetId(), err
}

// RemoveNow removes for good what is hidden under a path with the id.
func (f *FS) RemoveNow(ctx context.Context, name string, id uint64) error {
	_, err := take(f, name, f.main.Delete(ctx, name, client.WithDeleted(id), client.WithRecursive()))
	return err
}

// removeNow removes a file for good.
func (f *FS) removeNow(ctx context.Context, name string) error {
	id, err := f.Remove(ctx, name, false)
	if err != nil || id == 0 { // with a retention of 0 it is gone already
		return err
	}
	if err := f.RemoveNow(ctx, name, id); err != nil && !Refused(err, api.Code_NOT_FOUND) {
		return err
	}
	return nil
}

// Undelete brings back what is hidden under a path: with the id, or, if it is 0,
// what was hidden last.
func (f *FS) Undelete(ctx context.Context, name string, id uint64) error {
	_, err := take(f, name, f.main.Undelete(ctx, name, id))
	return err
}

// Rename moves a file or directory. Options are client's, as WithReplace.
func (f *FS) Rename(ctx context.Context, from, to string, options ...client.CallOption) error {
	r := f.main.Rename(ctx, from, to, options...)
	_, err := take(f, blame(r.Reply.GetCode(), from, to), r)
	return err
}

// Snapshot copies a file or tree at one moment.
func (f *FS) Snapshot(ctx context.Context, from, to string) error {
	r := f.main.Snapshot(ctx, from, to)
	_, err := take(f, blame(r.Reply.GetCode(), from, to), r)
	return err
}

// blame names the path that a refusal of two paths is about; both, if it may be
// either.
func blame(c api.Code, from, to string) string {
	if c == api.Code_EXISTS {
		return to
	}
	return from + " -> " + to
}

// SetAttributes sets and clears attributes of a path, see client.SetAttributes.
func (f *FS) SetAttributes(ctx context.Context, name string, set *api.Attributes, clear []string) error {
	_, err := take(f, name, f.main.SetAttributes(ctx, name, set, clear))
	return err
}

// isDirectory reports whether the path is one; a path that is not there is none.
func (f *FS) isDirectory(ctx context.Context, name string) (bool, error) {
	st, err := f.Stat(ctx, name, 0)
	if Refused(err, api.Code_NOT_FOUND) || Refused(err, api.Code_NOT_DIRECTORY) {
		return false, nil
	}
	return st.GetDirectory(), err
}

// Into is where something with a base name ends up when it is put, moved or copied
// to target: in target, if that is a directory, else at it.
func (f *FS) Into(ctx context.Context, base, target string) (string, error) {
	dir, err := f.isDirectory(ctx, Clean(target))
	if err != nil {
		return "", err
	}
	if dir {
		return path.Join(Clean(target), base), nil
	}
	if strings.HasSuffix(target, "/") {
		return "", ended(target, client.OK, api.Code_NOT_FOUND, nil)
	}
	return target, nil
}

// Clean makes a path absolute and takes out what is empty or a dot: "a//b/" is
// "/a/b".
func Clean(name string) string { return path.Clean("/" + name) }
