package master

import "time"

// AliveChunkservers is the number of chunkservers that this replica has heard
// from lately. It is soft state: it says nothing about what they hold.
func (m *Master) AliveChunkservers() int {
	now := m.o.Now()
	m.servers.mu.Lock()
	defer m.servers.mu.Unlock()
	n := 0
	for _, c := range m.servers.byName {
		if m.servers.alive(c, now) {
			n++
		}
	}
	return n
}

// silent reports whether nothing was heard of the chunkserver for so long that it
// counts as dead; one that was never heard of gets as long from our own start.
func (t *chunkservers) silent(name string) bool {
	now := t.o.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.byName[name]; c != nil {
		return !t.alive(c, now)
	}
	return now.Sub(t.started) > t.o.DeadAfter
}

// restartedSince reports whether the chunkserver was heard under a new boot, after
// another one, later than start.
func (t *chunkservers) restartedSince(name string, start time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[name]
	return c != nil && c.restarted.After(start)
}
