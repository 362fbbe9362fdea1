package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"gfslab/internal/disk"
)

// Owner is whom a daemon's folder belongs to: what must be the same at every start.
type Owner struct {
	// Kind is "master", "chunkserver" or "up".
	Kind    string `toml:"kind"`
	Cluster string `toml:"cluster"`
	Node    string `toml:"node"`
	Backend string `toml:"backend,omitempty"`
	// ChunkBytes is the size of a chunk; 0 where it does not matter.
	ChunkBytes int64 `toml:"chunk_bytes,omitempty"`
	// Masters and Port lay out a whole cell on one machine; 0 for a single daemon.
	Masters int `toml:"masters,omitempty"`
	Port    int `toml:"port,omitempty"`
	// Opened: the daemon has served from this folder, so its data must be there.
	Opened bool `toml:"opened"`
}

// The files of a folder that are not data.
const (
	ownerFile = "gfslab.toml"
	lockFile  = "LOCK"
)

func (o Owner) String() string {
	s := fmt.Sprintf("%s %s of cluster %s", o.Kind, o.Node, o.Cluster)
	if o.Backend != "" {
		s += ", backend " + o.Backend
	}
	if o.ChunkBytes != 0 {
		s += fmt.Sprintf(", chunks of %d bytes", o.ChunkBytes)
	}
	if o.Masters != 0 {
		s += fmt.Sprintf(", %d masters from port %d on", o.Masters, o.Port)
	}
	return s
}

// Folder is a data folder that this process alone uses, until Release.
type Folder struct {
	fs   disk.FS
	dir  string
	own  Owner
	lock io.Closer
}

// lockWait is how long a daemon waits for the folder of one that is just stopping.
const lockWait = 5 * time.Second

// Claim takes a folder for its owner: it locks it against other processes, waiting
// so long for one that has it, and notes the owner in an empty one. A folder of somebody else, one with files that
// are nobody's, and one whose data is gone are refused.
func Claim(fs disk.FS, dir string, want Owner, wait time.Duration) (*Folder, error) {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockFile))
	for patience := time.NewTimer(wait); err != nil; lock, err = fs.Lock(fs.PathJoin(dir, lockFile)) {
		again := time.NewTimer(50 * time.Millisecond)
		select {
		case <-again.C:
		case <-patience.C:
			again.Stop()
			return nil, fmt.Errorf("node: another process uses the folder %s (%w); stop it, or choose another --data", dir, err)
		}
	}
	f := &Folder{fs: fs, dir: dir, own: want, lock: lock}
	if err := f.check(); err != nil {
		return nil, errors.Join(err, f.Release())
	}
	return f, nil
}

func (f *Folder) check() error {
	have, err := ReadOwner(f.fs, f.dir)
	if errors.Is(err, os.ErrNotExist) {
		return f.adopt()
	}
	if err != nil {
		return err
	}
	same := have
	same.Opened = f.own.Opened
	if same != f.own {
		return fmt.Errorf("node: the folder %s belongs to %v, not to %v; choose another --data", f.dir, have, f.own)
	}
	if _, err := f.fs.Stat(f.Data()); have.Opened && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("node: the folder %s has lost its data (%s); a node that forgot what it promised must not come back under its name: "+
			"start a new one with a folder and a name or id of its own", f.dir, f.Data())
	}
	f.own = have
	return nil
}

// adopt takes a folder that has no owner yet.
func (f *Folder) adopt() error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for _, name := range names {
		if name != lockFile && name != ownerFile+".new" {
			return fmt.Errorf("node: the folder %s holds %q and is not one of gfslab's; choose another --data", f.dir, name)
		}
	}
	return f.write()
}

// Data is where the daemon stores its data.
func (f *Folder) Data() string { return f.fs.PathJoin(f.dir, "data") }

// Opened notes that there is data from now on.
func (f *Folder) Opened() error {
	if f.own.Opened {
		return nil
	}
	f.own.Opened = true
	return f.write()
}

// Wipe removes all that is in the folder, and makes it another owner's.
func (f *Folder) Wipe(next Owner) error {
	names, err := f.fs.List(f.dir)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	// The owner's file goes last: what is left by a crash is still ours to wipe.
	for _, name := range names {
		if name == lockFile || name == ownerFile {
			continue
		}
		if err := f.fs.RemoveAll(f.fs.PathJoin(f.dir, name)); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	f.own = next
	return f.write()
}

// write replaces the owner's file, durably.
func (f *Folder) write() error {
	text, err := toml.Marshal(f.own)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	name := f.fs.PathJoin(f.dir, ownerFile)
	file, err := f.fs.Create(name+".new", "gfslab-owner")
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = f.fs.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	d, err := f.fs.OpenDir(f.dir)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Release lets other processes have the folder.
func (f *Folder) Release() error { return f.lock.Close() }

// ReadOwner tells whose folder it is; the error of one that is nobody's wraps
// os.ErrNotExist.
func ReadOwner(fs disk.FS, dir string) (Owner, error) {
	var o Owner
	name := fs.PathJoin(dir, ownerFile)
	file, err := fs.Open(name)
	if err != nil {
		return o, fmt.Errorf("node: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err = errors.Join(err, file.Close()); err != nil {
		return o, fmt.Errorf("node: %w", err)
	}
	if err := toml.NewDecoder(strings.NewReader(string(text))).DisallowUnknownFields().Decode(&o); err != nil {
		return o, fmt.Errorf("node: %s cannot be read: %w", name, err)
	}
	return o, nil
}
