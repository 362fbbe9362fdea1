package disk

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/internal/disk"
)

// world is what all generations of one disk share.
type world struct {
	seed   uint64
	folder string   // real files live here; "" = memory
	dir    *os.File // the same folder, to be synced
	inodes atomic.Uint64
	syncs  atomic.Uint64
	stall  atomic.Pointer[stall]
	slow   atomic.Int64 // nanoseconds; see SlowSyncs
	fails  atomic.Pointer[failures]
	failMu sync.Mutex
	spare  sparePages
}

// stall is one setting of StallSyncs; over is closed when the next one, or a
// crash, ends it.
type stall struct {
	d    time.Duration
	over chan struct{}
}

// failures are the injected errors, nil = none.
type failures struct{ sync, write error }

// FS is one generation of a crashable file system.
type FS struct {
	w          *world
	generation uint64
	frozen     atomic.Bool

	mu    sync.Mutex // guards the tree and the locks; never held across file access
	root  *inode
	locks map[string]bool
}

var _ disk.FS = (*FS)(nil)

// NewMem is an empty file system over memory. The seed decides what survives
// its crashes.
func NewMem(seed uint64) *FS { return newFS(&world{seed: seed}) }

// NewReal is an empty file system over real files in folder, which is created
// and must be empty.
func NewReal(folder string, seed uint64) (*FS, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if names, err := dir.Readdirnames(1); !errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("fault disk: %s is not empty: %v", folder, names), dir.Close())
	}
	return newFS(&world{seed: seed, folder: folder, dir: dir}), nil
}

func newFS(w *world) *FS {
	fs := &FS{w: w, locks: map[string]bool{}}
	fs.root = fs.newDir()
	return fs
}

func (fs *FS) newDir() *inode {
	return &inode{number: fs.w.inodes.Add(1), dir: true, modTime: time.Now(),
		children: map[string]*inode{}, synced: map[string]*inode{}}
}

func (fs *FS) newFile(base string) (*inode, error) {
	n := &inode{number: fs.w.inodes.Add(1), modTime: time.Now(), spare: &fs.w.spare}
	if fs.w.folder == "" || fs.frozen.Load() {
		n.store = &memStore{}
		return n, nil
	}
	s, err := newFileStore(fs.w.folder, n.number, filepath.Base(base))
	n.store = s
	return n, err
}

// Syncs is the number of syncs of files and directories that took effect or
// failed by injection, over all generations.
func (fs *FS) Syncs() uint64 { return fs.w.syncs.Load() }

// StallSyncs makes every later sync take d longer, 0 ends it. What an earlier
// stall holds up goes on at once.
func (fs *FS) StallSyncs(d time.Duration) {
	if old := fs.w.stall.Swap(&stall{d, make(chan struct{})}); old != nil {
		close(old.over)
	}
}

// wait is the stall of one sync.
func (s *stall) wait() {
	t := time.NewTimer(s.d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.over:
	}
}

// FailSyncs makes every later sync fail with err and sync nothing; nil ends it.
func (fs *FS) FailSyncs(err error) { fs.setFailures(func(f *failures) { f.sync = err }) }

// FailWrites makes every later write fail with err and write nothing; nil ends it.
func (fs *FS) FailWrites(err error) { fs.setFailures(func(f *failures) { f.write = err }) }

func (fs *FS) setFailures(set func(*failures)) {
	fs.w.failMu.Lock()
	defer fs.w.failMu.Unlock()
	var f failures
	if old := fs.w.fails.Load(); old != nil {
		f = *old
	}
	set(&f)
	fs.w.fails.Store(&f)
}

func (fs *FS) failures() failures {
	if f := fs.w.fails.Load(); f != nil {
		return *f
	}
	return failures{}
}

// Generation counts the crashes before this one's life.
func (fs *FS) Generation() uint64 { return fs.generation }

// Frozen says that a crash ended this generation.
func (fs *FS) Frozen() bool { return fs.frozen.Load() }

// SyncAll makes everything durable, as a careful setup before a run would have
// done. It counts as no sync and does not call fsync.
func (fs *FS) SyncAll() error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.syncTree(fs.root)
}

func (fs *FS) syncTree(n *inode) error {
	if !n.dir {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.writeBack()
	}
	fs.commitDir(n)
	for _, child := range n.children {
		if err := fs.syncTree(child); err != nil {
			return err
		}
	}
	return nil
}

// Crash cuts the power. Of what was not synced, each sector and each change of
// a directory survives with the given probability in percent. This generation
// freezes; the next one is returned. A second crash of the same generation is
// a mistake and panics.
func (fs *FS) Crash(keepPercent int) *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.frozen.Swap(true) {
		panic("fault disk: crash of a generation that has crashed before")
	}
	next := &FS{w: fs.w, generation: fs.generation + 1, locks: map[string]bool{}}
	c := crash{
		rng:  rand.New(rand.NewPCG(fs.w.seed, fs.generation)),
		keep: keepPercent,
		done: map[*inode]*inode{},
	}
	next.root = c.survivor(fs.root)
	if s := fs.w.stall.Load(); s != nil {
		fs.StallSyncs(s.d) // what it holds up is lost, and need not wait for that
	}
	return next
}

// crash builds the tree of the next generation.
type crash struct {
	rng  *rand.Rand
	keep int
	done map[*inode]*inode // hard links stay links
}

func (c *crash) survivor(n *inode) *inode {
	if s := c.done[n]; s != nil {
		return s
	}
	if !n.dir { // a directory is guarded by fs.mu
		n.mu.Lock()
		defer n.mu.Unlock()
	}
	s := &inode{number: n.number, dir: n.dir, modTime: n.modTime, spare: n.spare}
	c.done[n] = s
	if !n.dir {
		if err := n.survive(c.rng, c.keep); err != nil {
			panic(fmt.Sprintf("fault disk: crash: %v", err)) // the real disk failed under the harness
		}
		s.store, s.length = n.store, n.store.size()
		return s
	}
	found := maps.Clone(n.synced)
	for _, ch := range n.pending {
		if c.keep > 0 && c.rng.IntN(100) < c.keep {
			ch.apply(found)
		}
	}
	s.children = map[string]*inode{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		child := c.survivor(found[name])
		s.children[name] = child
		child.names += 2
	}
	s.synced = maps.Clone(s.children)
	return s
}

// sync makes a file or directory durable. It sleeps and fails as injected.
func (fs *FS) sync(n *inode) error {
	if fs.ended() {
		return nil
	}
	if s := fs.w.stall.Load(); s != nil && s.d > 0 {
		s.wait()
		if fs.ended() {
			return nil
		}
	}
	if d := time.Duration(fs.w.slow.Load()); d > 0 {
		(&stall{d: d}).wait()
		if fs.ended() {
			return nil
		}
	}
	fs.w.syncs.Add(1)
	if err := fs.failures().sync; err != nil {
		return err
	}
	if n.dir {
		fs.mu.Lock()
		if !fs.frozen.Load() {
			fs.commitDir(n)
		}
		fs.mu.Unlock()
		if fs.w.dir != nil {
			return fs.w.dir.Sync()
		}
		return nil
	}
	n.mu.Lock()
	var err error
	// Looked at again under the lock: Crash freezes first and then takes it.
	frozen := fs.frozen.Load()
	if !frozen {
		err = n.writeBack()
	}
	n.mu.Unlock()
	if frozen {
		fs.ended()
		return nil
	}
	if err != nil {
		return err
	}
	return n.store.sync()
}

// ended reports whether a crash ended this generation, once it has collected
// what survives: who is told earlier that his bytes are durable may write others
// that say so, and those may survive without the first.
func (fs *FS) ended() bool {
	if !fs.frozen.Load() {
		return false
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return true
}

// commitDir makes a directory's present entries its durable ones. The caller
// holds fs.mu.
func (fs *FS) commitDir(n *inode) {
	if len(n.pending) == 0 {
		return
	}
	old, pending := n.synced, n.pending
	n.synced, n.pending = maps.Clone(n.children), nil
	for _, child := range n.synced {
		child.names++
	}
	for _, child := range old {
		fs.unname(child)
	}
	for _, c := range pending {
		if c.node != nil {
			fs.unname(c.node)
		}
	}
}

// unname drops one reference by name; the last one frees the durable bytes.
func (fs *FS) unname(n *inode) {
	if n.names--; n.names == 0 && !n.dir && !fs.frozen.Load() {
		// A file that stays behind costs space only; the run goes on.
		_ = n.store.remove()
	}
}

// change records and applies one change of a directory. The caller holds fs.mu.
func (fs *FS) change(dir *inode, c change) {
	if c.unset != "" {
		if gone := dir.children[c.unset]; gone != nil {
			defer fs.unname(gone)
		}
	}
	if c.set != "" {
		c.node.names += 2 // the entry and the pending change
		if gone := dir.children[c.set]; gone != nil && c.set != c.unset {
			defer fs.unname(gone)
		}
	}
	c.apply(dir.children)
	dir.pending = append(dir.pending, &c)
}
