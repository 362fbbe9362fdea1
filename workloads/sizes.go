package workloads

import (
	"math"
	"math/rand/v2"
)

// The names of the tables of sizes. "" is the fixed size of the plan.
const (
	SizesX = "gfs-x"
	SizesY = "gfs-y"
)

// SizeTables lists the names of the tables of sizes, "" first.
func SizeTables() []string { return []string{"", SizesX, SizesY} }

// buckets are the bounds of the buckets of the GFS paper's table 4, in bytes: a
// size of bucket i lies between buckets[i] and buckets[i+1]. Bucket 0 is size 0.
var buckets = [...]float64{0, 1, 1 << 10, 8 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 0}

// The shares of operations by size, in tenths of a percent.
var (
	readSizesX   = sizes{[9]int{4, 1, 652, 299, 1, 2, 1, 39, 1}, 4 << 20}
	readSizesY   = sizes{[9]int{26, 41, 385, 451, 7, 3, 1, 69, 18}, 4 << 20}
	writeSizesX  = sizes{[9]int{0, 66, 4, 178, 23, 316, 42, 355, 15}, 4 << 20}
	writeSizesY  = sizes{[9]int{0, 49, 10, 430, 19, 4, 77, 287, 123}, 4 << 20}
	appendSizesX = sizes{[9]int{0, 2, 189, 780, 0, 0, 0, 22, 7}, 16 << 20}
	appendSizesY = sizes{[9]int{0, 92, 152, 28, 43, 106, 312, 255, 22}, 16 << 20}
)

// paperChunk is the chunk size that the table's sizes belong to.
const paperChunk = 64 << 20

// sizes is one column of the table. Shares need not add up to 1000: the paper's
// rounding does not either.
type sizes struct {
	shares [9]int
	// limit is the largest size of the last bucket.
	limit float64
}

// draw returns a size: within its bucket log-uniform, scaled to the chunk size.
func (s sizes) draw(rng *rand.Rand, chunkBytes int64) int {
	total := 0
	for _, n := range s.shares {
		total += n
	}
	pick, bucket := rng.IntN(total), 0
	for pick >= s.shares[bucket] {
		pick -= s.shares[bucket]
		bucket++
	}
	if bucket == 0 {
		return 0
	}
	lo, hi := buckets[bucket], buckets[bucket+1]
	if bucket == len(s.shares)-1 {
		hi = s.limit
	}
	size := math.Exp(math.Log(lo) + rng.Float64()*(math.Log(hi)-math.Log(lo)))
	return max(1, int(size*float64(chunkBytes)/paperChunk))
}

// recordSize returns the source of the sizes of appended records. A record with
// its frame takes at most a quarter of a chunk.
func (cfg Config) recordSize() func(*rand.Rand) int {
	table := appendSizesY
	switch cfg.Sizes {
	case "":
		return func(*rand.Rand) int { return cfg.RecordBytes }
	case SizesX:
		table = appendSizesX
	}
	most := int(cfg.ChunkBytes/4) - frameRoom
	return func(rng *rand.Rand) int { return max(1, min(table.draw(rng, cfg.ChunkBytes), most)) }
}

// frameRoom is more than a record's frame takes beside the payload.
const frameRoom = 256
