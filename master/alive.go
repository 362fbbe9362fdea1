package master

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
