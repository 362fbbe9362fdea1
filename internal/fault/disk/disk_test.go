package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"gfslab/internal/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both runs a test over memory and over real files.
func both(t *testing.T, test func(t *testing.T, fs *FS)) {
	t.Run("memory", func(t *testing.T) { test(t, NewMem(1)) })
	t.Run("files", func(t *testing.T) {
		fs, err := NewReal(t.TempDir()+"/x", 1)
		if err != nil {
			t.Fatal(err)
		}
		test(t, fs)
	})
}

func put(t *testing.T, fs disk.FS, name, data string, sync bool) {
	t.Helper()
	f, err := fs.Create(name, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, data); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// get returns a file's bytes, "-" when there is none.
func get(t *testing.T, fs disk.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := fs.Stat(name); err != nil || st.Size() != int64(len(data)) {
		t.Fatalf("size %d (%v), read %d bytes", st.Size(), err, len(data))
	}
	return string(data)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrash: what was not synced is lost at 0 % and there at 100 %.
func TestCrash(t *testing.T) {
	both(t, func(t *testing.T, fs *FS) {
		check(t, disk.MkdirAll(fs, "/n/d"))
		put(t, fs, "/n/d/synced", "old", true)
		put(t, fs, "/n/d/gone", "gone", true)
		put(t, fs, "/n/d/from", "renamed", true)
		put(t, fs, "/n/d/over", "overwritten", true)
		check(t, disk.SyncDir(fs, "/n/d"))
		put(t, fs, "/n/d/noentry", "x", true)
		check(t, fs.Remove("/n/d/gone"))
		check(t, fs.Rename("/n/d/from", "/n/d/to"))
		check(t, fs.Rename("/n/d/synced", "/n/d/over"))
		f, err := fs.OpenReadWrite("/n/d/over", "")
		check(t, err)
		_, err = f.WriteAt([]byte("NEW!"), 2)
		check(t, err)
		check(t, fs.MkdirAll("/n/unsynced", 0o755))

		now := map[string]string{"over": "olNEW!", "synced": "-", "to": "renamed", "from": "-", "gone": "-", "noentry": "x"}
		for name, want := range now {
			if got := get(t, fs, "/n/d/"+name); got != want {
				t.Errorf("before: %s = %q, want %q", name, got, want)
			}
		}
		lost := fs.Crash(0)
		was := map[string]string{"over": "overwritten", "synced": "old", "to": "-", "from": "renamed", "gone": "gone", "noentry": "-"}
		for name, want := range was {
			if got := get(t, lost, "/n/d/"+name); got != want {
				t.Errorf("0 %%: %s = %q, want %q", name, got, want)
			}
		}
		if _, err := lost.Stat("/n/unsynced"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("unsynced directory: %v", err)
		}
		// The old generation goes on into the void.
		_, err = f.WriteAt([]byte("void"), 0)
		check(t, err)
		syncs := fs.Syncs()
		check(t, f.Sync())
		check(t, disk.SyncDir(fs, "/n/d"))
		put(t, fs, "/n/d/void", "x", true)
		if got := get(t, fs, "/n/d/over"); got != "voidW!" {
			t.Errorf("old generation sees %q", got)
		}
		if fs.Syncs() != syncs {
			t.Error("a sync into the void was counted")
		}
		if got := get(t, lost, "/n/d/synced"); got != "old" {
			t.Errorf("the void leaked: %q", got)
		}
		if names, err := lost.List("/n/d"); err != nil || fmt.Sprint(names) != "[from gone over synced]" {
			t.Errorf("%v %v", names, err)
		}

		put(t, lost, "/n/d/noentry", "y", false)
		check(t, lost.Remove("/n/d/gone"))
		kept := lost.Crash(100)
		if a, b := get(t, kept, "/n/d/noentry"), get(t, kept, "/n/d/gone"); a != "y" || b != "-" {
			t.Errorf("100 %%: %q %q", a, b)
		}
		// What survived is durable now.
		if got := get(t, kept.Crash(0), "/n/d/noentry"); got != "y" {
			t.Errorf("survivor lost: %q", got)
		}
	})
}

// TestShare: about the asked share of the unsynced sectors survives, the same
// ones for the same seed.
func TestShare(t *testing.T) {
	run := func(seed uint64, keep int) (string, int) {
		fs := NewMem(seed)
		put(t, fs, "f", "", true)
		check(t, disk.SyncDir(fs, "/"))
		f, err := fs.OpenReadWrite("f", "")
		check(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{1}, 400*sectorBytes), 0)
		check(t, err)
		data := get(t, fs.Crash(keep), "f")
		return data, bytes.Count([]byte(data), []byte{1}) / sectorBytes
	}
	for _, keep := range []int{0, 20, 50, 100} {
		a, n := run(7, keep)
		b, _ := run(7, keep)
		if a != b {
			t.Errorf("%d %%: the seed does not repeat", keep)
		}
		if n < 4*keep-60 || n > 4*keep+60 || (keep%100 == 0 && n != 4*keep) {
			t.Errorf("%d %%: %d of 400 sectors survived", keep, n)
		}
	}
}

// TestBytes compares random reads and writes with a plain slice, over syncs
// and crashes.
func TestBytes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	both(t, func(t *testing.T, fs *FS) {
		rng := rand.New(rand.NewPCG(seed, 1))
		put(t, fs, "f", "", true)
		check(t, disk.SyncDir(fs, "/"))
		f, err := fs.OpenReadWrite("f", "")
		check(t, err)
		var now, synced []byte
		for i := range 2000 {
			switch rng.IntN(12) {
			case 0:
				check(t, f.Sync())
				synced = slices.Clone(now)
			case 1:
				if rng.IntN(10) == 0 {
					fs = fs.Crash(0)
					now = slices.Clone(synced)
					f, err = fs.OpenReadWrite("f", "")
					check(t, err)
				}
			case 2, 3, 4:
				off, n := rng.IntN(30000), rng.IntN(9000)
				got := make([]byte, n)
				m, err := f.ReadAt(got, int64(off))
				want := now[min(off, len(now)):min(off+n, len(now))]
				if !bytes.Equal(got[:m], want) || (err == io.EOF) != (m < n) {
					t.Fatalf("step %d: read %d at %d: %d bytes, %v, want %d", i, n, off, m, err, len(want))
				}
			default:
				p := make([]byte, rng.IntN(200))
				if rng.IntN(8) == 0 {
					p = make([]byte, rng.IntN(9000))
				}
				for k := range p {
					p[k] = byte(rng.Uint32())
				}
				off := rng.IntN(20000)
				_, err := f.WriteAt(p, int64(off))
				check(t, err)
				if grow := off + len(p) - len(now); grow > 0 && len(p) > 0 {
					now = append(now, make([]byte, grow)...)
				}
				copy(now[min(off, len(now)):], p)
			}
		}
	})
}

// TestLikeVFS runs the same calls on pebble's memory file system and compares.
func TestLikeVFS(t *testing.T) {
	both(t, func(t *testing.T, fs *FS) {
		run := func(fs vfs.FS) (out []string) {
			say := func(what string, err error) {
				out = append(out, fmt.Sprint(what, " ", err == nil, " ", errors.Is(err, os.ErrNotExist)))
			}
			say("mkdir", fs.MkdirAll("a/b", 0o755))
			_, err := fs.Create("a/x/f", "")
			say("create without directory", err)
			for _, name := range []string{"a/b/f", "a/b/g"} {
				f, err := fs.Create(name, "")
				say("create", err)
				_, err = f.Write([]byte("hello"))
				say("write", err)
				say("sync", f.SyncData())
				say("close", f.Close())
			}
			say("link", fs.Link("a/b/f", "a/b/h"))
			say("link again", fs.Link("a/b/f", "a/b/h"))
			say("rename", fs.Rename("a/b/g", "a/g"))
			say("rename missing", fs.Rename("a/b/g", "a/g2"))
			f, err := fs.ReuseForWrite("a/g", "a/b/r", "")
			say("reuse", err)
			_, err = f.Write([]byte("HE"))
			say("write", err)
			say("remove directory", fs.Remove("a/b"))
			say("remove", fs.Remove("a/b/f"))
			say("remove missing", fs.Remove("a/b/f"))
			_, err = fs.Open("a/b/f")
			say("open missing", err)
			_, err = fs.Stat("a/b/f")
			say("stat missing", err)
			names, err := fs.List("a/b")
			slices.Sort(names)
			say(fmt.Sprint("list ", names), err)
			for _, name := range []string{"a/b/h", "a/b/r"} {
				f, err := fs.Open(name)
				say("open", err)
				data, err := io.ReadAll(f)
				say(string(data), err)
				_, err = f.Write([]byte("x"))
				say("write to a read-only handle", err)
			}
			l, err := fs.Lock("a/LOCK")
			say("lock", err)
			_, err = fs.Lock("a/LOCK")
			say("lock again", err)
			say("unlock", l.Close())
			_, err = fs.Lock("a/LOCK")
			say("lock after unlock", err)
			say("remove all", fs.RemoveAll("a/b"))
			say("remove all missing", fs.RemoveAll("q/b"))
			_, err = fs.List("a/b")
			say("list missing", err)
			say(fs.PathJoin("a", "b")+fs.PathDir("a/b")+fs.PathBase("a/b"), nil)
			return out
		}
		got, want := run(fs), run(vfs.NewMem())
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%q, pebble's %q", got[i], want[i])
			}
		}
	})
}

// TestACrashWhileOthersSync: whoever is told that his bytes are durable writes
// the next ones; none of those may survive without what went before, at whatever
// moment the power goes.
func TestACrashWhileOthersSync(t *testing.T) {
	for seed := range uint64(40) {
		fs := NewMem(seed)
		put(t, fs, "a", strings.Repeat("x", 1<<22), false) // what the crash looks at first
		f, err := fs.Create("z", "")
		check(t, err)
		check(t, f.Sync())
		check(t, disk.SyncDir(fs, "/"))
		started, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if i == 10 {
					close(started)
				}
				if _, err := f.WriteAt([]byte{1}, int64(i*sectorBytes)); err != nil {
					t.Error(err)
				}
				if err := f.Sync(); err != nil {
					t.Error(err)
				}
			}
		}()
		<-started
		next := fs.Crash(50)
		close(stop)
		<-done
		data := get(t, next, "z")
		last := strings.LastIndexByte(data, 1) / sectorBytes
		for i := range last {
			if data[i*sectorBytes] != 1 {
				t.Fatalf("seed %d: sector %d was written after a sync of sector %d, and survived alone (the last is %d)", seed, i+1, i, last)
			}
		}
	}
}

func TestKnobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := NewMem(1)
		put(t, fs, "f", "a", true)
		check(t, disk.SyncDir(fs, "/"))
		f, err := fs.OpenReadWrite("f", "")
		check(t, err)
		broken := errors.New("broken")
		fs.StallSyncs(3 * time.Second)
		start := time.Now()
		check(t, f.Sync())
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("stalled for %v", d)
		}
		fs.StallSyncs(time.Hour)
		done := make(chan error)
		go func() { done <- f.Sync() }()
		time.Sleep(time.Second)
		fs.StallSyncs(0)
		check(t, <-done)
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("the end of a stall came to who waited in it after %v", d)
		}
		fs.FailWrites(broken)
		if _, err := f.WriteAt([]byte("b"), 0); !errors.Is(err, broken) {
			t.Errorf("write: %v", err)
		}
		fs.FailWrites(nil)
		_, err = f.WriteAt([]byte("c"), 0)
		check(t, err)
		fs.FailSyncs(broken)
		if err := f.Sync(); !errors.Is(err, broken) {
			t.Errorf("sync: %v", err)
		}
		if n := fs.Syncs(); n != 5 {
			t.Errorf("%d syncs", n)
		}
		next := fs.Crash(0)
		next.FailSyncs(nil)
		if got := get(t, next, "f"); got != "a" {
			t.Errorf("a failed sync kept %q", got)
		}
		put(t, next, "g", "x", false)
		check(t, next.SyncAll())
		if got := get(t, next.Crash(0), "g"); got != "x" || next.Syncs() != 5 {
			t.Errorf("after SyncAll %q, %d syncs", got, next.Syncs())
		}
	})
}

// TestCrashDuringStall: a sync under way when the power goes makes nothing
// durable afterwards.
func TestCrashDuringStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := NewMem(1)
		put(t, fs, "f", "a", true)
		check(t, disk.SyncDir(fs, "/"))
		f, err := fs.OpenReadWrite("f", "")
		check(t, err)
		_, err = f.WriteAt([]byte("b"), 0)
		check(t, err)
		fs.StallSyncs(time.Minute)
		done := make(chan error)
		go func() { done <- f.Sync() }()
		synctest.Wait()
		next := fs.Crash(0)
		check(t, <-done)
		if got := get(t, next, "f"); got != "a" {
			t.Errorf("%q", got)
		}
	})
}

// TestRemovedFilesGo: the bytes of a file leave the folder once no name, synced
// or not, leads to it.
func TestRemovedFilesGo(t *testing.T) {
	dir := t.TempDir() + "/x"
	fs, err := NewReal(dir, 1)
	check(t, err)
	count := func() int {
		names, err := os.ReadDir(dir)
		check(t, err)
		return len(names)
	}
	put(t, fs, "f", "a", true)
	put(t, fs, "g", "a", true)
	check(t, disk.SyncDir(fs, "/"))
	check(t, fs.Remove("f"))
	put(t, fs, "g", "b", true) // replaces
	if n := count(); n != 3 {
		t.Errorf("%d files before the directory is synced", n)
	}
	check(t, disk.SyncDir(fs, "/"))
	if n := count(); n != 1 {
		t.Errorf("%d files after it", n)
	}
	next := fs.Crash(0)
	check(t, next.Remove("g"))
	check(t, disk.SyncDir(next, "/"))
	if n := count(); n != 0 {
		t.Errorf("%d files at the end", n)
	}
	put(t, fs, "void", "x", true)
	if n := count(); n != 0 {
		t.Errorf("the void left %d files", n)
	}
	put(t, next, "h", "x", true)
	if _, err := NewReal(dir, 1); err == nil {
		t.Error("a folder that is not empty was taken")
	}
}
