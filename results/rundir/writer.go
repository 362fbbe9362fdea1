package rundir

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Writer fills a run directory. Its methods may be called from several
// goroutines; a record is on disk for certain only after Seal.
type Writer struct {
	dir string

	mu       sync.Mutex
	streams  map[string]*stream
	faults   []Fault
	counters Counters
	done     bool
}

// stream is one open file of records.
type stream struct {
	file *os.File
	buf  *bufio.Writer
	enc  *json.Encoder
}

// Create makes a run directory and writes its manifest, before anything runs. It
// refuses a directory that holds anything. m.Format is set.
func Create(dir string, m Manifest) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("rundir: %w", err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("rundir: %s is not empty (%s): a run is never written over another", dir, entries[0].Name())
	}
	m.Format = FormatVersion
	if err := writeJSON(dir, ManifestFile, m); err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, streams: map[string]*stream{}}
	if err := w.open(OpsFile); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Open continues a run directory that was created and not sealed: records are
// appended to those that are there.
func Open(dir string) (*Writer, error) {
	if _, err := ReadManifest(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, EndFile)); err == nil {
		return nil, fmt.Errorf("rundir: %s is sealed", dir)
	}
	w := &Writer{dir: dir, streams: map[string]*stream{}}
	if err := w.open(OpsFile); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Dir is the directory's path.
func (w *Writer) Dir() string { return w.dir }

// Ops appends operations to ops.jsonl.
func (w *Writer) Ops(ops ...Op) error { return appendTo(w, OpsFile, ops) }

// Applied appends to applied/<node>.jsonl. Called with no records it makes the
// empty file, which says that the node applied nothing.
func (w *Writer) Applied(node string, records ...Applied) error {
	return appendNode(w, appliedDir, node, records)
}

// Chunks appends to chunks/<chunkserver>.jsonl; with no records it makes the
// empty file.
func (w *Writer) Chunks(chunkserver string, records ...Chunk) error {
	return appendNode(w, chunksDir, chunkserver, records)
}

// Leases appends to leases/<node>.jsonl; with no records it makes the empty file.
func (w *Writer) Leases(node string, events ...LeaseEvent) error {
	return appendNode(w, leasesDir, node, events)
}

// Replicas appends to replicas/<node>.jsonl; with no records it makes the empty
// file.
func (w *Writer) Replicas(node string, events ...ReplicaEvent) error {
	return appendNode(w, replicaDir, node, events)
}

// Faults adds faults to faults.json, which Seal writes.
func (w *Writer) Faults(faults ...Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, faults...)
}

// Counters sets what counters.json will hold, which Seal writes.
func (w *Writer) Counters(c Counters) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counters = c
}

// Seal writes what is outstanding, syncs every file and writes END. The writer
// takes no more records after it.
func (w *Writer) Seal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return fmt.Errorf("rundir: %s: already sealed or closed", w.dir)
	}
	if err := w.closeLocked(); err != nil {
		return err
	}
	if w.faults == nil {
		w.faults = []Fault{}
	}
	if err := writeJSON(w.dir, FaultsFile, w.faults); err != nil {
		return err
	}
	if err := writeJSON(w.dir, CountersFile, w.counters); err != nil {
		return err
	}
	return Reseal(w.dir)
}

// Close ends the writer without a seal: the directory stays unreadable to Load.
// After Seal it does nothing.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	return w.closeLocked()
}

func (w *Writer) closeLocked() error {
	w.done = true
	var errs []error
	names := make([]string, 0, len(w.streams))
	for name := range w.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		s := w.streams[name]
		errs = append(errs, s.buf.Flush(), s.file.Sync(), s.file.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	return nil
}

func (w *Writer) open(name string) error {
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("rundir: %w", err)
	}
	buf := bufio.NewWriterSize(f, 64<<10)
	w.streams[name] = &stream{file: f, buf: buf, enc: json.NewEncoder(buf)}
	return nil
}

func appendNode[T any](w *Writer, dir, node string, records []T) error {
	name, err := nodeFile(dir, node)
	if err != nil {
		return err
	}
	return appendTo(w, name, records)
}

func appendTo[T any](w *Writer, name string, records []T) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return fmt.Errorf("rundir: %s: already sealed or closed", w.dir)
	}
	if w.streams[name] == nil {
		if err := w.open(name); err != nil {
			return err
		}
	}
	s := w.streams[name]
	for i := range records {
		if err := s.enc.Encode(&records[i]); err != nil {
			return fmt.Errorf("rundir: %s: %w", name, err)
		}
	}
	return nil
}

// Save writes a whole run into a new directory and seals it. It is what a run
// held in memory needs, and tests.
func Save(dir string, run *Run) error {
	w, err := Create(dir, run.Manifest)
	if err != nil {
		return err
	}
	errs := []error{w.Ops(run.Ops...)}
	for node, records := range run.Applied {
		errs = append(errs, w.Applied(node, records...))
	}
	for node, records := range run.Chunks {
		errs = append(errs, w.Chunks(node, records...))
	}
	for node, events := range run.Leases {
		errs = append(errs, w.Leases(node, events...))
	}
	for node, events := range run.Replicas {
		errs = append(errs, w.Replicas(node, events...))
	}
	w.Faults(run.Faults...)
	w.Counters(run.Counters)
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, w.Close())
	}
	return w.Seal()
}
