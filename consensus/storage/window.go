package storage

import "slices"

// window holds one value per index over a contiguous range of indexes. It
// grows at both ends; gaps hold the zero value.
type window[T any] struct {
	base  uint64 // index of items[0]
	items []T
}

// end is one past the last index.
func (w *window[T]) end() uint64 { return w.base + uint64(len(w.items)) }

// at returns the place of an index, nil outside the window.
func (w *window[T]) at(index uint64) *T {
	if index < w.base || index >= w.end() {
		return nil
	}
	return &w.items[index-w.base]
}

// reach extends the window to hold index and returns its place.
func (w *window[T]) reach(index uint64) *T {
	if len(w.items) == 0 {
		w.base = index
	}
	if index < w.base {
		grown := make([]T, w.end()-index)
		copy(grown[w.base-index:], w.items)
		w.base, w.items = index, grown
	}
	var zero T
	for index >= w.end() {
		w.items = append(w.items, zero)
	}
	return &w.items[index-w.base]
}

// dropFrom removes all indexes >= from.
func (w *window[T]) dropFrom(from uint64) {
	if from >= w.end() {
		return
	}
	keep := 0
	if from > w.base {
		keep = int(from - w.base)
	}
	clear(w.items[keep:])
	w.items = w.items[:keep]
}

// keepItems is how much room a window keeps that it does not use.
const keepItems = 1 << 10

// dropTo removes all indexes <= to. When more goes than stays, what stays is
// copied, so that the front goes back to the allocator at once; else the next
// growth does that.
func (w *window[T]) dropTo(to uint64) {
	if to < w.base {
		return
	}
	if to >= w.end() {
		clear(w.items)
		w.base, w.items = to+1, w.items[:0]
		if cap(w.items) > keepItems {
			w.items = nil
		}
		return
	}
	n := to + 1 - w.base
	clear(w.items[:n])
	w.items = w.items[n:]
	w.base += n
	if n > keepItems && n > uint64(len(w.items)) {
		w.items = slices.Clone(w.items)
	}
}
