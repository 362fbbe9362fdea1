package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// The shape of the namespace of workload create. Rename, list and the removal of
// directories stay inside one busy top directory, so that the history falls apart
// into one component per busy top and one per path in the flat ones.
const (
	busyTops    = 2 // /b0, /b1: directories that all clients rearrange
	busyDirs    = 4 // /b0/d0 …
	busyFiles   = 6 // /b0/d0/f0 …
	flatTops    = 4 // /p0 …: files only, no rename, no list
	flatHot     = 8 // /p0/h0 …: created and deleted by all clients
	freshDigits = 1 << 40
)

// create is a storm of namespace writes.
type create struct{ mix mix }

func newCreate(Config) Workload {
	w := &create{}
	w.mix = newMix(
		choice{40, w.fresh},
		choice{8, one(Create, busyFile)},
		choice{6, one(Create, hotFile)},
		choice{5, one(Delete, busyFile)},
		choice{4, one(Delete, hotFile)},
		choice{1, one(Delete, busyDir)},
		choice{3, one(Mkdir, busyDir)},
		choice{4, renameFile},
		choice{1, renameDir},
		choice{9, one(Stat, busyFile)},
		choice{12, one(Stat, hotFile)},
		choice{3, one(List, busyDir)},
		choice{4, one(List, busyTop)},
	)
	return w
}

func (w *create) Load(*rand.Rand) []Op {
	var ops []Op
	for t := range flatTops {
		ops = append(ops, Op{Kind: Mkdir, Path: "/p" + strconv.Itoa(t)})
	}
	for t := range busyTops {
		top := "/b" + strconv.Itoa(t)
		ops = append(ops, Op{Kind: Mkdir, Path: top})
		for d := range busyDirs {
			dir := top + "/d" + strconv.Itoa(d)
			ops = append(ops, Op{Kind: Mkdir, Path: dir})
			for f := 0; f < busyFiles; f += 2 {
				ops = append(ops, Op{Kind: Create, Path: dir + "/f" + strconv.Itoa(f)})
			}
		}
	}
	return ops
}

func (w *create) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

// fresh creates a file that nobody made before: the pure cost of a create.
func (w *create) fresh(rng *rand.Rand, client int) Op {
	return Op{Kind: Create, Path: fmt.Sprintf("/p%d/u%d-%010x", rng.IntN(flatTops), client, rng.Uint64N(freshDigits))}
}

// one draws an operation with a single path.
func one(kind string, path func(*rand.Rand) string) func(*rand.Rand, int) Op {
	return func(rng *rand.Rand, _ int) Op { return Op{Kind: kind, Path: path(rng)} }
}

func busyTop(rng *rand.Rand) string { return "/b" + strconv.Itoa(rng.IntN(busyTops)) }

func busyDir(rng *rand.Rand) string {
	return busyTop(rng) + "/d" + strconv.Itoa(rng.IntN(busyDirs))
}

func busyFile(rng *rand.Rand) string {
	return busyDir(rng) + "/f" + strconv.Itoa(rng.IntN(busyFiles))
}

func hotFile(rng *rand.Rand) string {
	return "/p" + strconv.Itoa(rng.IntN(flatTops)) + "/h" + strconv.Itoa(rng.IntN(flatHot))
}

func renameFile(rng *rand.Rand, _ int) Op {
	top := busyTop(rng)
	file := func() string {
		return top + "/d" + strconv.Itoa(rng.IntN(busyDirs)) + "/f" + strconv.Itoa(rng.IntN(busyFiles))
	}
	return Op{Kind: Rename, Path: file(), Path2: file()}
}

// renameDir moves a directory with all that is in it, now and then below another.
func renameDir(rng *rand.Rand, _ int) Op {
	top := busyTop(rng)
	from := top + "/d" + strconv.Itoa(rng.IntN(busyDirs))
	to := top + "/d" + strconv.Itoa(rng.IntN(busyDirs))
	if rng.IntN(4) == 0 {
		to += "/s"
	}
	return Op{Kind: Rename, Path: from, Path2: to}
}
