package chunkserver

import (
	"cmp"
	"maps"
	"slices"

	"gfslab/api"
)

// allChunks lists the replicas by handle.
func (s *Server) allChunks() []*chunk {
	s.mu.Lock()
	all := make([]*chunk, 0, len(s.chunks))
	for _, c := range s.chunks {
		all = append(all, c)
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *chunk) int { return cmp.Compare(a.handle, b.handle) })
	return all
}

// allHandles lists the handles of the replicas, in order.
func (s *Server) allHandles() []uint64 {
	s.mu.Lock()
	all := slices.AppendSeq(make([]uint64, 0, len(s.chunks)), maps.Keys(s.chunks))
	s.mu.Unlock()
	slices.Sort(all)
	return all
}

// reportOn describes those of the handles that are here, and lists the others.
func (s *Server) reportOn(handles []uint64) (there []*api.ChunkReport, gone []uint64) {
	for _, h := range handles {
		var r *api.ChunkReport
		if c := s.chunk(h); c != nil {
			r = c.report()
		}
		if r == nil {
			gone = append(gone, h)
			continue
		}
		there = append(there, r)
	}
	return there, gone
}

// report describes the durable replica; nil if there is none, or its disk failed.
func (c *chunk) report() *api.ChunkReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head.version == 0 || c.failed != nil {
		return nil
	}
	return &api.ChunkReport{Handle: c.handle, Version: c.head.version, Length: c.durable, Kind: c.head.kind, Corrupt: c.corrupt}
}
