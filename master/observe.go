package master

import "gfslab/master/meta"

// Sizes returns the numbers of files and directories, chunks, and sessions that
// this replica has applied.
func (m *Master) Sizes() (nodes, chunks, sessions int) {
	m.machine.view(func(s *meta.State) { nodes, chunks, sessions = s.Sizes() })
	return nodes, chunks, sessions
}

// KnownLeases is how many leases this replica, as a leader, knows to be active or
// ending; 0 at a follower that never led.
func (m *Master) KnownLeases() int {
	term := m.term()
	m.leases.mu.Lock()
	defer m.leases.mu.Unlock()
	if m.leases.term != term {
		return 0
	}
	return len(m.leases.held)
}
