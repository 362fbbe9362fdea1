package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// The shape of a client's tree in workload spotify: each directory has two
// directories and 16 files, until the tree has 100 files. Beside these lie names
// that come and go, so that reads mostly find what they ask for.
const (
	spotifyFiles    = 100 // a client
	spotifyFilesDir = 16
	spotifyDirsDir  = 2
	spotifyTemps    = 40 // names a client that come and go
)

// spotify is hammer-bench's mix: what it calls read is open with the locations,
// here a lookup of the first chunk. GFS knows neither owners nor modes: those
// requests set another attribute of the same path, which is as much work.
type spotify struct {
	mix     mix
	clients int
	files   int
	dirs    []string // of one tree, relative to its top, parents first
}

func newSpotify(cfg Config) Workload {
	w := &spotify{clients: cfg.Clients, files: cfg.Files}
	if w.files == 0 {
		w.files = spotifyFiles
	}
	w.dirs = []string{""}
	for len(w.dirs)*spotifyFilesDir < w.files {
		parent := w.dirs[(len(w.dirs)-1)/spotifyDirsDir]
		w.dirs = append(w.dirs, parent+"/d"+strconv.Itoa((len(w.dirs)-1)%spotifyDirsDir))
	}
	// Hundredths of a percent.
	w.mix = newMix(
		choice{6873, func(rng *rand.Rand, _ int) Op { return Op{Kind: ChunkInfo, Path: w.file(rng), ByPath: true} }},
		choice{270, func(rng *rand.Rand, _ int) Op {
			path := w.temp(rng, w.top(rng))
			return Op{Kind: Create, Path: path, Then: &Op{Kind: Allocate, Path: path}}
		}},
		choice{130, func(rng *rand.Rand, _ int) Op {
			top := w.top(rng)
			return Op{Kind: Rename, Path: w.temp(rng, top), Path2: w.temp(rng, top)}
		}},
		choice{75, func(rng *rand.Rand, _ int) Op { return Op{Kind: Delete, Path: w.temp(rng, w.top(rng))} }},
		choice{2, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: Mkdir, Path: w.dir(rng) + "/m" + strconv.Itoa(rng.IntN(1000))}
		}},
		choice{852, func(rng *rand.Rand, _ int) Op { return Op{Kind: List, Path: w.dir(rng)} }},
		choice{49, w.listFile},
		choice{1304, func(rng *rand.Rand, _ int) Op { return Op{Kind: Stat, Path: w.any(rng)} }},
		choice{396, func(rng *rand.Rand, _ int) Op { return Op{Kind: Stat, Path: w.dir(rng)} }},
		choice{14, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: SetAttributes, Path: w.file(rng), Replicas: uint32(2 + rng.IntN(2))}
		}},
		choice{2, func(rng *rand.Rand, _ int) Op { return touch(rng, w.file(rng)) }},
		choice{1 + 32, func(rng *rand.Rand, _ int) Op { return touch(rng, w.dir(rng)) }},
	)
	return w
}

// touch sets an attribute that changes nothing else while a run lasts.
func touch(rng *rand.Rand, path string) Op {
	return Op{Kind: SetAttributes, Path: path, Retention: time.Duration(72+rng.IntN(24)) * time.Hour}
}

func (w *spotify) Load(*rand.Rand) []Op {
	var ops []Op
	for c := range w.clients {
		for _, d := range w.dirs {
			ops = append(ops, Op{Kind: Mkdir, Path: spotifyTop(c) + d})
		}
	}
	for c := range w.clients {
		for f := range w.files {
			path := w.fileIn(spotifyTop(c), f)
			ops = append(ops, Op{Kind: Create, Path: path, Free: true, Then: &Op{Kind: Allocate, Path: path}})
		}
	}
	return ops
}

func (w *spotify) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

func spotifyTop(c int) string { return "/s" + strconv.Itoa(c) }

// top is any client's tree: the clients of the benchmark share the namespace.
func (w *spotify) top(rng *rand.Rand) string { return spotifyTop(rng.IntN(w.clients)) }

func (w *spotify) dir(rng *rand.Rand) string { return w.top(rng) + w.dirs[rng.IntN(len(w.dirs))] }

func (w *spotify) fileIn(top string, f int) string {
	return fmt.Sprintf("%s%s/f%d", top, w.dirs[f/spotifyFilesDir], f)
}

func (w *spotify) file(rng *rand.Rand) string { return w.fileIn(w.top(rng), rng.IntN(w.files)) }

func (w *spotify) temp(rng *rand.Rand, top string) string {
	n := rng.IntN(spotifyTemps)
	return fmt.Sprintf("%s%s/t%d", top, w.dirs[n%len(w.dirs)], n)
}

// any is a file, one in eight times one that comes and goes.
func (w *spotify) any(rng *rand.Rand) string {
	if rng.IntN(8) == 0 {
		return w.temp(rng, w.top(rng))
	}
	return w.file(rng)
}

// listFile lists a single file: its directory, restricted to its name.
func (w *spotify) listFile(rng *rand.Rand, _ int) Op {
	f := rng.IntN(w.files)
	return Op{Kind: List, Path: w.top(rng) + w.dirs[f/spotifyFilesDir], Prefix: "f" + strconv.Itoa(f)}
}
