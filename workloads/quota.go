package workloads

import (
	"math/rand/v2"
	"strconv"
)

// The shape of the namespace of workload quota: tops with quotas that the clients
// keep full, and in each of them a directory with a quota of its own.
const (
	quotaTops  = 3
	quotaNames = 8 // names in a directory: more, in a top, than its quota takes
	quotaFiles = 9 // a top's quota; that of the directory in it is a third
)

// quota lets all clients bump into quotas: files and chunks come, go, are hidden,
// brought back, copied and moved between directories that have different ones, and
// now and then a quota changes below what is there.
type quota struct{ mix mix }

func newQuota(Config) Workload {
	w := &quota{}
	w.mix = newMix(
		choice{26, func(rng *rand.Rand, _ int) Op {
			path := quotaName(rng)
			return Op{Kind: Create, Path: path, Then: &Op{Kind: Allocate, Path: path, Then: &Op{Kind: Allocate, Path: path, Chunk: 1}}}
		}},
		choice{14, one(Delete, quotaName)},
		choice{4, func(rng *rand.Rand, _ int) Op { return Op{Kind: Undelete, Path: quotaName(rng)} }},
		choice{4, func(rng *rand.Rand, _ int) Op { return Op{Kind: Delete, Path: quotaName(rng), Hidden: true} }},
		choice{8, func(rng *rand.Rand, _ int) Op { return Op{Kind: Rename, Path: quotaName(rng), Path2: quotaName(rng)} }},
		choice{4, func(rng *rand.Rand, _ int) Op { return Op{Kind: Rename, Path: quotaDir(rng), Path2: quotaDir(rng)} }},
		choice{5, func(rng *rand.Rand, _ int) Op { return Op{Kind: Snapshot, Path: quotaName(rng), Path2: quotaName(rng)} }},
		choice{4, func(rng *rand.Rand, _ int) Op { return limited(quotaTop(rng), quotaFiles-2+rng.Uint64N(5)) }},
		choice{21, one(Stat, quotaTop)},
		choice{5, one(Stat, quotaDir)},
		choice{5, one(Usage, quotaTop)},
	)
	return w
}

func (w *quota) Load(*rand.Rand) []Op {
	var ops []Op
	for t := range quotaTops {
		top := "/q" + strconv.Itoa(t)
		ops = append(ops, Op{Kind: Mkdir, Path: top}, limited(top, quotaFiles), Op{Kind: Mkdir, Path: top + "/in"}, limited(top+"/in", quotaFiles/3))
	}
	return ops
}

func (w *quota) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

// limited sets a quota of so many files, and of three chunks for every two of them.
func limited(path string, files uint64) Op {
	return Op{Kind: SetAttributes, Path: path, MaxFiles: files, MaxChunks: files * 3 / 2}
}

func quotaTop(rng *rand.Rand) string { return "/q" + strconv.Itoa(rng.IntN(quotaTops)) }

func quotaDir(rng *rand.Rand) string { return quotaTop(rng) + "/in" }

// quotaName is a name in a top or in the directory in it.
func quotaName(rng *rand.Rand) string {
	dir := quotaTop(rng)
	if rng.IntN(3) == 0 {
		dir += "/in"
	}
	return dir + "/f" + strconv.Itoa(rng.IntN(quotaNames))
}
