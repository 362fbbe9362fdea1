package chunkserver

import (
	"container/list"
	"sync"

	"gfslab/api"
)

// dataKey names pushed data.
type dataKey struct {
	client string
	seq    uint64
}

func keyOf(id *api.DataId) dataKey { return dataKey{id.GetClient(), id.GetSeq()} }

// buffer keeps pushed data until its mutation, least recently used out first.
type buffer struct {
	mu       sync.Mutex
	limit    int64
	bytes    int64
	reserved int64      // of streams under way, counted like bytes
	order    *list.List // front = newest; values are *pushed
	items    map[dataKey]*list.Element
}

type pushed struct {
	key  dataKey
	data []byte
	crc  uint32
}

func newBuffer(limit int64) *buffer {
	return &buffer{limit: limit, order: list.New(), items: make(map[dataKey]*list.Element)}
}

// put stores data, which the buffer owns from then on. It reports false if the
// data alone exceeds the limit.
func (b *buffer) put(key dataKey, data []byte, crc uint32) bool {
	if int64(len(data)) > b.limit {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.items[key]; ok {
		b.remove(e)
	}
	b.items[key] = b.order.PushFront(&pushed{key, data, crc})
	b.bytes += int64(len(data))
	b.shrink()
	return true
}

// shrink forgets the oldest until the rest fits. Call it with mu held.
func (b *buffer) shrink() {
	for b.bytes+b.reserved > b.limit && b.order.Len() > 0 {
		b.remove(b.order.Back())
	}
}

// reserve counts n bytes that are on their way, and forgets old data for them. It
// reports false if those under way alone would exceed the limit.
func (b *buffer) reserve(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reserved+n > b.limit {
		return false
	}
	b.reserved += n
	b.shrink()
	return true
}

func (b *buffer) unreserve(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reserved -= n
}

// get returns the data without removing it; the caller must not change it.
func (b *buffer) get(key dataKey) (data []byte, crc uint32, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.items[key]
	if !ok {
		return nil, 0, false
	}
	b.order.MoveToFront(e)
	p := e.Value.(*pushed)
	return p.data, p.crc, true
}

// size is the number of bytes that wait.
func (b *buffer) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes + b.reserved
}

// drop forgets the data: each is used for one mutation.
func (b *buffer) drop(key dataKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.items[key]; ok {
		b.remove(e)
	}
}

func (b *buffer) remove(e *list.Element) {
	p := b.order.Remove(e).(*pushed)
	delete(b.items, p.key)
	b.bytes -= int64(len(p.data))
}
