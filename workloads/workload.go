package workloads

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The kinds of operations, by the names that they have in a run's history.
const (
	Create     = "create"
	Mkdir      = "mkdir"
	Delete     = "delete"
	Rename     = "rename"
	Stat       = "stat"
	List       = "list"
	Allocate   = "allocate"
	FindLease  = "find-lease"
	Revoke     = "revoke"
	ChunkInfo  = "chunk-info"
	Append     = "append"
	ReadRecord = "read-record"

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
	// Path2 is rename's destination.
	Path2 string
	// Chunk is the chunk's index in the file at Path: allocate, find-lease,
	// revoke and chunk-info name their chunk by (Path, Chunk). The caller knows
	// the handle from the allocation.
	Chunk uint32
	// ByPath asks for a chunk-info by path and index (FindLocation) instead of
	// by handle.
	ByPath bool
	// Size is the payload of an append, in bytes.
	Size int
	// Pick chooses what read-record reads: of the n records acknowledged at Path
	// so far, the one at Pick mod n. Without any, the caller sends a stat.
	Pick uint64
}

// Workload makes operations. Its methods may be called from several goroutines,
// each with its own rng.
type Workload interface {
	// Load lists the operations that prepare the cell, to be run one after the
	// other; each must succeed.
	Load(rng *rand.Rand) []Op
	// Next draws the next operation of a client.
	Next(rng *rand.Rand, client int) Op
}

// Config sizes a workload.
type Config struct {
	// Clients is the number of client threads, at least 1.
	Clients int
	// RecordBytes is the payload of one appended record (default 1024).
	RecordBytes int
}

// Description is one entry of the registry.
type Description struct {
	Name string
	// About is one line for a help text.
	About string
	open  func(Config) Workload
}

// All lists the workloads in the order in which they are shown.
func All() []Description {
	return []Description{
		{"create", "namespace writes: create, mkdir, delete, rename over hot directories and fresh files, 30 % stat and list", newCreate},
		{"append", "record append of all clients to a few shared files, with stat, find-location and reads of acknowledged records", newAppend},
		{"lease-churn", "lease grants and revocations on 10 chunks a client, Zipf(0.99), a third of it chunk lookups", newLeaseChurn},
		{"register", "read, write, remove and compare-and-swap of a few keys of the key-value store, every value unique", newRegister},
	}
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
	var names []string
	for _, d := range All() {
		if d.Name == name {
			return d.open(cfg), nil
		}
		names = append(names, d.Name)
	}
	return nil, fmt.Errorf("workloads: no workload %q; there are: %s", name, strings.Join(names, ", "))
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
