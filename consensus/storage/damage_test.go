package storage_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gfslab/consensus/storage"
	"gfslab/internal/disk"
	faultdisk "gfslab/internal/fault/disk"
)

// files is the content of a log's directory.
type files map[string][]byte

func readFiles(t testing.TB, fs disk.FS, dir string) files {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := files{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (fl files) write(t testing.TB) disk.FS {
	t.Helper()
	fs := faultdisk.NewMem(1) // faster than pebble's when written at offsets
	if err := fs.MkdirAll("d", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range fl {
		f, err := fs.Create("d/"+name, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(slices.Clone(data)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// written builds a fully synced log and returns its files, each cut to the
// bytes in use and a few zeros.
func written(t testing.TB, segmentBytes int64, batches, size int) (files, *twin) {
	t.Helper()
	fs := vfs.NewMem()
	l := mustOpen(t, storage.Options{FS: fs, Dir: "d", SegmentBytes: segmentBytes})
	w := newTwin()
	for i := range uint64(batches) {
		b := &storage.Batch{Entries: []storage.Entry{entry(i+1, 1, size)}}
		if i%5 == 0 {
			b.HardState = []byte{byte(i)}
		}
		mustCommit(t, l, b)
		w = w.with(b)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	all := readFiles(t, fs, "d")
	delete(all, "LOCK")
	for name, data := range all {
		end := len(data)
		for end > 0 && data[end-1] == 0 {
			end--
		}
		all[name] = data[:min(end+300, len(data))]
	}
	return all, w
}

// TestFlipEachByte flips every byte of a fully synced log. Each flip must give
// an error, or lose at most the last batch, which no later record confirmed.
func TestFlipEachByte(t *testing.T) {
	for _, c := range []struct {
		name          string
		segment       int64
		batches, size int
	}{
		{"one segment, 20 KiB", 1 << 20, 60, 290},
		{"many segments", 2 << 10, 20, 290},
		{"records across blocks", 1 << 20, 3, 40000},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, w := written(t, c.segment, c.batches, c.size)
			// Where records are large, every byte tells the same as its neighbour.
			step := 1
			if c.size > 1000 {
				step = 101
			}
			var flips, refused, lost, harmless int
			for name, data := range all {
				for i := 0; i < len(data); i += step {
					flip := byte(1 + rand.IntN(255))
					data[i] ^= flip
					n := openDamaged(t, all, w, name, i)
					data[i] ^= flip
					flips++
					switch n {
					case -1:
						refused++
					case 0:
						harmless++
					case 1:
						lost++
					default:
						t.Fatalf("%s: flip %#x at %d lost %d batches", name, flip, i, n)
					}
				}
			}
			t.Logf("%d flips: %d refused, %d lost the last batch, %d harmless", flips, refused, lost, harmless)
			if refused == 0 || lost == 0 || lost > 2*c.size {
				t.Fatal("the flips did not reach both kinds of record")
			}
		})
	}
}

// openDamaged opens a damaged log: -1 = refused, else the number of batches
// lost; what is left must be right.
func openDamaged(t *testing.T, all files, w *twin, name string, at int) int {
	l, err := storage.Open(storage.Options{FS: all.write(t), Dir: "d"})
	if errors.Is(err, storage.ErrCorrupt) || errors.Is(err, storage.ErrFormat) {
		if !strings.Contains(err.Error(), ".log") {
			t.Fatalf("%s at %d: error names no file: %v", name, at, err)
		}
		return -1
	}
	if err != nil {
		t.Fatalf("%s at %d: %v", name, at, err)
	}
	defer l.Close()
	_, last := l.Bounds()
	es, err := l.Entries(0, last+1, 0, nil)
	if err != nil {
		t.Fatalf("%s at %d: %v", name, at, err)
	}
	for _, e := range es {
		if string(e.Data) != string(w.entries[e.Index].Data) {
			t.Fatalf("%s at %d: entry %d is wrong", name, at, e.Index)
		}
	}
	return len(w.entries) - len(es)
}

// TestCutShort cuts the newest segment at every length, as a crash may.
func TestCutShort(t *testing.T) {
	all, w := written(t, 1<<20, 12, 100)
	const name = "0000000001.log"
	whole := all[name]
	for n := range whole {
		all[name] = whole[:n]
		if got := openDamaged(t, all, w, name, n); got < 0 {
			t.Fatalf("cut at %d is refused", n)
		}
	}
}

func TestMissingSegment(t *testing.T) {
	all, _ := written(t, 2<<10, 20, 290)
	if len(all) < 3 {
		t.Fatalf("%d segments", len(all))
	}
	for name, data := range all {
		delete(all, name)
		_, err := storage.Open(storage.Options{FS: all.write(t), Dir: "d"})
		all[name] = data
		if name == lastName(all) {
			continue // nothing speaks for the newest one; see the package's limits
		}
		if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Fatalf("without %s: %v", name, err)
		}
	}
}

func lastName(all files) (last string) {
	for name := range all {
		last = max(last, name)
	}
	return last
}

// TestSnapshotDamage flips and cuts every byte of a snapshot.
func TestSnapshotDamage(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, storage.Options{FS: fs, Dir: "d"})
	defer l.Close()
	if _, _, err := l.OpenSnapshot(); !errors.Is(err, storage.ErrNoSnapshot) {
		t.Fatalf("no snapshot: %v", err)
	}
	save := func(index uint64, fail error) error {
		return l.SaveSnapshot(storage.SnapshotMeta{Index: index, Stamp: 3, Data: []byte("members")}, func(w io.Writer) error {
			if _, err := io.WriteString(w, strings.Repeat("state", 20)); err != nil {
				return err
			}
			return fail
		})
	}
	if err := save(7, nil); err != nil {
		t.Fatal(err)
	}
	if err := save(5, nil); err == nil {
		t.Fatal("an older snapshot replaced a newer one")
	}
	if err := save(9, io.ErrShortWrite); !errors.Is(err, io.ErrShortWrite) {
		t.Fatalf("failed snapshot: %v", err)
	}
	meta, r, err := l.OpenSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil || meta.Index != 7 || meta.Stamp != 3 || string(meta.Data) != "members" || string(body) != strings.Repeat("state", 20) {
		t.Fatalf("%+v %q %v", meta, body, err)
	}
	const name = "d/0000000000000007-0000000000000003.snap"
	f, err := fs.OpenReadWrite(name, "")
	if err != nil {
		t.Fatal(err)
	}
	st, _ := f.Stat()
	for i := range st.Size() {
		var b [1]byte
		if _, err := f.ReadAt(b[:], i); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[0] ^ 4}, i); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.OpenSnapshot(); !errors.Is(err, storage.ErrCorrupt) {
			t.Fatalf("flip at %d: %v", i, err)
		}
		if _, err := f.WriteAt(b[:], i); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
