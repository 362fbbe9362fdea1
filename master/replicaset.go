package master

import (
	"math"
	"slices"
)

// replicaSet is what one chunkserver reported to hold. It is made for millions:
// 10 bytes a replica and what its slices keep in reserve. Handles come from a
// counter, so those that a chunkserver holds are near each other, and only their
// low bits are stored, in order, by the shard that the others name.
//
// It takes no lock.
type replicaSet struct {
	shards map[uint64]*replicaShard // by handle >> shardBits
	keys   []uint64                 // those of shards, in order
	count  int
	bytes  uint64 // sum of the lengths
	// corrupt are those reported with a block that does not match its checksum.
	corrupt map[uint64]struct{}
}

type replicaShard struct {
	low  []uint16 // low bits of the handles, in order
	held []heldReplica
}

// heldReplica is one replica as reported. No version and no length of a chunk
// comes near 2^32; reports that say so are refused.
type heldReplica struct {
	version uint32
	length  uint32
}

const (
	shardBits  = 12
	maxVersion = math.MaxUint32 // and the greatest length
)

func newReplicaSet() *replicaSet {
	return &replicaSet{shards: make(map[uint64]*replicaShard), corrupt: make(map[uint64]struct{})}
}

// get looks a replica up.
func (r *replicaSet) get(handle uint64) (x heldReplica, found bool) {
	s := r.shards[handle>>shardBits]
	if s == nil {
		return x, false
	}
	if i, found := slices.BinarySearch(s.low, lowBits(handle)); found {
		return s.held[i], true
	}
	return x, false
}

// put adds a replica or replaces what was known of it.
func (r *replicaSet) put(handle uint64, x heldReplica, corrupt bool) {
	if corrupt {
		r.corrupt[handle] = struct{}{}
	} else {
		delete(r.corrupt, handle)
	}
	s := r.shards[handle>>shardBits]
	if s == nil {
		s = new(replicaShard)
		r.shards[handle>>shardBits] = s
		at, _ := slices.BinarySearch(r.keys, handle>>shardBits)
		r.keys = slices.Insert(r.keys, at, handle>>shardBits)
	}
	i, found := slices.BinarySearch(s.low, lowBits(handle))
	if found {
		r.bytes += uint64(x.length) - uint64(s.held[i].length)
		s.held[i] = x
		return
	}
	s.low, s.held = slices.Insert(s.low, i, lowBits(handle)), slices.Insert(s.held, i, x)
	r.count++
	r.bytes += uint64(x.length)
}

// drop forgets a replica.
func (r *replicaSet) drop(handle uint64) {
	delete(r.corrupt, handle)
	s := r.shards[handle>>shardBits]
	if s == nil {
		return
	}
	i, found := slices.BinarySearch(s.low, lowBits(handle))
	if !found {
		return
	}
	r.count--
	r.bytes -= uint64(s.held[i].length)
	s.low, s.held = slices.Delete(s.low, i, i+1), slices.Delete(s.held, i, i+1)
	if len(s.low) == 0 {
		delete(r.shards, handle>>shardBits)
		at, _ := slices.BinarySearch(r.keys, handle>>shardBits)
		r.keys = slices.Delete(r.keys, at, at+1)
	}
}

// isCorrupt reports whether the replica was reported with bad bytes.
func (r *replicaSet) isCorrupt(handle uint64) bool {
	_, bad := r.corrupt[handle]
	return bad
}

// page appends up to limit handles from one on, in order. next is the handle to
// go on with, 0 at the end.
func (r *replicaSet) page(handles []uint64, from uint64, limit int) (_ []uint64, next uint64) {
	first, _ := slices.BinarySearch(r.keys, from>>shardBits)
	for _, key := range r.keys[first:] {
		s, i := r.shards[key], 0
		if key == from>>shardBits {
			i, _ = slices.BinarySearch(s.low, lowBits(from))
		}
		for ; i < len(s.low); i++ {
			handle := key<<shardBits | uint64(s.low[i])
			if limit == 0 {
				return handles, handle
			}
			limit--
			handles = append(handles, handle)
		}
	}
	return handles, 0
}

// between lists the handles from one on and below another (0: all), in order.
func (r *replicaSet) between(from, below uint64) (handles []uint64) {
	first, _ := slices.BinarySearch(r.keys, from>>shardBits)
	for _, key := range r.keys[first:] {
		for _, low := range r.shards[key].low {
			handle := key<<shardBits | uint64(low)
			if below != 0 && handle >= below {
				return handles
			}
			if handle >= from {
				handles = append(handles, handle)
			}
		}
	}
	return handles
}

func lowBits(handle uint64) uint16 { return uint16(handle & (1<<shardBits - 1)) }
