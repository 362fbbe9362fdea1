package chunkserver

import (
	"context"
	"sync"

	"gfslab/api"
)

// masters are the addresses of the masters as known now, each with a goroutine
// that sends it heartbeats.
type masters struct {
	mu     sync.Mutex // never held while anything blocks
	index  uint64     // of the configuration that they are from; 0: the options'
	addrs  []string
	leader string // the last known one
	stops  map[string]context.CancelFunc
	// over is closed when the heartbeats to an address have ended, those of today or
	// earlier ones.
	over map[string]chan struct{}
}

// follow takes over a configuration of the masters, if it is newer than the one
// known: heartbeats go to its members and to nobody else from now on. Members
// that cannot be reached by clients are left out.
func (s *Server) follow(index uint64, members []*api.Member) {
	var addrs []string
	for _, m := range members {
		if m.Clients != "" {
			addrs = append(addrs, m.Clients)
		}
	}
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	if index > s.masters.index && len(addrs) > 0 {
		s.masters.index = index
		s.followLocked(addrs)
	}
}

// followLocked starts and stops heartbeats. Call with masters.mu held.
func (s *Server) followLocked(addrs []string) {
	m := &s.masters
	gone := m.stops
	m.addrs, m.stops = addrs, make(map[string]context.CancelFunc, len(addrs))
	if m.over == nil {
		m.over = make(map[string]chan struct{})
	}
	for _, addr := range addrs {
		if _, twice := m.stops[addr]; twice {
			continue
		}
		if stop, known := gone[addr]; known {
			m.stops[addr] = stop
			delete(gone, addr)
			continue
		}
		m.stops[addr] = s.reportTo(addr)
	}
	for _, stop := range gone {
		stop()
	}
}

// reportTo starts the heartbeats to a master when those that were stopped before have
// ended: two at a time would make one full report out of both halves of two. Call with
// masters.mu held.
func (s *Server) reportTo(addr string) context.CancelFunc {
	ctx, stop := context.WithCancel(s.ctx)
	before, over := s.masters.over[addr], make(chan struct{})
	s.masters.over[addr] = over
	s.background.Go(func() {
		defer close(over)
		if before != nil {
			<-before
		}
		s.heartbeats(ctx, addr)
		s.reports.forget(addr)
	})
	return stop
}

// membersIndex is the configuration of the masters that is known.
func (s *Server) membersIndex() uint64 {
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	return s.masters.index
}

// masterOrder lists the masters, the last known leader first.
func (s *Server) masterOrder() []string {
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	order := make([]string, 0, len(s.masters.addrs))
	start := 0
	for i, addr := range s.masters.addrs {
		if addr == s.masters.leader {
			start = i
		}
	}
	return append(append(order, s.masters.addrs[start:]...), s.masters.addrs[:start]...)
}

// knownLeader is the last known one, "" if none is.
func (s *Server) knownLeader() string {
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	return s.masters.leader
}

func (s *Server) setLeader(addr string) {
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	s.masters.leader = addr
}
