package pathlock

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
)

// Lock is what to lock: an absolute, canonical path, for reading or for writing.
// A write lock covers all that is below the path too, because whoever works there
// needs a read lock on the path.
type Lock struct {
	Path  string
	Write bool
}

// Read and Write make Locks.
func Read(path string) Lock  { return Lock{Path: path} }
func Write(path string) Lock { return Lock{Path: path, Write: true} }

// Table holds the locks of one namespace. The zero Table is ready; it must not be
// copied. Its methods may be called from any goroutine.
type Table struct {
	mu    sync.Mutex // never held while anything blocks
	root  node       // of "/", which everybody locks
	nodes map[string]*node
	free  []*node // of paths that nobody uses any more, for the next ones
	spare []*Held
}

// Freed nodes and Helds beyond these numbers are left to the garbage collector.
const (
	keepNodes = 1024
	keepHelds = 256
)

// node is the lock of one path that somebody holds or waits for.
type node struct {
	path    string
	users   int // who holds or wants it; it is dropped at 0
	readers int
	writer  bool
	queue   []*waiter // in the order of arrival
}

type waiter struct {
	write   bool
	granted bool
	ready   chan struct{} // closed when granted
}

// Held are locks that are held together. The caller of Acquire owns it until
// Release.
type Held struct {
	table *Table
	steps []step // in the order of acquisition
	room  [inline]step
}

// inline is how many steps need no allocation: a path of depth 7.
const inline = 8

type step struct {
	node  *node
	depth int
	write bool
}

// Acquire takes the locks, all or none. It waits until it has them or ctx ends,
// whose error it then returns. The locks may overlap; the stronger one counts.
func (t *Table) Acquire(ctx context.Context, locks ...Lock) (*Held, error) {
	t.mu.Lock()
	h := t.plan(locks)
	for i := range h.steps {
		s := &h.steps[i]
		if s.node.take(s.write) {
			continue
		}
		w := &waiter{write: s.write, ready: make(chan struct{})}
		s.node.queue = append(s.node.queue, w)
		t.mu.Unlock()
		select {
		case <-w.ready:
			t.mu.Lock()
		case <-ctx.Done():
			t.mu.Lock()
			t.giveUp(h, i, w)
			t.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	t.mu.Unlock()
	return h, nil
}

// Release gives all of them back. It must be called once.
func (h *Held) Release() {
	t := h.table
	t.mu.Lock()
	defer t.mu.Unlock()
	// The last first: it is the one most wanted, and what waits for it holds the
	// others for reading already.
	for i := len(h.steps) - 1; i >= 0; i-- {
		s := h.steps[i]
		s.node.put(s.write)
		t.drop(s.node)
	}
	t.recycle(h)
}

// Len is the number of paths that somebody holds or waits for, but "/".
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.nodes)
}

// plan lists the steps in the order in which they are to be taken, and counts
// their nodes as used. Call with mu held.
func (t *Table) plan(locks []Lock) *Held {
	h := t.held()
	for _, l := range locks {
		t.planOne(h, l)
	}
	if len(locks) < 2 {
		return h
	}
	slices.SortStableFunc(h.steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), strings.Compare(a.node.path, b.node.path))
	})
	merged := h.steps[:0]
	for _, s := range h.steps {
		if n := len(merged); n > 0 && merged[n-1].node == s.node {
			merged[n-1].write = merged[n-1].write || s.write
			s.node.users--
			continue
		}
		merged = append(merged, s)
	}
	h.steps = merged
	return h
}

func (t *Table) planOne(h *Held, l Lock) {
	t.root.path = "/"
	h.steps = append(h.steps, step{node: &t.root, write: l.Write && l.Path == "/"})
	t.root.users++
	if l.Path == "/" {
		return
	}
	depth := 1
	for i := 1; i < len(l.Path); i++ {
		if l.Path[i] == '/' {
			h.steps = append(h.steps, step{node: t.use(l.Path[:i]), depth: depth})
			depth++
		}
	}
	h.steps = append(h.steps, step{node: t.use(l.Path), depth: depth, write: l.Write})
}

// use returns the path's node and counts one more user.
func (t *Table) use(path string) *node {
	n := t.nodes[path]
	if n == nil {
		if t.nodes == nil {
			t.nodes = make(map[string]*node)
		}
		if last := len(t.free) - 1; last >= 0 {
			n, t.free = t.free[last], t.free[:last]
		} else {
			n = new(node)
		}
		n.path = path
		t.nodes[path] = n
	}
	n.users++
	return n
}

// drop counts one user less.
func (t *Table) drop(n *node) {
	n.users--
	if n.users > 0 || n == &t.root {
		return
	}
	delete(t.nodes, n.path)
	n.path = ""
	if len(t.free) < keepNodes {
		t.free = append(t.free, n)
	}
}

func (t *Table) held() *Held {
	if last := len(t.spare) - 1; last >= 0 {
		h := t.spare[last]
		t.spare = t.spare[:last]
		return h
	}
	h := &Held{table: t}
	h.steps = h.room[:0]
	return h
}

func (t *Table) recycle(h *Held) {
	clear(h.steps)
	h.steps = h.steps[:0]
	if len(t.spare) < keepHelds {
		t.spare = append(t.spare, h)
	}
}

// giveUp takes back what was taken before step i, and step i's place in the queue
// or the lock that it was given meanwhile. Call with mu held.
func (t *Table) giveUp(h *Held, i int, w *waiter) {
	for k := len(h.steps) - 1; k >= 0; k-- {
		s := h.steps[k]
		switch {
		case k < i, k == i && w.granted:
			s.node.put(s.write)
		case k == i:
			s.node.queue = slices.DeleteFunc(s.node.queue, func(x *waiter) bool { return x == w })
			s.node.wake() // a writer that waited may have been all that held readers up
		}
		t.drop(s.node)
	}
	t.recycle(h)
}

// take takes the lock if it is free and nobody came earlier.
func (n *node) take(write bool) bool {
	if len(n.queue) > 0 || n.writer || write && n.readers > 0 {
		return false
	}
	n.hold(write)
	return true
}

func (n *node) hold(write bool) {
	if write {
		n.writer = true
	} else {
		n.readers++
	}
}

// put gives the lock back and hands it on.
func (n *node) put(write bool) {
	if write {
		n.writer = false
	} else {
		n.readers--
	}
	n.wake()
}

// wake gives the lock to as many as can have it, in the order of arrival.
func (n *node) wake() {
	given := 0
	for _, w := range n.queue {
		if n.writer || w.write && n.readers > 0 {
			break
		}
		n.hold(w.write)
		w.granted = true
		close(w.ready)
		given++
	}
	n.queue = slices.Delete(n.queue, 0, given)
}
