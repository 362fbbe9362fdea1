package hashiraft

import (
	"sync"
	"sync/atomic"
)

// progress is an index that rises, and those who wait for it.
type progress struct {
	index atomic.Uint64

	mu      sync.Mutex
	waiting []target
}

type target struct {
	index   uint64
	reached chan struct{}
}

func (p *progress) load() uint64 { return p.index.Load() }

func (p *progress) reach(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if index <= p.index.Load() {
		return
	}
	p.index.Store(index)
	rest := p.waiting[:0]
	for _, t := range p.waiting {
		if t.index <= index {
			close(t.reached)
			continue
		}
		rest = append(rest, t)
	}
	clear(p.waiting[len(rest):])
	p.waiting = rest
}

// await returns a channel that closes once index is reached, nil if it is. A
// caller that gives up must say so to forget.
func (p *progress) await(index uint64) chan struct{} {
	if p.index.Load() >= index {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.index.Load() >= index {
		return nil
	}
	t := target{index, make(chan struct{})}
	p.waiting = append(p.waiting, t)
	return t.reached
}

func (p *progress) forget(reached chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, t := range p.waiting {
		if t.reached == reached {
			last := len(p.waiting) - 1
			p.waiting[i], p.waiting[last] = p.waiting[last], target{}
			p.waiting = p.waiting[:last]
			return
		}
	}
}
