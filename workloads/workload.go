package workloads

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// The kinds of operations, by the names that they have in a run's history.
const (
	Create        = "create"
	Mkdir         = "mkdir"
	Delete        = "delete"
	Undelete      = "undelete"
	Rename        = "rename"
	Snapshot      = "snapshot"
	SetAttributes = "set-attributes"
	Stat          = "stat"
	List          = "list"
	Usage         = "usage"
	Allocate      = "allocate"
	FindLease     = "find-lease"
	Revoke        = "revoke"
	ChunkInfo     = "chunk-info"
	Append        = "append"
	ReadRecord    = "read-record"
	Write         = "write"
	ReadBytes     = "read-bytes"
	ReadRecords   = "read-records"

	// Of the key-value store; Path is the key.
	Get    = "get"
	Put    = "put"
	Remove = "remove"
	Swap   = "cas"
)

// Op is one operation to run.
type Op struct {
	Kind string
	Path string
	// Path2 is rename's and snapshot's destination.
	Path2 string
	// Chunk is the chunk's index in the file at Path: allocate, find-lease,
	// revoke, chunk-info, write and read-bytes name their chunk by (Path, Chunk). The
	// caller knows the handle from the allocation.
	Chunk uint32
	// ByPath asks for a chunk-info (FindLocation) or a lease by path and index
	// instead of by handle.
	ByPath bool
	// Offset is where in the chunk a write goes or a read-bytes begins.
	Offset uint64
	// Bytes allocates a chunk of bytes instead of records.
	Bytes bool
	// Size is the payload of an append or write, or what a read-bytes asks for, in
	// bytes.
	Size int
	// Pick chooses what read-record reads: of the n records acknowledged at Path
	// so far, the one at Pick mod n. Without any, the caller sends a stat.
	Pick uint64
	// Listed takes one of the names that the operation before in the chain listed,
	// the one at Pick mod n, below Path. Without any, the chain ends.
	Listed bool
	// Recursive deletes with all below, or lists all below.
	Recursive bool
	// Long lists with entries, Prefix only names that begin so.
	Long   bool
	Prefix string
	// Hidden means what the caller deleted at Path last, by its id; without any, the
	// caller sends a stat.
	Hidden bool
	// Tail lets a read-records go on where the thread's last one at Path ended.
	Tail bool
	// Replicas, Retention, MaxFiles and MaxChunks are what a set-attributes sets; 0
	// leaves them.
	Replicas            uint32
	Retention           time.Duration
	MaxFiles, MaxChunks uint64
	// Free marks an operation of Load that may run beside the free ones next to it.
	Free bool
	// Then is done next, by the same client, if this one was answered OK.
	Then *Op
}

// Workload makes operations. Its methods may be called from several goroutines,
// each with its own rng, those about one client from one at a time.
type Workload interface {
	// Load lists the operations that prepare the cell, to be run one after the
	// other; each must succeed.
	Load(rng *rand.Rand) []Op
	// Next draws the next operation of a client.
	Next(rng *rand.Rand, client int) Op
}

// Paced is a workload with clients that act by the clock, whatever the arrival.
type Paced interface {
	// Period is the time between two operations of the client; 0 for one that
	// follows the plan's arrival.
	Period(client int) time.Duration
}

// Config sizes a workload.
type Config struct {
	// Clients is the number of client threads, at least 1.
	Clients int
	// RecordBytes is the payload of one appended record or write (default 1024).
	// Sizes, if not "", draws the sizes of appends from a table instead: gfs-x, gfs-y.
	RecordBytes int
	Sizes       string
	// ChunkBytes is the size of a chunk (default 1 MiB): sizes from tables are
	// scaled by its share of 64 MiB.
	ChunkBytes int64
	// Files is how many files the profile works on; 0 is the profile's own number.
	Files int
	// Retention of deleted files in profiles about that (default 1 s).
	Retention time.Duration
	// Period of what happens by the clock (default: the profile's).
	Period time.Duration
}

// Description is one entry of the registry.
type Description struct {
	Name string
	// About is one line for a help text.
	About string
	// Clients is how many threads the profile is defined for; 0: any number.
	Clients int
	// Reads is the share, in percent, of linearizable reads of what other clients
	// change that the workload holds at least. Meets says that its clients meet on
	// paths, chunks or keys. A run that promises less proves less in the load itself:
	// its power lies in the log and in the final reads.
	Reads int
	Meets bool
	// Primaries says that chunks are mutated or their leases asked for, so that
	// chunkservers act as primaries.
	Primaries bool
	open      func(Config) Workload
}

// shared is the promise of the workloads that were made for judging.
const shared = 20

// All lists the workloads in the order in which they are shown.
func All() []Description {
	return []Description{
		{"create", "namespace writes: create, mkdir, delete, rename over hot directories and fresh files, 30 % stat and list", 0, shared, true, false, newCreate},
		{"append", "record append of all clients to a few shared files, with stat, find-location and reads of acknowledged records", 0, shared, true, true, newAppend},
		{"lease-churn", "lease grants and revocations on 10 chunks a client, Zipf(0.99), a third of it chunk lookups", 0, shared, true, true, newLeaseChurn},
		{"register", "read, write, remove and compare-and-swap of a few keys of the key-value store, every value unique", 0, shared, true, false, newRegister},
		{"overwrite", "writes at offsets of a few shared chunks and reads of them, half and half", 0, 0, false, true, newOverwrite},
		{"gfs-x", "master requests of GFS cluster X (research): 64.3 % find-location, 26.1 % open, 7.8 % find-lease", 0, shared, false, true, newGFSX},
		{"gfs-y", "master requests of GFS cluster Y (production): 65.8 % find-location, 16.3 % open, 13.4 % find-lease", 0, shared, false, true, newGFSY},
		{"spotify", "the namespace mix of Spotify's Hadoop cluster as hammer-bench has it: 5.26 % writes", 0, shared, true, false, newSpotify},
		{"gfs-append-N", "all clients append to one file (or to as many as files says), nothing else: GFS figure 3c", 0, 0, false, true, newAppendN},
		{"prod-cons", "many producers append to one file, one consumer reads its tail (16 and 1)", 17, 0, true, true, newProdCons},
		{"rename-commit", "writers fill temporary files of 4 chunks and rename them into place; a reader lists and opens what is in place", 0, 0, true, true, newRenameCommit},
		{"bigdir", "one directory of 300,000 files: scans by prefix, creates and deletes", 0, shared, true, false, newBigDir},
		{"snap-append", "8 appenders; a snapshot of their directory every 2 s, copies of copies 3 deep, the old ones deleted", 9, 0, false, true, newSnapAppend},
		{"delete-gc", "temporary files created and deleted 1:1, 1 % undeleted, 1 % deleted for good", 0, 0, false, true, newDeleteGC},
		{"write-only", "create, mkdir, rename, delete 70:5:10:15", 0, 0, true, false, newWriteOnly},
		{"cas-create", "all clients create the same name; who gets it deletes it again", 0, 0, true, false, newCASCreate},
		{"alloc-only", "each client adds chunks to a file of its own", 0, 0, false, false, newAllocOnly},
		{"mdtest-easy", "each client creates empty files in a directory of its own, looks at its neighbour's, deletes its own", 0, 0, false, false, newMDTest},
		{"quota", "files and chunks come, go and move between directories whose quotas are nearly always used up", 0, shared, true, false, newQuota},
	}
}

// Find returns the workload's description.
func Find(name string) (Description, bool) {
	for _, d := range All() {
		if d.Name == name {
			return d, true
		}
	}
	return Description{}, false
}

// New opens the workload of that name. The error for an unknown name lists those
// that there are.
func New(name string, cfg Config) (Workload, error) {
	if cfg.Clients < 1 {
		return nil, fmt.Errorf("workloads: %d clients: want at least 1", cfg.Clients)
	}
	if cfg.RecordBytes < 0 {
		return nil, fmt.Errorf("workloads: a record of %d bytes", cfg.RecordBytes)
	}
	if cfg.RecordBytes == 0 {
		cfg.RecordBytes = 1024
	}
	if cfg.ChunkBytes == 0 {
		cfg.ChunkBytes = 1 << 20
	}
	if !slices.Contains(SizeTables(), cfg.Sizes) {
		return nil, fmt.Errorf("workloads: no table of sizes %q; there are: %s", cfg.Sizes, strings.Join(SizeTables()[1:], ", "))
	}
	d, ok := Find(name)
	if !ok {
		return nil, fmt.Errorf("workloads: no workload %q; there are: %s", name, strings.Join(Names(), ", "))
	}
	return d.open(cfg), nil
}

// Rand is the random stream of one client: streams of the same seed are
// independent of each other. Stream 0 is for Load by custom, client c has c+1.
func Rand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream*0x9e3779b97f4a7c15+1))
}

// choice is one kind of operation and its share.
type choice struct {
	weight int
	draw   func(rng *rand.Rand, client int) Op
}

// mix draws among choices by weight.
type mix struct {
	choices []choice
	total   int
}

func newMix(choices ...choice) mix {
	m := mix{choices: choices}
	for _, c := range choices {
		m.total += c.weight
	}
	return m
}

func (m mix) draw(rng *rand.Rand, client int) Op {
	n := rng.IntN(m.total)
	for _, c := range m.choices {
		if n < c.weight {
			return c.draw(rng, client)
		}
		n -= c.weight
	}
	panic("workloads: the weights do not add up")
}

// Names lists the workloads' names in the order of All.
func Names() []string {
	var names []string
	for _, d := range All() {
		names = append(names, d.Name)
	}
	return names
}
