package paxostest

// nodes is the size of the clusters that are explored.
const nodes = 3

// global is a state of the whole world: the number of each node's local state.
type global [nodes]uint32

// stateTable is the set of visited states in the order in which they were
// found, each with its parent on a shortest path. It keeps 16 bytes a state and
// 6 to 12 for the index.
type stateTable struct {
	chunks [][]visited
	count  int
	index  []uint32 // open addressing: position + 1, 0 = free
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
	at := t.find(s)
	if t.index[at] != 0 {
		return false
	}
	if t.count%chunkStates == 0 {
		t.chunks = append(t.chunks, make([]visited, chunkStates))
	}
	t.chunks[t.count/chunkStates][t.count%chunkStates] = visited{s, parent}
	t.count++
	t.index[at] = uint32(t.count)
	return true
}

// find returns the place of s in the index, or the free one where it belongs.
func (t *stateTable) find(s global) uint64 {
	mask := uint64(len(t.index) - 1)
	at := hash(s) & mask
	for t.index[at] != 0 && t.at(t.index[at]-1) != s {
		at = (at + 1) & mask
	}
	return at
}

func (t *stateTable) grow() {
	t.index = make([]uint32, max(1<<12, 2*len(t.index)))
	for i := range t.count {
		t.index[t.find(t.at(uint32(i)))] = uint32(i + 1)
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
