package workloads

import (
	"math/rand/v2"
	"strconv"
)

// appendFiles is the number of files that all clients of workload append share:
// few enough for a primary to order many clients, more than one so that several
// primaries work.
const appendFiles = 2

// appendLoad is the producer side of a GFS pipeline: many clients append records
// to shared files, others look at how far these have come and read records back.
type appendLoad struct {
	mix   mix
	bytes int
}

func newAppend(cfg Config) Workload {
	w := &appendLoad{bytes: cfg.RecordBytes}
	w.mix = newMix(
		choice{55, func(rng *rand.Rand, _ int) Op { return Op{Kind: Append, Path: appendFile(rng), Size: w.bytes} }},
		choice{17, one(Stat, appendFile)},
		choice{16, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: ChunkInfo, Path: appendFile(rng), Chunk: lowIndex(rng), ByPath: true}
		}},
		choice{12, func(rng *rand.Rand, _ int) Op {
			return Op{Kind: ReadRecord, Path: appendFile(rng), Pick: rng.Uint64()}
		}},
	)
	return w
}

func (w *appendLoad) Load(*rand.Rand) []Op {
	ops := []Op{{Kind: Mkdir, Path: "/a"}}
	for f := range appendFiles {
		path := "/a/f" + strconv.Itoa(f)
		ops = append(ops, Op{Kind: Create, Path: path}, Op{Kind: Allocate, Path: path}, Op{Kind: FindLease, Path: path})
	}
	return ops
}

func (w *appendLoad) Next(rng *rand.Rand, client int) Op { return w.mix.draw(rng, client) }

func appendFile(rng *rand.Rand) string { return "/a/f" + strconv.Itoa(rng.IntN(appendFiles)) }

// lowIndex is mostly 0, a chunk that is there, and sometimes one that may be.
func lowIndex(rng *rand.Rand) uint32 {
	if rng.IntN(4) > 0 {
		return 0
	}
	return uint32(rng.IntN(4))
}
