package paxostest

// nodes is the size of the clusters that are explored.
const nodes = 3

// global is a state of the whole world: the number of each node's local state.
type global [nodes]uint32

// stateTable is the set of visited states in the order in which they were
// found, each with its parent on a shortest path. It keeps 16 bytes a state and
// 11 to 21 for the index.
type stateTable struct {
	chunks [][]visited
	count  int
	// index is open addressing: position + 1, 0 = free, under the low half of the
	// hash, which tells most strangers apart without a look at their states.
	index []uint64
}

type visited struct {
	state  global
	parent uint32
}

const chunkStates = 1 << 16

func (t *stateTable) len() int               { return t.count }
func (t *stateTable) at(i uint32) global     { return t.chunks[i/chunkStates][i%chunkStates].state }
func (t *stateTable) parent(i uint32) uint32 { return t.chunks[i/chunkStates][i%chunkStates].parent }

// add reports whether s was not there yet.
func (t *stateTable) add(s global, parent uint32) bool {
	if 4*(t.count+1) > 3*len(t.index) {
		t.grow()
	}
	h := uint64(uint32(hash(s)))
	mask := uint64(len(t.index) - 1)
	at := h & mask
	for ; t.index[at] != 0; at = (at + 1) & mask {
		if e := t.index[at]; e>>32 == h && t.at(uint32(e)-1) == s {
			return false
		}
	}
	if t.count%chunkStates == 0 {
		t.chunks = append(t.chunks, make([]visited, chunkStates))
	}
	t.chunks[t.count/chunkStates][t.count%chunkStates] = visited{s, parent}
	t.count++
	t.index[at] = h<<32 | uint64(t.count)
	return true
}

func (t *stateTable) grow() {
	old := t.index
	t.index = make([]uint64, max(1<<12, 2*len(old)))
	mask := uint64(len(t.index) - 1)
	for _, e := range old {
		if e == 0 {
			continue
		}
		at := e >> 32 & mask
		for t.index[at] != 0 {
			at = (at + 1) & mask
		}
		t.index[at] = e
	}
}

func hash(s global) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, v := range s {
		h = (h ^ uint64(v)) * 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	return h
}
