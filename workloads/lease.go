package workloads

import (
	"math"
	"math/rand/v2"
	"sort"
	"strconv"
)

const (
	chunksPerClient = 10
	chunksPerFile   = 10
	zipfTheta       = 0.99
)

// leaseChurn asks for leases and takes them back, on chunks of which a few are
// far hotter than the rest.
type leaseChurn struct {
	mix    mix
	chunks int
	// cdf[i] is the probability of one of the chunks 0..i.
	cdf []float64
}

func newLeaseChurn(cfg Config) Workload {
	w := &leaseChurn{chunks: chunksPerClient * cfg.Clients}
	w.cdf = zipf(w.chunks, zipfTheta)
	w.mix = newMix(
		choice{44, w.on(FindLease, false)},
		choice{22, w.on(Revoke, false)},
		choice{24, w.on(ChunkInfo, false)},
		choice{10, w.on(ChunkInfo, true)},
	)
	return w
}

func (w *leaseChurn) Load(*rand.Rand) []Op {
	ops := []Op{{Kind: Mkdir, Path: "/l"}}
	for c := range w.chunks {
		path, index := chunkAt(c)
		if index == 0 {
			ops = append(ops, Op{Kind: Create, Path: path})
		}
		ops = append(ops, Op{Kind: Allocate, Path: path, Chunk: index})
	}
	return ops
}

func (w *leaseChurn) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

func (w *leaseChurn) on(kind string, byPath bool) func(*rand.Rand, int) Op {
	return func(rng *rand.Rand, _ int) Op {
		path, index := chunkAt(draw(rng, w.cdf))
		return Op{Kind: kind, Path: path, Chunk: index, ByPath: byPath}
	}
}

// chunkAt is the file and the index in it of the chunk with that rank.
func chunkAt(rank int) (path string, index uint32) {
	return "/l/f" + strconv.Itoa(rank/chunksPerFile), uint32(rank % chunksPerFile)
}

// zipf is the distribution function of ranks 0..n-1 with weights 1/(rank+1)^theta.
// (Package rand's own needs an exponent above 1.)
func zipf(n int, theta float64) []float64 {
	cdf := make([]float64, n)
	sum := 0.0
	for i := range cdf {
		sum += 1 / math.Pow(float64(i+1), theta)
		cdf[i] = sum
	}
	for i := range cdf {
		cdf[i] /= sum
	}
	return cdf
}

func draw(rng *rand.Rand, cdf []float64) int {
	u := rng.Float64()
	return min(sort.SearchFloat64s(cdf, u), len(cdf)-1)
}
