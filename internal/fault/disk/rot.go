package disk

import (
	"fmt"
	"time"
)

// Rot flips the bits of mask in one durable byte of a file, as a decaying medium
// does: nobody wrote, nothing is synced, and no error tells of it. Unsynced bytes
// over it stay whole until they are gone.
func (fs *FS) Rot(name string, offset int64, mask byte) error {
	fs.mu.Lock()
	n, err := fs.find("rot", name)
	fs.mu.Unlock()
	if err != nil {
		return err
	}
	if n.dir {
		return fmt.Errorf("fault disk: %s is a directory", name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if offset < 0 || offset >= n.store.size() {
		return fmt.Errorf("fault disk: %s has %d durable bytes, none at %d", name, n.store.size(), offset)
	}
	var b [1]byte
	if err := n.store.readAt(b[:], offset); err != nil {
		return err
	}
	b[0] ^= mask
	return n.store.writeAt(b[:], offset)
}

// SlowSyncs makes every sync take d longer than StallSyncs has it, 0 ends it.
func (fs *FS) SlowSyncs(d time.Duration) { fs.w.slow.Store(int64(d)) }
