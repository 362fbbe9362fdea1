package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"gfslab/master/meta"
	"gfslab/master/meta/metapb"
)

// MachineFigures are those of the state machine alone.
type MachineFigures struct {
	Population Population `json:"population"`
	Chunks     int        `json:"chunks"`
	// HeapPerFile and HeapPerChunk are bytes of live heap, SnapshotPerFile and
	// SnapshotPerChunk bytes of a snapshot: with the files alone, and what the
	// chunks add.
	HeapPerFile      float64 `json:"heap_bytes_per_file"`
	HeapPerChunk     float64 `json:"heap_bytes_per_chunk"`
	SnapshotPerFile  float64 `json:"snapshot_bytes_per_file"`
	SnapshotPerChunk float64 `json:"snapshot_bytes_per_chunk"`
	SnapshotBytes    int64   `json:"snapshot_bytes"`
	// PathBytes is the mean length of a file's path.
	PathBytes float64 `json:"path_bytes"`
	// Capture is how long Apply has to wait for a snapshot, Write how long writing
	// it to a file and syncing that takes beside the load, Restore how long a
	// restart takes to load it.
	Capture Spread `json:"capture_us"`
	Write   Spread `json:"write_ms"`
	Restore Spread `json:"restore_ms"`
	// Quiet and Beside are the times of Apply of one entry of entryCommands
	// creates, without and with a snapshot being written beside it.
	Quiet  []Quantiles `json:"apply_quiet"`
	Beside []Quantiles `json:"apply_beside"`
	Sizes  []SizePoint `json:"sizes"`
}

// SizePoint is what operations cost in a namespace of some size, in ns each.
type SizePoint struct {
	Files    int     `json:"files"`
	Create   float64 `json:"create_ns"`
	Lookup   float64 `json:"lookup_ns"`
	Rename   float64 `json:"rename_file_ns"`
	MoveTree float64 `json:"rename_directory_ns"`
}

// entryCommands is how many creates one timed entry has.
const entryCommands = 16

// Machine measures the state machine alone. Files go to dir.
func Machine(ctx context.Context, p Population, repeats int, dir string, progress func(string)) (MachineFigures, error) {
	f := MachineFigures{Population: p, Chunks: p.Files * p.ChunksPerFile}
	progress(fmt.Sprintf("building %d files with %s names and %d chunks", p.Files, p.Names, f.Chunks))
	base := liveHeap()
	b := &builder{p: p, state: meta.New()}
	b.files(p.Files)
	f.HeapPerFile = float64(liveHeap()-base) / float64(p.Files)
	files, err := b.state.Snapshot().WriteTo(io.Discard)
	if err != nil {
		return f, err
	}
	f.SnapshotPerFile = float64(files) / float64(p.Files)
	base = liveHeap()
	b.chunks(ctx)
	if err := errors.Join(ctx.Err(), b.err); err != nil {
		return f, err
	}
	if f.Chunks > 0 {
		f.HeapPerChunk = float64(liveHeap()-base) / float64(f.Chunks)
	}
	if f.SnapshotBytes, err = b.state.Snapshot().WriteTo(io.Discard); err != nil {
		return f, err
	}
	if f.Chunks > 0 {
		f.SnapshotPerChunk = float64(f.SnapshotBytes-files) / float64(f.Chunks)
	}
	for i := range p.Files {
		f.PathBytes += float64(len(p.path(i))) / float64(p.Files)
	}
	for i := range repeats {
		progress(fmt.Sprintf("snapshot %d of %d of %d files", i+1, repeats, p.Files))
		if err := b.beside(ctx, &f, filepath.Join(dir, "scale.snapshot")); err != nil {
			return f, err
		}
	}
	b = nil
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		if n > p.Files || ctx.Err() != nil {
			break
		}
		progress(fmt.Sprintf("operations among %d files", n))
		point, err := sizePoint(p, n)
		if err != nil {
			return f, err
		}
		f.Sizes = append(f.Sizes, point)
	}
	return f, ctx.Err()
}

// liveHeap is the number of bytes in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// builder applies commands to a state as a log would, entryCommands an entry.
type builder struct {
	p     Population
	state *meta.State
	index uint64
	batch [][]byte
	extra int // files made beyond the population
	err   error
}

func (b *builder) add(command *metapb.Command) {
	if b.batch = append(b.batch, encode(command)); len(b.batch) == entryCommands {
		b.flush()
	}
}

// flush applies what is collected and returns the index of its entry.
func (b *builder) flush() uint64 {
	if len(b.batch) > 0 {
		b.index++
		for _, reply := range b.state.Apply(b.index, b.batch) {
			b.check(reply)
		}
		b.batch = b.batch[:0]
	}
	return b.index
}

// check keeps the first refusal.
func (b *builder) check(reply []byte) {
	if code := codeOf(reply); code != meta.OK && b.err == nil {
		b.err = fmt.Errorf("scale: a command of entry %d was refused with code %d", b.index, code)
	}
}

func (b *builder) files(n int) {
	b.add(mkdir("/data"))
	for i := range b.p.dirs() {
		b.add(mkdir(b.p.dir(i)))
	}
	for i := range n {
		b.add(create(b.p.path(i)))
	}
	b.flush()
}

// chunks allocates every file's chunks and grants each once.
func (b *builder) chunks(ctx context.Context) {
	for slot := range b.p.ChunksPerFile {
		for i := range b.p.Files {
			b.add(allocate(b.p.path(i), slot))
		}
	}
	b.flush()
	last := uint64(b.p.Files * b.p.ChunksPerFile)
	for first := uint64(1); first <= last && ctx.Err() == nil; first += entryCommands {
		step := func(command func(handle uint64) *metapb.Command) uint64 {
			for h := first; h < min(first+entryCommands, last+1); h++ {
				b.add(command(h))
			}
			return b.flush()
		}
		intents := step(func(h uint64) *metapb.Command { return intent(h, b.p.servers(h)) })
		grants := step(func(h uint64) *metapb.Command { return active(h, intents, b.p.servers(h)) })
		step(func(h uint64) *metapb.Command { return leaseEnd(h, grants) })
	}
}

// creates returns the commands of an entry that makes files beyond the
// population, all over the directories.
func (b *builder) creates() [][]byte {
	var commands [][]byte
	for range entryCommands {
		dir := scramble(uint64(b.extra)) % uint64(b.p.dirs())
		commands = append(commands, encode(create(fmt.Sprintf("%s/extra-%08d", b.p.dir(int(dir)), b.extra))))
		b.extra++
	}
	return commands
}

// apply times one entry.
func (b *builder) apply(times *[]float64) {
	commands := b.creates()
	b.index++
	began := time.Now()
	b.state.Apply(b.index, commands)
	*times = append(*times, micro(time.Since(began)))
}

// beside takes a snapshot beside the load, restores it, and adds what it saw.
func (b *builder) beside(ctx context.Context, f *MachineFigures, name string) error {
	var quiet, beside []float64
	for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end); {
		b.apply(&quiet)
	}
	began := time.Now()
	captured := b.state.Snapshot()
	f.Capture.add(micro(time.Since(began)))
	written := make(chan error, 1)
	began = time.Now()
	go func() {
		err := writeFile(name, captured)
		captured.Release()
		written <- err
	}()
	for err, done := error(nil), false; !done; {
		select {
		case err = <-written:
			if err != nil {
				return err
			}
			done = true
		case <-ctx.Done():
			return errors.Join(<-written, ctx.Err())
		default:
			b.apply(&beside)
		}
	}
	f.Write.add(micro(time.Since(began)) / 1e3)
	f.Quiet, f.Beside = append(f.Quiet, quantiles(quiet)), append(f.Beside, quantiles(beside))
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	began = time.Now()
	err = meta.New().Restore(file)
	f.Restore.add(micro(time.Since(began)) / 1e3)
	return errors.Join(err, file.Close(), os.Remove(name))
}

func writeFile(name string, s io.WriterTo) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = s.WriteTo(file)
	return errors.Join(err, file.Sync(), file.Close())
}

// sizePoint builds n files and times operations among them.
func sizePoint(p Population, n int) (SizePoint, error) {
	p.Files = n
	b := &builder{p: p, state: meta.New()}
	b.files(n)
	point := SizePoint{Files: n}
	const rounds = 2000
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	each := func(commands func(i int) [][]byte) float64 {
		total, done := time.Duration(0), 0
		for i := range rounds {
			entry := commands(i)
			b.index++
			began := time.Now()
			replies := b.state.Apply(b.index, entry)
			total += time.Since(began)
			done += len(replies)
			for _, r := range replies {
				b.check(r)
			}
		}
		return float64(total.Nanoseconds()) / float64(done)
	}
	point.Create = each(func(int) [][]byte { return b.creates() })
	point.Rename = each(func(i int) (entry [][]byte) {
		from := p.path(i * 7919 % n)
		return [][]byte{encode(rename(from, from+".moved")), encode(rename(from+".moved", from))}
	})
	point.MoveTree = each(func(i int) [][]byte {
		from := p.dir(i % p.dirs())
		return [][]byte{encode(rename(from, "/data/moved")), encode(rename("/data/moved", from))}
	})
	paths := make([]string, 1<<12)
	for i := range paths {
		paths[i] = p.path(rng.IntN(n))
	}
	began := time.Now()
	const lookups = 200_000
	for i := range lookups {
		if _, code := b.state.Stat(paths[i%len(paths)]); code != meta.OK {
			return point, fmt.Errorf("scale: %s was not found", paths[i%len(paths)])
		}
	}
	point.Lookup = float64(time.Since(began).Nanoseconds()) / lookups
	return point, b.err
}
