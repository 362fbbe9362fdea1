package master

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gfslab/master/meta"
)

// reserve finds a target and a source for a clone and counts it at both. Call
// with mu held.
func (t *chunkservers) reserve(j *job, c *meta.Chunk, v *verdict, now time.Time) (wait time.Duration, ready bool) {
	sources := slices.Clone(v.confirmed)
	slices.SortStableFunc(sources, func(a, b string) int { return cmp.Compare(t.byName[a].busy, t.byName[b].busy) })
	blocked := false
	targets := t.candidates(now, func(s *chunkserver) bool {
		if slices.Contains(c.Members, s.name) || s.mayBeRemoving(c.Handle, now, t.o) {
			return true
		}
		blocked = blocked || s.busy >= t.o.CloneLimit
		return s.busy >= t.o.CloneLimit
	})
	switch {
	case len(sources) == 0:
		return noSourceWait, false
	case len(targets) == 0 && !blocked:
		return noTargetWait, false
	case len(targets) == 0 || t.byName[sources[0]].busy >= t.o.CloneLimit:
		return 0, false
	}
	j.target = spread(targets, t.racks(v.current), 1, t.rng)[0]
	j.sources = sources
	t.take(j)
	return 0, true
}

// take counts a clone at its target and its first source. Call with mu held.
func (t *chunkservers) take(j *job) {
	t.byName[j.target].busy++
	t.byName[j.target].incoming[j.handle] = true
	t.byName[j.target].recent.add(1, t.o.Now())
	t.byName[j.sources[0]].busy++
}

// release gives back what a job reserved.
func (t *chunkservers) release(j *job) {
	if j.target == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byName[j.target].busy--
	delete(t.byName[j.target].incoming, j.handle)
	t.byName[j.sources[0]].busy--
}

// racks counts replicas by rack. Call with mu held.
func (t *chunkservers) racks(names []string) map[string]int {
	racks := make(map[string]int)
	for _, name := range names {
		racks[t.byName[name].rack]++
	}
	return racks
}

// superfluous chooses the member to give up: one that is lost or corrupt, else
// one on the rack with most replicas, there the one whose disk is fullest.
func (t *chunkservers) superfluous(v *verdict) string {
	if rest := append(slices.Clone(v.lost), v.corrupt...); len(rest) > 0 {
		return rest[0]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	racks := t.racks(v.confirmed)
	return slices.MinFunc(v.confirmed, func(a, b string) int {
		x, y := t.byName[a], t.byName[b]
		return cmp.Or(cmp.Compare(racks[y.rack], racks[x.rack]), cmp.Compare(y.use(), x.use()), cmp.Compare(a, b))
	})
}

// cloned notes that the chunkserver has a good replica.
func (t *chunkservers) cloned(name string, handle, version, length uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byName[name]; c != nil && version <= maxVersion && length <= maxVersion {
		c.replicas.put(handle, heldReplica{version: uint32(version), length: uint32(length)}, false)
	}
}

// attend returns a context for a call that a chunk is held for. It ends early when
// the chunkserver counts as dead (one that restarted loses its connection anyway), or
// the term is over: a chunk is not to be kept from its clients for that, nor by a
// leader of old who leads again. done must be called.
func (m *Master) attend(ctx context.Context, term uint64, chunkserver string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		ticker := time.NewTicker(m.o.DeadAfter / 2)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			st := m.replica.Status()
			if !isLeader(st) || st.Term != term || m.servers.silent(chunkserver) {
				cancel()
				return
			}
		}
	})
	return ctx, func() { cancel(); watch.Wait() }
}
