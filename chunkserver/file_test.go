package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// openCounter counts the chunks' files that are open, and refuses to open more as
// long as refuse is set.
type openCounter struct {
	disk.FS
	mu                 sync.Mutex
	open, most, opened int
	refuse             error
}

type countedFile struct {
	disk.File
	c *openCounter
}

func (f countedFile) Close() error {
	f.c.mu.Lock()
	f.c.open--
	f.c.mu.Unlock()
	return f.File.Close()
}

func (c *openCounter) count(name string, open func() (disk.File, error)) (disk.File, error) {
	if !strings.HasSuffix(name, chunkSuffix) {
		return open()
	}
	c.mu.Lock()
	if err := c.refuse; err != nil {
		c.mu.Unlock()
		return nil, err
	}
	c.open++
	c.opened++
	c.most = max(c.most, c.open)
	c.mu.Unlock()
	f, err := open()
	return countedFile{f, c}, err
}

func (c *openCounter) OpenReadWrite(name string, cat disk.WriteCategory, o ...vfs.OpenOption) (disk.File, error) {
	return c.count(name, func() (disk.File, error) { return c.FS.OpenReadWrite(name, cat, o...) })
}

func (c *openCounter) Create(name string, cat disk.WriteCategory) (disk.File, error) {
	return c.count(name, func() (disk.File, error) { return c.FS.Create(name, cat) })
}

func (c *openCounter) refusing(err error) {
	c.mu.Lock()
	c.refuse = err
	c.mu.Unlock()
}

// counting puts a counter over the disk of a, for its next start.
func (c *cell) counting() *openCounter {
	o := &openCounter{FS: c.disks["a"]}
	c.over(o)
	return o
}

// over starts a again, over a file system that wraps its disk.
func (c *cell) over(fs disk.FS) {
	c.t.Helper()
	c.wrapped = map[string]disk.FS{"a": fs}
	c.must(c.servers["a"].Close())
	c.fabric.OpenNode("a")
	c.start("a")
}

// grantOne makes a alone the primary of a chunk.
func (c *cell) grantOne(h, version, epoch uint64) error {
	r := c.request(version, epoch, 5, "a")
	r.Handle = h
	for _, step := range []func(context.Context, *api.GrantRequest) (*api.GrantReply, error){c.servers["a"].PrepareGrant, c.servers["a"].ActivateGrant} {
		if reply, err := step(c.ctx(), r); err != nil || !reply.Ok {
			return fmt.Errorf("grant of %d: %v, %w", h, reply, err)
		}
	}
	return nil
}

// appendOne appends a record to a chunk and reads it back.
func (c *cell) appendOne(h, version, seq uint64) error {
	s, data := c.servers["a"], payload(seq, 80)
	if _, err := s.PushData(c.ctx(), &api.PushRequest{Id: id(seq), Data: data, Crc32C: api.Checksum(data)}); err != nil {
		return err
	}
	reply, err := s.RecordAppend(c.ctx(), &api.AppendRequest{Id: id(seq), Handle: h, Version: version})
	if err != nil || reply.Code != api.Code_OK {
		return fmt.Errorf("append to %d: %v, %w", h, reply, err)
	}
	read, err := s.ReadChunk(c.ctx(), &api.ReadChunkRequest{Handle: h, Version: version, Offset: reply.Offset})
	if err != nil || read.Code != api.Code_OK {
		return fmt.Errorf("read of %d: %v, %w", h, read, err)
	}
	if f, _, err := api.ParseFrame(read.Data); err != nil || f.Seq != seq {
		return fmt.Errorf("record %d of %d is %d, %w", seq, h, f.Seq, err)
	}
	return nil
}

// Many chunks are written, read, and fetched anew at once, over two open files.
func TestFewFilesServeManyChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.files = 2
		o := c.counting()
		const chunks, rounds = 24, 5
		var wg sync.WaitGroup
		for h := range uint64(chunks) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(testSeed, h))
				if err := c.grantOne(1+h, 1, 10+h); err != nil {
					t.Error(err)
					return
				}
				for i := range uint64(rounds) {
					<-time.After(time.Duration(rng.IntN(3)) * ms)
					if err := c.appendOne(1+h, 1, 1000*h+i+1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if o.most != 2 || o.opened < chunks {
			t.Errorf("%d files were open at once, opened %d times", o.most, o.opened)
		}
		// All of them are there at the next start, which opens no more of them either.
		o = c.counting()
		if n := len(c.servers["a"].report()); n != chunks || o.most != 2 || o.opened != chunks || c.servers["a"].Levels().OpenFiles != 2 {
			t.Errorf("%d chunks, %d files open at once, opened %d times, open now: %d", n, o.most, o.opened, c.servers["a"].Levels().OpenFiles)
		}
		for h := range uint64(chunks) {
			reply, err := c.servers["a"].ChecksumChunk(c.ctx(), &api.ChecksumRequest{Handle: 1 + h, Version: 1})
			if err != nil || reply.Code != api.Code_OK || reply.End == 0 {
				t.Fatalf("chunk %d: %v, %v", 1+h, reply, err)
			}
		}
		c.must(c.servers["a"].Close())
		if o.open != 0 {
			t.Errorf("%d files are left open", o.open)
		}
	})
}

// A file that cannot be opened again is reported; that no more files can be opened
// says nothing of it.
func TestReplicaThatCannotBeOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		c.files = 1
		o := c.counting()
		for h := range uint64(2) {
			c.must(c.grantOne(1+h, 1, 10+h))
			c.must(c.appendOne(1+h, 1, 1+h))
		}
		s := c.servers["a"] // which has the second one open
		read := &api.ReadChunkRequest{Handle: 1, Version: 1, Length: 10}
		o.refusing(syscall.EMFILE)
		if _, err := s.ReadChunk(c.ctx(), read); status.Code(err) != codes.Unavailable {
			t.Errorf("read without a file to spare: %v", err)
		}
		if err := c.appendOne(1, 1, 10); err == nil {
			t.Error("append without a file to spare")
		}
		o.refusing(nil)
		c.must(c.appendOne(2, 1, 11))
		if r, err := s.ReadChunk(c.ctx(), read); err != nil || len(r.Data) != 10 {
			t.Errorf("read with a file to spare: %v, %v", r, err)
		}
		c.must(c.appendOne(2, 1, 12))
		if r := s.report(); len(r) != 2 || r[0].Corrupt || r[1].Corrupt {
			t.Errorf("reported as %v", r)
		}
		// Somebody removed the file: it is not made anew, empty.
		path := ChunkPath(o, "/cs", 1)
		c.must(o.Remove(path))
		if _, err := s.ReadChunk(c.ctx(), read); status.Code(err) != codes.Unavailable {
			t.Errorf("read of a file that is not there: %v", err)
		}
		if _, err := o.Stat(path); err == nil {
			t.Error("it was made anew")
		}
		if r := s.report(); len(r) != 2 || !r[0].Corrupt || r[1].Corrupt {
			t.Errorf("reported as %v", r)
		}
		if err := c.grantOne(1, 2, 20); err == nil {
			t.Error("a grant of a replica without a file")
		}
	})
}

// A start without a file to spare fails: it would leave out replicas that are sound.
func TestStartWithoutAFileToSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(t, "a")
		o := c.counting()
		c.must(c.grantOne(1, 1, 10))
		c.must(c.appendOne(1, 1, 1))
		c.must(c.servers["a"].Close())
		o.refusing(syscall.ENFILE)
		c.fabric.OpenNode("a")
		node := c.fabric.Incarnation("a")
		l, err := node.Listen("a")
		c.must(err)
		s, err := Start(Options{Name: "a", FS: o, Dir: "/cs", ChunkBytes: c.size, Masters: []string{"master"}, Dial: node.Dial, Listener: l})
		if err == nil {
			t.Errorf("started with %d of 1 replicas", len(s.report()))
			c.must(s.Close())
		}
		o.refusing(nil)
		c.fabric.OpenNode("a")
		c.start("a")
		if r := c.servers["a"].report(); len(r) != 1 || r[0].Corrupt {
			t.Errorf("reported as %v", r)
		}
	})
}

// A name that has come to stand for another file is not opened for the old one.
func TestFileThatIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, ctx := faultdisk.NewMem(testSeed), t.Context()
		set := newFileSet(fs, 1, func(path string, err error) { t.Errorf("close %s: %v", path, err) })
		make := func(path, text string) *openFile {
			f, err := fs.Create(path, disk.WriteCategory("test"))
			if err == nil {
				_, err = f.WriteAt([]byte(text), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			return &openFile{path: path}
		}
		first := func(f *openFile) (string, error) {
			h, err := set.use(ctx, f)
			if err != nil {
				return "", err
			}
			defer set.done(f)
			b := []byte{0}
			_, err = h.ReadAt(b, 0)
			return string(b), err
		}
		a, b := make("/a", "a"), make("/b", "b")
		for _, f := range []*openFile{a, b, b, a, b} {
			if got, err := first(f); err != nil || "/"+got != f.path {
				t.Fatalf("%s: %q, %v", f.path, got, err)
			}
		}
		set.hold(a) // it is closed
		make("/c", "c")
		got := ""
		var err error
		var wg sync.WaitGroup
		wg.Go(func() { got, err = first(a) })
		synctest.Wait()
		if renamed := fs.Rename("/c", "/a"); renamed != nil || got != "" || err != nil {
			t.Fatalf("opened while it was held: %q, %v; %v", got, err, renamed)
		}
		set.drop(a)
		wg.Wait()
		if !errors.Is(err, errReplaced) {
			t.Errorf("the old file: %q, %v", got, err)
		}
		if got, err := first(&openFile{path: "/a"}); got != "c" || err != nil {
			t.Errorf("the new file: %q, %v", got, err)
		}
		// What is in use is not closed for another one, which waits.
		if _, err := set.use(ctx, b); err != nil {
			t.Fatal(err)
		}
		other := &openFile{path: "/a"}
		late, cancel := context.WithCancel(ctx)
		wg.Go(func() { _, err = set.use(late, other) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a second file beside the one in use: %v", err)
		}
		wg.Go(func() { got, err = first(other) })
		synctest.Wait()
		set.drop(b) // while it is in use
		set.done(b)
		wg.Wait()
		if got != "c" || err != nil || set.count() != 1 || b.handle != nil {
			t.Errorf("after the wait: %q, %v; %d open", got, err, set.count())
		}
	})
}
