package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// overwrite writes over regions that others write and read: regions have one
// size, so that a read sees what one write wrote.
type overwrite struct {
	bytes, slots int
}

const (
	overwriteFiles = 2
	overwriteSlots = 8 // regions of a chunk
)

func newOverwrite(cfg Config) Workload {
	w := &overwrite{bytes: cfg.RecordBytes, slots: overwriteSlots}
	w.slots = int(max(1, min(int64(w.slots), cfg.ChunkBytes/int64(w.bytes))))
	return w
}

func overwriteFile(f int) string { return "/w/f" + strconv.Itoa(f) }

// Load writes every region once, in order.
func (w *overwrite) Load(*rand.Rand) []Op {
	ops := []Op{{Kind: Mkdir, Path: "/w"}}
	for f := range overwriteFiles {
		path := overwriteFile(f)
		ops = append(ops, Op{Kind: Create, Path: path}, Op{Kind: Allocate, Path: path, Bytes: true})
		for s := range w.slots {
			ops = append(ops, w.at(Write, path, s))
		}
	}
	return ops
}

func (w *overwrite) Next(rng *rand.Rand, _ int) Op {
	kind := Write
	if rng.IntN(2) == 0 {
		kind = ReadBytes
	}
	return w.at(kind, overwriteFile(rng.IntN(overwriteFiles)), rng.IntN(w.slots))
}

func (w *overwrite) at(kind, path string, slot int) Op {
	return Op{Kind: kind, Path: path, Offset: uint64(slot * w.bytes), Size: w.bytes}
}

// renameCommit is how MapReduce commits: the clients but one fill temporary files
// and rename them into place; client 0 lists what is in place and opens some.
type renameCommit struct{ bytes int }

// commitChunks is the length of a file.
const commitChunks = 4

func newRenameCommit(cfg Config) Workload { return &renameCommit{bytes: cfg.RecordBytes} }

func (w *renameCommit) Load(*rand.Rand) []Op {
	return []Op{{Kind: Mkdir, Path: "/r"}, {Kind: Mkdir, Path: "/r/tmp"}, {Kind: Mkdir, Path: "/r/final"}}
}

func (w *renameCommit) Next(rng *rand.Rand, client int) Op {
	if client == 0 {
		return Op{Kind: List, Path: "/r/final", Then: &Op{Kind: Stat, Path: "/r/final", Listed: true, Pick: rng.Uint64()}}
	}
	name := fmt.Sprintf("c%d-%010x", client, rng.Uint64N(freshDigits))
	tmp := "/r/tmp/" + name
	next := &Op{Kind: Rename, Path: tmp, Path2: "/r/final/" + name}
	for i := commitChunks - 1; i >= 0; i-- {
		next = &Op{Kind: Allocate, Path: tmp, Chunk: uint32(i), Bytes: true,
			Then: &Op{Kind: Write, Path: tmp, Chunk: uint32(i), Size: w.bytes, Then: next}}
	}
	return Op{Kind: Create, Path: tmp, Then: next}
}
