package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// bigDir works in a single directory with as many files as the paper calls
// "hundreds of thousands".
type bigDir struct {
	mix   mix
	files int
}

// bigFiles is the number of files; bigScan how many names a scan sees.
const (
	bigFiles = 300_000
	bigScan  = 100
)

func newBigDir(cfg Config) Workload {
	w := &bigDir{files: cfg.Files}
	if w.files == 0 {
		w.files = bigFiles
	}
	// The shares are ours: the paper names the operations.
	w.mix = newMix(
		choice{40, func(rng *rand.Rand, _ int) Op {
			name := bigName(rng.IntN(w.files))
			return Op{Kind: List, Path: "/big", Prefix: name[:len(name)-2]}
		}},
		choice{25, one(Create, w.fresh)},
		choice{25, one(Delete, w.fresh)},
		choice{10, one(Stat, w.fresh)},
	)
	return w
}

// bigName has its last two digits left out in a scan, which so sees bigScan files.
func bigName(i int) string { return fmt.Sprintf("f%06d", i) }

// fresh is a name that comes and goes, between the files that stay.
func (w *bigDir) fresh(rng *rand.Rand) string {
	return "/big/" + bigName(rng.IntN(w.files)) + "+"
}

func (w *bigDir) Load(*rand.Rand) []Op {
	ops := []Op{{Kind: Mkdir, Path: "/big"}}
	for i := range w.files {
		ops = append(ops, Op{Kind: Create, Path: "/big/" + bigName(i), Free: true})
	}
	return ops
}

func (w *bigDir) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

// writeOnly changes the namespace and never looks. Like workload create it keeps
// renames inside busy tops and most fresh files in flat ones.
type writeOnly struct{ mix mix }

func newWriteOnly(Config) Workload {
	c := &create{}
	return &writeOnly{mix: newMix(
		choice{60, c.fresh},
		choice{5, one(Create, busyFile)},
		choice{5, one(Create, hotFile)},
		choice{5, one(Mkdir, busyDir)},
		choice{8, renameFile},
		choice{2, renameDir},
		choice{7, one(Delete, busyFile)},
		choice{7, one(Delete, hotFile)},
		choice{1, one(Delete, busyDir)},
	)}
}

func (w *writeOnly) Load(rng *rand.Rand) []Op { return (&create{}).Load(rng) }

func (w *writeOnly) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

// casCreate is a lock made of a name: all create it, one wins and deletes it.
type casCreate struct{}

func newCASCreate(Config) Workload { return casCreate{} }

const casName = "/cas/lock"

func (casCreate) Load(*rand.Rand) []Op { return []Op{{Kind: Mkdir, Path: "/cas"}} }

// Next draws from rng only to say who asks: the operation is always the same one.
func (casCreate) Next(*rand.Rand, int) Op {
	return Op{Kind: Create, Path: casName, Then: &Op{Kind: Delete, Path: casName}}
}

// allocOnly adds chunk after chunk, and goes on with another file after some.
type allocOnly struct {
	next []int // by client
}

const allocChunks = 256 // a file

func newAllocOnly(cfg Config) Workload { return &allocOnly{next: make([]int, cfg.Clients)} }

func (w *allocOnly) Load(*rand.Rand) []Op {
	var ops []Op
	for c := range w.next {
		ops = append(ops, Op{Kind: Mkdir, Path: "/l" + strconv.Itoa(c)})
	}
	return ops
}

// Next chains a new file's creation with its first chunk: a file takes its chunks
// in order.
func (w *allocOnly) Next(_ *rand.Rand, client int) Op {
	n := w.next[client]
	w.next[client]++
	path := fmt.Sprintf("/l%d/f%d", client, n/allocChunks)
	alloc := Op{Kind: Allocate, Path: path, Chunk: uint32(n % allocChunks)}
	if n%allocChunks == 0 {
		return Op{Kind: Create, Path: path, Then: &alloc}
	}
	return alloc
}

// mdtest is IO500's mdtest-easy: each rank creates its files in a directory of its
// own, then looks at all files of the next rank, then deletes its own, and goes on
// with another directory. A run's end is the stonewall.
type mdtest struct {
	files int
	done  []int // by client
}

// mdtestFiles is the cap on files a rank.
const mdtestFiles = 1_000_000

func newMDTest(cfg Config) Workload {
	w := &mdtest{files: cfg.Files, done: make([]int, cfg.Clients)}
	if w.files == 0 {
		w.files = mdtestFiles
	}
	return w
}

func (w *mdtest) Load(*rand.Rand) []Op {
	var ops []Op
	for c := range w.done {
		ops = append(ops, Op{Kind: Mkdir, Path: mdtestTop(c)})
	}
	return ops
}

func mdtestTop(c int) string { return "/md" + strconv.Itoa(c) }

func (w *mdtest) Next(_ *rand.Rand, client int) Op {
	n := w.done[client]
	w.done[client]++
	round, step := n/(3*w.files), n%(3*w.files)
	rank, kind := client, []string{Create, Stat, Delete}[step/w.files]
	if kind == Stat {
		rank = (client + 1) % len(w.done)
	}
	return Op{Kind: kind, Path: fmt.Sprintf("%s/r%d-%d", mdtestTop(rank), round, step%w.files)}
}
