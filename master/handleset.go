package master

import "math/bits"

// handleSet is a set of chunk handles, made for the case that it has all of them:
// handles come from a counter, so a bit each will do. It takes no lock.
type handleSet struct {
	shards map[uint64]*[1 << shardBits / 64]uint64 // by handle >> shardBits
	count  int
}

func newHandleSet() *handleSet {
	return &handleSet{shards: make(map[uint64]*[1 << shardBits / 64]uint64)}
}

// set adds the handle or takes it out.
func (s *handleSet) set(handle uint64, in bool) {
	shard := s.shards[handle>>shardBits]
	if shard == nil {
		if !in {
			return
		}
		shard = new([1 << shardBits / 64]uint64)
		s.shards[handle>>shardBits] = shard
	}
	word, bit := &shard[lowBits(handle)/64], uint64(1)<<(handle%64)
	switch {
	case in && *word&bit == 0:
		*word |= bit
		s.count++
	case !in && *word&bit != 0:
		*word &^= bit
		s.count--
	}
}

// keep takes out the handles from lo on and below hi (0: all) that are not known.
func (s *handleSet) keep(lo, hi uint64, known func(handle uint64) bool) {
	for key, shard := range s.shards {
		if key < lo>>shardBits || hi > 0 && key > hi>>shardBits {
			continue
		}
		for i, word := range shard {
			for ; word != 0; word &= word - 1 {
				handle := key<<shardBits | uint64(i*64+bits.TrailingZeros64(word))
				if handle >= lo && (hi == 0 || handle < hi) && !known(handle) {
					s.set(handle, false)
				}
			}
		}
	}
}
