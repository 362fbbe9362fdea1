package engine

import (
	"sync"

	"gfslab/consensus"
)

// Bounds on frames that the loop has not yet taken. A connection that would
// exceed them waits, which the peer's sending queue then feels.
const (
	inboxFrames = 4096
	inboxBytes  = 64 << 20
)

type frame struct {
	from consensus.NodeID
	data []byte
}

// input is everything that happened since the loop last looked.
type input struct {
	frames   []frame
	bytes    int
	wrote    bool
	writeErr error
	applied  uint64
	readers  []*reader
	rare     []rare
}

// rare is what happens seldom: a step of a snapshot, or a call of a method
// that is not on the path of commands and reads. do runs on the loop; drop runs
// instead when the replica speaks no more, or for ever closes, with the reason.
type rare struct {
	do   func()
	drop func(reason error)
}

func (in *input) reset() {
	in.frames, in.readers, in.rare = clearSlice(in.frames), clearSlice(in.readers), clearSlice(in.rare)
	in.bytes, in.wrote, in.writeErr, in.applied = 0, false, nil, 0
}

// inbox gathers input from other goroutines; the loop takes all of it at once.
type inbox struct {
	wake chan struct{} // room for one signal

	mu     sync.Mutex
	room   sync.Cond // of mu: frames were taken, or the inbox was closed
	in     input
	closed bool
}

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

// poke wakes the loop.
func (b *inbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// frame adds a message, after waiting for room; a closed inbox drops it.
func (b *inbox) frame(from consensus.NodeID, data []byte) {
	b.mu.Lock()
	for !b.closed && len(b.in.frames) > 0 && (len(b.in.frames) >= inboxFrames || b.in.bytes+len(data) > inboxBytes) {
		b.room.Wait()
	}
	if !b.closed {
		b.in.frames = append(b.in.frames, frame{from, data})
		b.in.bytes += len(data)
	}
	b.mu.Unlock()
	b.poke()
}

func (b *inbox) wrote(err error) {
	b.mu.Lock()
	b.in.wrote, b.in.writeErr = true, err
	b.mu.Unlock()
	b.poke()
}

func (b *inbox) appliedTo(index uint64) {
	b.mu.Lock()
	b.in.applied = index
	b.mu.Unlock()
	b.poke()
}

// read adds a reader; it reports false when the inbox is closed.
func (b *inbox) read(r *reader) bool {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.in.readers = append(b.in.readers, r)
	}
	b.mu.Unlock()
	if !closed {
		b.poke()
	}
	return !closed
}

// later lets the loop do something; it reports false when the inbox is closed.
// After true either do or drop will run.
func (b *inbox) later(do func(), drop func(error)) bool {
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.in.rare = append(b.in.rare, rare{do, drop})
	}
	b.mu.Unlock()
	if !closed {
		b.poke()
	}
	return !closed
}

// take swaps what was gathered into in, which must be empty.
func (b *inbox) take(in *input) {
	b.mu.Lock()
	if len(b.in.frames) > 0 {
		b.room.Broadcast()
	}
	b.in, *in = *in, b.in
	b.mu.Unlock()
}

// close drops what comes from now on and lets those go that wait for room.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.room.Broadcast()
	b.mu.Unlock()
}
