package master

import (
	"slices"
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// Replicas that nobody needs are removed by their chunkservers, which a leader
// tells so in its answers to heartbeats. The walk over the replicas finds
// suspects; whether one is to go is decided anew when it is named, by the state
// and the reports of that moment, under authority proven since the heartbeat came.

const (
	// nameMost is how many replicas one answer names, nameAgain after how long one
	// is named again that is still there.
	nameMost  = 128
	nameAgain = time.Second
)

// walkReplicas looks for replicas that are not needed, some at a time.
func (m *Master) walkReplicas(term uint64) {
	r, now := m.upkeep, m.o.Now()
	names := m.servers.names()
	r.mu.Lock()
	if len(r.left) == 0 && now.Sub(r.round) >= r.walkEvery() {
		r.left, r.round = names, now
	}
	r.mu.Unlock()
	for range replicaPages {
		r.mu.Lock()
		if r.term != term || !r.warm || len(r.left) == 0 {
			r.mu.Unlock()
			return
		}
		name := r.left[0]
		from := r.orphans[name]
		r.mu.Unlock()
		handles, next := m.servers.page(name, from, walkPage)
		m.suspect(name, handles)
		r.mu.Lock()
		if r.term == term {
			if r.orphans[name] = next; next == 0 {
				r.left = r.left[1:]
			}
		}
		r.mu.Unlock()
	}
}

// suspect looks at replicas of one chunkserver and notes those that may go.
func (m *Master) suspect(name string, handles []uint64) {
	chunks := make([]meta.Chunk, len(handles))
	known := make([]bool, len(handles))
	m.machine.view(func(s *meta.State) {
		for i, handle := range handles {
			var code meta.Code
			chunks[i], code = s.Chunk(handle)
			known[i] = code == meta.OK || chunks[i].Deleted
		}
	})
	now := m.o.Now()
	t := m.servers
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[name]
	if c == nil {
		return
	}
	for i, handle := range handles {
		member := known[i] && (slices.Contains(chunks[i].Members, name) || len(chunks[i].Members) == 0 || chunks[i].Deleted)
		if member {
			delete(c.suspects, handle)
			continue
		}
		since, suspected := c.suspects[handle]
		if !suspected {
			since = now
			c.suspects[handle] = now
		}
		named, before := c.removing[handle]
		switch {
		case !known[i] && now.Sub(since) < m.o.OrphanAge:
		case known[i] && !t.needless(c, &chunks[i], m.goal(&chunks[i]), now):
		case before && now.Sub(named) < nameAgain:
		case len(c.removed) < nameMost && !slices.Contains(c.removed, handle):
			c.removed = append(c.removed, handle)
		}
	}
}

// needless reports whether the chunkserver's replica of a chunk whose member it
// is not can go: the members that are alive and reported the version reach the
// goal, or it is corrupt and one of them is good. Call with mu held.
func (t *chunkservers) needless(c *chunkserver, chunk *meta.Chunk, goal int, now time.Time) bool {
	v := t.judge(chunk, goal, now)
	return len(v.confirmed) >= goal || len(v.confirmed) > 0 && c.replicas.isCorrupt(chunk.Handle)
}

// nameReplicas lists what the chunkserver is to remove. The caller has proven
// authority since the heartbeat came.
func (m *Master) nameReplicas(term uint64, name string) (remove []*api.ChunkReport) {
	t := m.servers
	t.mu.Lock()
	var handles []uint64
	if c := t.byName[name]; c != nil {
		handles, c.removed = c.removed, nil
	}
	t.mu.Unlock()
	var events []ReplicationEvent
	for _, handle := range handles {
		if x, reason, ok := m.mayGo(name, handle); ok {
			remove = append(remove, x)
			events = append(events, ReplicationEvent{
				At: m.o.Now(), Term: term, Kind: "remove", Handle: handle, Version: x.Version, Server: name, Reason: reason,
			})
		}
	}
	if len(remove) > 0 {
		m.upkeep.count(func(s *ReplicationStats) { s.NamedReplicas += uint64(len(remove)) })
	}
	for _, e := range events {
		m.o.OnReplication(e)
	}
	return remove
}

// mayGo decides about one replica. One that this leader works with is spared: a
// grant or a copy may have made it before the log knows of it, or a clone.
func (m *Master) mayGo(name string, handle uint64) (x *api.ChunkReport, reason string, ok bool) {
	if m.leases.inHand(handle) {
		return nil, "", false
	}
	chunk, code, _ := m.machine.chunk(handle)
	t, now := m.servers, m.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[name]
	if c == nil {
		return nil, "", false
	}
	held, found := c.replicas.get(handle)
	since, suspected := c.suspects[handle]
	switch {
	case !found || !suspected || c.incoming[handle]:
		return nil, "", false
	case code != meta.OK && chunk.Deleted:
		return nil, "", false
	case code != meta.OK:
		reason = "orphan"
		ok = now.Sub(since) >= m.o.OrphanAge
	case len(chunk.Members) == 0 || slices.Contains(chunk.Members, name):
	default:
		reason = "no member"
		if c.replicas.isCorrupt(handle) {
			reason = "corrupt"
		}
		ok = t.needless(c, &chunk, m.goal(&chunk), now)
	}
	if !ok {
		return nil, "", false
	}
	c.removing[handle] = now
	return &api.ChunkReport{Handle: handle, Version: uint64(held.version), Kind: api.ChunkKind(chunk.Kind)}, reason, true
}

// mayBeRemoving reports whether the chunkserver was told to remove its replica
// and may yet do so: what it answers late, or does late, must not take away a
// replica that was made there since. A heartbeat's answer is not obeyed after it
// ran into the chunkserver's timeout. Call with mu held.
func (c *chunkserver) mayBeRemoving(handle uint64, now time.Time, o Options) bool {
	named, told := c.removing[handle]
	return told && now.Sub(named) < 2*o.DeadAfter+o.CallTimeout
}

// gone notes that replicas are not there any more, and returns those that the
// chunkserver had been told to remove. Call with mu held.
func (c *chunkserver) gone(handles []uint64) (asked []uint64) {
	for _, handle := range handles {
		c.replicas.drop(handle)
		delete(c.suspects, handle)
		if _, told := c.removing[handle]; told {
			delete(c.removing, handle)
			asked = append(asked, handle)
		}
	}
	return asked
}

// goneBut is gone for all that a full report does not mention, of those that were
// suspected or named. Call with mu held, before the report is taken over.
func (c *chunkserver) goneBut(fresh *replicaSet) (asked []uint64) {
	var missing []uint64
	for handle := range c.suspects {
		if _, found := fresh.get(handle); !found {
			missing = append(missing, handle)
		}
	}
	for handle := range c.removing {
		if _, found := fresh.get(handle); !found {
			missing = append(missing, handle)
		}
	}
	slices.Sort(missing)
	return c.gone(slices.Compact(missing))
}

// names lists who is alive, in order.
func (t *chunkservers) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	var names []string
	for _, c := range t.byName {
		if t.alive(c, now) {
			names = append(names, c.name)
		}
	}
	slices.Sort(names)
	return names
}

// page lists replicas of one chunkserver; see replicaSet.page.
func (t *chunkservers) page(name string, from uint64, limit int) (handles []uint64, next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byName[name]; c != nil {
		return c.replicas.page(nil, from, limit)
	}
	return nil, 0
}

// hasRemovals reports whether the chunkserver is to be told something.
func (t *chunkservers) hasRemovals(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[name]
	return c != nil && len(c.removed) > 0
}
