package master

import "gfslab/master/meta"

// Sizes returns the numbers of files and directories, chunks, and sessions that
// this replica has applied.
func (m *Master) Sizes() (nodes, chunks, sessions int) {
	m.machine.view(func(s *meta.State) { nodes, chunks, sessions = s.Sizes() })
	return nodes, chunks, sessions
}
