package master

import (
	"cmp"
	"slices"
	"time"

	"gfslab/master/meta"
)

// Limits of one look at the chunks or replicas: how long a lock is held, and how
// much is looked at in a tick.
const (
	walkPage   = 1024
	walkPages  = 4  // a tick
	hurryPages = 64 // a tick, after a chunkserver came or went
	// replicaPages is how many pages of replicas are looked at in a tick.
	replicaPages = 8
	// walkEvery is the least time between the beginnings of two walks.
	walkEvery = 2500 * time.Millisecond
	// hiddenEvery is how often all hidden files are looked at while there is a queue.
	hiddenEvery = 5 * time.Second
)

// walkEvery is shorter where cloning is to begin sooner.
func (r *replication) walkEvery() time.Duration {
	if r.o.ReplicateAfter < 0 {
		return walkEvery
	}
	return min(walkEvery, r.o.ReplicateAfter/4)
}

// walkChunks looks at the next chunks, or at all that matters if a chunkserver
// came or went.
func (m *Master) walkChunks(term uint64) {
	r := m.upkeep
	alive := m.servers.aliveNames()
	r.mu.Lock()
	if alive != r.alive {
		r.alive, r.next, r.hurry = alive, 0, true
	}
	from, pages, now := r.next, walkPages, m.o.Now()
	if r.hurry {
		pages = hurryPages
	}
	rest := from == 0 && !r.hurry && now.Sub(r.began) < r.walkEvery()
	if from == 0 && !rest {
		r.began = now
	}
	r.mu.Unlock()
	if rest {
		return
	}
	for range pages {
		var chunks []meta.Chunk
		first := from
		m.machine.view(func(s *meta.State) { chunks, from = s.ChunksFrom(from, walkPage) })
		m.lookAt(term, chunks)
		m.upkeep.forget(first, from, chunks)
		if from == 0 {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.term != term {
		return
	}
	r.next = from
	if from == 0 {
		r.walks++
		r.hurry = false
	}
}

// forget drops chunks from lo on and below hi (0: all) that are no more.
func (r *replication) forget(lo, hi uint64, chunks []meta.Chunk) {
	known := func(handle uint64) bool {
		_, found := slices.BinarySearchFunc(chunks, handle, func(c meta.Chunk, h uint64) int { return cmp.Compare(c.Handle, h) })
		return found
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.under.keep(lo, hi, known)
	r.without.keep(lo, hi, known)
}

// walkHidden finds out which of the chunks in the queue no file has any more but
// hidden ones: those come later.
func (m *Master) walkHidden(term uint64) {
	r, now := m.upkeep, m.o.Now()
	r.mu.Lock()
	due := r.term == term && r.warm && r.queue.waiting() > 1 && now.Sub(r.hidden) >= hiddenEvery
	hidden := make(map[uint64]uint64) // how many hidden files have a chunk of the queue
	if due {
		r.hidden = now
		for handle := range r.queue.tasks {
			hidden[handle] = 0
		}
	}
	r.mu.Unlock()
	if !due {
		return
	}
	var walk *meta.Walk
	m.machine.view(func(s *meta.State) { walk = s.WalkHidden() })
	for done := false; !done && m.closing.Err() == nil; {
		m.machine.view(func(s *meta.State) {
			done = walk.Step(s, walkPage, func(_ uint64, _ bool, handles []uint64) {
				for _, handle := range handles {
					if n, queued := hidden[handle]; queued {
						hidden[handle] = n + 1
					}
				}
			})
		})
	}
	alone := make(map[uint64]bool, len(hidden))
	for handle, n := range hidden {
		if n > 0 {
			c, code, _ := m.machine.chunk(handle)
			alone[handle] = code == meta.OK && n >= c.Refs
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for handle := range hidden {
		if r.term == term {
			r.queue.hide(handle, alone[handle], now)
		}
	}
}
