package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// The shape of the namespace of gfs-x and gfs-y. The files with chunks lie flat,
// so that each is a component of the history by itself; what lists, renames and
// copies stays in busy top directories.
const (
	gfsTops    = 8
	gfsFiles   = 64 // files with chunks
	gfsTemps   = 64 // names in a flat top that come and go
	gfsBusy    = 2  // busy tops
	gfsDirs    = 4  // directories in a busy top
	gfsNames   = 8  // names in each of them
	coldChunks = 32 // chunks a client that are asked for rarely
)

// gfsMix is a column of the paper's table 6, in tenths of a percent.
type gfsMix struct {
	open, findLocation, findLease, delete, match, other int
	// chunks is how many chunks the files have in all, for 100 of them (table 2).
	chunks int
}

var (
	mixX = gfsMix{open: 261, findLocation: 643, findLease: 78, delete: 7, match: 6, other: 5, chunks: 135}
	mixY = gfsMix{open: 163, findLocation: 658, findLease: 134, delete: 15, match: 22, other: 8, chunks: 210}
)

// What the paper does not split, in percent.
const (
	openCreates = 5  // of Open: those that create
	leaseGrants = 20 // of FindLeaseHolder: those of a chunk that no lease is on
)

// gfs is the mix of requests that a master of GFS saw. A request for a lease that
// grants one asks for a cold chunk: with many of those, a lease has run out when
// its chunk is drawn again.
type gfs struct {
	mix    mix
	cfg    Config
	shares gfsMix
	files  int
	cdf    []float64
}

func newGFSX(cfg Config) Workload { return newGFS(cfg, mixX) }
func newGFSY(cfg Config) Workload { return newGFS(cfg, mixY) }

func newGFS(cfg Config, shares gfsMix) Workload {
	w := &gfs{cfg: cfg, shares: shares, files: cfg.Files}
	if w.files == 0 {
		w.files = gfsFiles
	}
	w.cdf = zipf(w.files, zipfTheta)
	// Parts of 1 in 400,000, so that the smallest share is a whole number.
	const unit = 400
	other := shares.other * unit
	w.mix = newMix(
		choice{shares.open * unit * (100 - openCreates) / 100, w.open},
		choice{shares.open * unit * openCreates / 100, w.temp(Create)},
		choice{shares.findLocation * unit, w.findLocation},
		choice{shares.findLease * unit * (100 - leaseGrants) / 100, w.hotLease},
		choice{shares.findLease * unit * leaseGrants / 100, w.coldLease},
		choice{shares.delete * unit, w.temp(Delete)},
		choice{shares.match * unit, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: List, Path: gfsDir(rng), Prefix: "n" + strconv.Itoa(rng.IntN(2))}
		}},
		choice{other * 40 / 100, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: Mkdir, Path: gfsDir(rng) + "/m" + strconv.Itoa(rng.IntN(1000))}
		}},
		choice{other * 40 / 100, func(rng *rand.Rand, _ int) Op {
			top := gfsTop(rng)
			return Op{Kind: Rename, Path: gfsName(rng, top), Path2: gfsName(rng, top)}
		}},
		choice{other * 5 / 100, func(rng *rand.Rand, client int) Op {
			top := gfsTop(rng)
			return Op{Kind: Snapshot, Path: gfsDirIn(rng, top), Path2: fmt.Sprintf("%s/s%d-%08x", top, client, rng.Uint32())}
		}},
		choice{other * 15 / 100, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: SetAttributes, Path: gfsDir(rng), Replicas: uint32(2 + rng.IntN(2))}
		}},
	)
	return w
}

// Load makes the files with their chunks, half of the temporary names, and the
// busy directories.
func (w *gfs) Load(*rand.Rand) []Op {
	var ops []Op
	for t := range gfsTops {
		ops = append(ops, Op{Kind: Mkdir, Path: "/x" + strconv.Itoa(t)})
	}
	for t := range gfsBusy {
		top := "/y" + strconv.Itoa(t)
		ops = append(ops, Op{Kind: Mkdir, Path: top})
		for d := range gfsDirs {
			dir := top + "/d" + strconv.Itoa(d)
			ops = append(ops, Op{Kind: Mkdir, Path: dir})
			for n := 0; n < gfsNames; n += 2 {
				ops = append(ops, Op{Kind: Create, Path: fmt.Sprintf("%s/n%d", dir, n)})
			}
		}
	}
	for f := range w.files {
		ops = append(ops, Op{Kind: Create, Path: gfsFile(f), Free: true, Then: w.allocations(f)})
	}
	for t := range gfsTops {
		for n := 0; n < gfsTemps; n += 2 {
			ops = append(ops, Op{Kind: Create, Path: fmt.Sprintf("/x%d/t%d", t, n), Free: true})
		}
	}
	for c := range w.cfg.Clients {
		path := coldFile(c)
		ops = append(ops, Op{Kind: Create, Path: path, Free: true, Then: allocations(path, coldChunks)})
	}
	return ops
}

// chunksOf spreads the chunks evenly over the files.
func (w *gfs) chunksOf(file int) int {
	return (file+1)*w.shares.chunks/100 - file*w.shares.chunks/100
}

func (w *gfs) allocations(file int) *Op { return allocations(gfsFile(file), w.chunksOf(file)) }

// allocations chains the allocation of the first n chunks of a file.
func allocations(path string, n int) *Op {
	var first *Op
	for i := n - 1; i >= 0; i-- {
		first = &Op{Kind: Allocate, Path: path, Chunk: uint32(i), Then: first}
	}
	return first
}

func (w *gfs) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

// open looks a file up: mostly one with chunks, sometimes a name that comes and
// goes, or one in a busy top.
func (w *gfs) open(rng *rand.Rand, client int) Op {
	switch rng.IntN(8) {
	case 0:
		return w.temp(Stat)(rng, client)
	case 1:
		return Op{Kind: Stat, Path: gfsName(rng, gfsTop(rng))}
	}
	return Op{Kind: Stat, Path: gfsFile(draw(rng, w.cdf))}
}

// temp acts on a name that comes and goes; one in four in a busy top, where
// others list.
func (w *gfs) temp(kind string) func(*rand.Rand, int) Op {
	return func(rng *rand.Rand, _ int) Op {
		if rng.IntN(4) == 0 {
			return Op{Kind: kind, Path: gfsName(rng, gfsTop(rng))}
		}
		return Op{Kind: kind, Path: fmt.Sprintf("/x%d/t%d", rng.IntN(gfsTops), rng.IntN(gfsTemps))}
	}
}

func (w *gfs) findLocation(rng *rand.Rand, _ int) Op {
	file := draw(rng, w.cdf)
	return Op{Kind: ChunkInfo, Path: gfsFile(file), Chunk: uint32(rng.IntN(w.chunksOf(file))), ByPath: true}
}

func (w *gfs) hotLease(rng *rand.Rand, _ int) Op {
	file := draw(rng, w.cdf)
	return Op{Kind: FindLease, Path: gfsFile(file), Chunk: uint32(rng.IntN(w.chunksOf(file)))}
}

func (w *gfs) coldLease(rng *rand.Rand, _ int) Op {
	return Op{Kind: FindLease, Path: coldFile(rng.IntN(w.cfg.Clients)), Chunk: uint32(rng.IntN(coldChunks))}
}

func gfsFile(i int) string  { return fmt.Sprintf("/x%d/f%d", i%gfsTops, i) }
func coldFile(i int) string { return fmt.Sprintf("/x%d/c%d", i%gfsTops, i) }

func gfsTop(rng *rand.Rand) string { return "/y" + strconv.Itoa(rng.IntN(gfsBusy)) }

func gfsDirIn(rng *rand.Rand, top string) string { return top + "/d" + strconv.Itoa(rng.IntN(gfsDirs)) }

func gfsDir(rng *rand.Rand) string { return gfsDirIn(rng, gfsTop(rng)) }

func gfsName(rng *rand.Rand, top string) string {
	return gfsDirIn(rng, top) + "/n" + strconv.Itoa(rng.IntN(gfsNames))
}
