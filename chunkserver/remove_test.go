package chunkserver

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/api"
	"gfslab/internal/disk"
)

// clinging is a file system that does not remove chunks as long as it is told so.
type clinging struct {
	disk.FS
	clings atomic.Bool
	asked  atomic.Int32
}

func (f *clinging) Remove(name string) error {
	if strings.HasSuffix(name, chunkSuffix) {
		f.asked.Add(1)
		if f.clings.Load() {
			return errors.New("not today")
		}
	}
	return f.FS.Remove(name)
}

// A removal that the file system refused is tried again, though no master names the
// replica any more; meanwhile it is neither served nor reported.
func TestRefusedRemovalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		f := &clinging{FS: c.disks["a"]}
		f.clings.Store(true)
		c.over(f)
		c.grant(1, 10, 5, "a")
		offset := c.append(1, 1, payload(1, 100), "a").Offset
		c.end("a", 10)
		c.masterDoes(func(m *fakeMaster) { m.remove = []*api.ChunkReport{{Handle: handle, Version: 1}} })
		c.eventually("the file system refuses", func() bool { return f.asked.Load() == 1 })
		synctest.Wait()
		s := c.servers["a"]
		still := func() {
			t.Helper()
			if _, code := c.read("a", 1, offset); code != api.Code_NOT_FOUND || len(s.report()) != 0 || len(c.kinds("a", EventDelete)) != 0 {
				t.Fatalf("read: %v; reported: %v; deleted: %v", code, s.report(), c.kinds("a", EventDelete))
			}
			if reply := c.prepare("a", c.request(2, 0, 5, "a")); reply.Ok {
				t.Fatal("a grant of what is being removed")
			}
		}
		still()
		<-time.After(removeAgain + time.Second)
		still()
		if n := f.asked.Load(); n != 2 {
			t.Errorf("asked %d times in %v", n, removeAgain)
		}
		f.clings.Store(false)
		<-time.After(removeAgain + time.Second)
		if d := c.kinds("a", EventDelete); len(d) != 1 || d[0].Handle != handle || d[0].Version != 1 || d[0].Term != 5 || s.Counters().Removed != 1 {
			t.Errorf("deleted: %v", d)
		}
		if _, err := f.Stat(ChunkPath(f, "/cs", handle)); err == nil || s.chunk(handle) != nil || s.files.count() != 0 {
			t.Errorf("it is still there: %v, %d files open", err, s.files.count())
		}
		<-time.After(3 * removeAgain)
		if n := f.asked.Load(); n != 3 {
			t.Errorf("asked %d times for one file", n)
		}
		c.grant(2, 20, 5, "a")
		c.append(2, 2, payload(2, 50), "a")
	})
}
