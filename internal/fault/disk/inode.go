package disk

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// inode is a file or directory of one generation. A file's own mutex guards its
// bytes; a directory is guarded by its generation's mutex.
type inode struct {
	number uint64
	dir    bool

	mu      sync.Mutex
	store   store
	spare   *sparePages
	dirty   map[int64]*page // unsynced, by page number
	length  int64           // with unsynced bytes
	modTime time.Time

	children map[string]*inode // as seen now
	synced   map[string]*inode // as it would be found after a crash
	pending  []*change         // from synced to children, in order
	names    int               // entries that lead here, in either view
}

// change is one unsynced change of a directory.
type change struct {
	set   string // name that now leads to node; "" = none
	node  *inode
	unset string // name that is gone; "" = none
}

func (c *change) apply(m map[string]*inode) {
	if c.unset != "" {
		delete(m, c.unset)
	}
	if c.set != "" {
		m[c.set] = c.node
	}
}

// readAt reads what this generation sees; n < len(p) at the end of the file.
func (n *inode) readAt(p []byte, off int64) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if off >= n.length {
		return 0, nil
	}
	p = p[:min(int64(len(p)), n.length-off)]
	got := int64(0)
	if s := n.store.size(); off < s {
		got = min(int64(len(p)), s-off)
		if err := n.store.readAt(p[:got], off); err != nil {
			return 0, err
		}
	}
	clear(p[got:])
	if len(n.dirty) == 0 {
		return len(p), nil
	}
	end := off + int64(len(p))
	for at := off / pageBytes; at*pageBytes < end; at++ {
		pg := n.dirty[at]
		if pg == nil {
			continue
		}
		lo := max(at*pageBytes+int64(pg.lo), off)
		hi := min(at*pageBytes+int64(pg.hi), end)
		if lo < hi {
			copy(p[lo-off:hi-off], pg.buf[lo-at*pageBytes:])
		}
	}
	return len(p), nil
}

// writeAt puts bytes into the unsynced pages.
func (n *inode) writeAt(p []byte, off int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modTime = time.Now()
	for len(p) > 0 {
		at, in := off/pageBytes, int(off%pageBytes)
		count := min(len(p), pageBytes-in)
		pg := n.dirty[at]
		if pg == nil {
			pg = n.spare.get()
			pg.lo, pg.hi = in, in
			if n.dirty == nil {
				n.dirty = map[int64]*page{}
			}
			n.dirty[at] = pg
		}
		// The range must stay in one piece: bytes between the two are read in.
		if in > pg.hi || in+count < pg.lo {
			if err := n.load(pg, at, min(in, pg.lo), max(in+count, pg.hi)); err != nil {
				return err
			}
		}
		copy(pg.buf[in:], p[:count])
		pg.lo, pg.hi = min(pg.lo, in), max(pg.hi, in+count)
		off += int64(count)
		p = p[count:]
		n.length = max(n.length, off)
	}
	return nil
}

// load fills the bytes of [lo, hi) that the page does not hold yet from the
// durable ones; zeros beyond their end.
func (n *inode) load(pg *page, at int64, lo, hi int) error {
	var under [pageBytes]byte
	start := at * pageBytes
	if have := n.store.size() - start; have > 0 {
		if err := n.store.readAt(under[:min(have, pageBytes)], start); err != nil {
			return err
		}
	}
	copy(pg.buf[lo:pg.lo], under[lo:pg.lo])
	copy(pg.buf[pg.hi:hi], under[pg.hi:hi])
	pg.lo, pg.hi = lo, hi
	return nil
}

// writeBack hands the unsynced bytes to the store, those of neighbouring pages
// in one write. The caller holds n.mu.
func (n *inode) writeBack() error {
	if len(n.dirty) == 0 {
		return nil
	}
	if m, ok := n.store.(*memStore); ok {
		m.writePages(n.dirty, n.length)
		n.clean()
		return nil
	}
	var run []byte
	var start int64
	for _, at := range n.pages() {
		pg := n.dirty[at]
		from := at*pageBytes + int64(pg.lo)
		if len(run) > 0 && from != start+int64(len(run)) {
			if err := n.store.writeAt(run, start); err != nil {
				return err
			}
			run = run[:0]
		}
		if len(run) == 0 {
			start = from
		}
		run = append(run, pg.buf[pg.lo:pg.hi]...)
	}
	if err := n.store.writeAt(run, start); err != nil {
		return err
	}
	n.clean()
	return nil
}

// clean forgets the unsynced pages. The caller holds n.mu.
func (n *inode) clean() {
	n.spare.give(n.dirty)
	clear(n.dirty)
}

// pages are the numbers of the unsynced pages, ascending.
func (n *inode) pages() []int64 {
	at := make([]int64, 0, len(n.dirty))
	for p := range n.dirty {
		at = append(at, p)
	}
	slices.Sort(at)
	return at
}

// survive writes a share of the unsynced sectors to the store: what the drive
// happened to have written when the power went. The caller holds n.mu.
func (n *inode) survive(rng *rand.Rand, keepPercent int) error {
	if keepPercent <= 0 {
		return nil
	}
	for _, at := range n.pages() {
		pg := n.dirty[at]
		for lo := pg.lo; lo < pg.hi; {
			hi := min(lo-lo%sectorBytes+sectorBytes, pg.hi)
			if rng.IntN(100) < keepPercent {
				if err := n.store.writeAt(pg.buf[lo:hi], at*pageBytes+int64(lo)); err != nil {
					return err
				}
			}
			lo = hi
		}
	}
	return nil
}
