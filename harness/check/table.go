package check

import (
	"iter"
	"slices"
	"sort"
	"strings"
)

// keyed is what a table is sorted by.
type keyed interface{ key() string }

// table is a sorted table that is never changed: what puts something in or takes it
// away makes another one, which shares all but one block with it. So a state of the
// namespace can be kept for every step of a search.
type table[T keyed] struct{ blocks [][]T }

// tableBlock is how many entries a block has at first; with twice as many it is cut.
const tableBlock = 64

// newTable makes a table of entries that are sorted already.
func newTable[T keyed](sorted []T) table[T] {
	return table[T]{slices.Collect(slices.Chunk(sorted, tableBlock))}
}

// seek finds the first entry that is not before a key.
func (t table[T]) seek(key string) (block, i int, found bool) {
	block = sort.Search(len(t.blocks), func(b int) bool { return t.blocks[b][len(t.blocks[b])-1].key() >= key })
	if block < len(t.blocks) {
		i, found = slices.BinarySearchFunc(t.blocks[block], key, func(e T, key string) int { return strings.Compare(e.key(), key) })
	}
	return block, i, found
}

// get is the entry with a key, or nil.
func (t table[T]) get(key string) *T {
	if b, i, found := t.seek(key); found {
		return &t.blocks[b][i]
	}
	return nil
}

// with is the table with an entry put in, in place of the one with its key.
func (t table[T]) with(e T) table[T] {
	b, i, found := t.seek(e.key())
	if len(t.blocks) == 0 {
		return table[T]{[][]T{{e}}}
	}
	if b == len(t.blocks) { // it is the last one
		b, i = b-1, len(t.blocks[b-1])
	}
	block := make([]T, 0, len(t.blocks[b])+1)
	block = append(append(block, t.blocks[b][:i]...), e)
	if found {
		i++
	}
	block = append(block, t.blocks[b][i:]...)
	if len(block) < 2*tableBlock {
		return t.replace(b, block)
	}
	return t.replace(b, block[:tableBlock:tableBlock], block[tableBlock:])
}

// without is the table without the entry with a key.
func (t table[T]) without(key string) table[T] {
	b, i, found := t.seek(key)
	switch {
	case !found:
		return t
	case len(t.blocks[b]) == 1:
		return t.replace(b)
	}
	block := make([]T, 0, len(t.blocks[b])-1)
	return t.replace(b, append(append(block, t.blocks[b][:i]...), t.blocks[b][i+1:]...))
}

func (t table[T]) replace(b int, by ...[]T) table[T] {
	blocks := make([][]T, 0, len(t.blocks)+len(by)-1)
	return table[T]{append(append(append(blocks, t.blocks[:b]...), by...), t.blocks[b+1:]...)}
}

// from gives all entries that are not before a key.
func (t table[T]) from(key string) iter.Seq[T] {
	return func(yield func(T) bool) {
		b, i, _ := t.seek(key)
		for ; b < len(t.blocks); b, i = b+1, 0 {
			for _, e := range t.blocks[b][i:] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// equalTables reports whether two tables have the same entries. It need not look into
// blocks that they share.
func equalTables[T comparable](a, b [][]T) bool {
	var x, y []T // what is left of a block of each
	for {
		if len(x) == 0 && len(y) == 0 {
			for len(a) > 0 && len(b) > 0 && len(a[0]) == len(b[0]) && &a[0][0] == &b[0][0] {
				a, b = a[1:], b[1:]
			}
		}
		if len(x) == 0 && len(a) > 0 {
			x, a = a[0], a[1:]
		}
		if len(y) == 0 && len(b) > 0 {
			y, b = b[0], b[1:]
		}
		n := min(len(x), len(y))
		if n == 0 {
			return len(x) == len(y)
		}
		if !slices.Equal(x[:n], y[:n]) {
			return false
		}
		x, y = x[n:], y[n:]
	}
}
