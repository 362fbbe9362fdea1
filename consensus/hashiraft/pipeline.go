package hashiraft

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipeline is the library's, with an end. The library's own sender can wait for
// ever: once a follower has refused entries, nobody takes the answers that
// follow, so nobody reads them, so no further request is taken; and only the
// sender itself would close the pipeline. Replication to that follower would
// stop for the rest of the lead, while heartbeats go on, and Shutdown would
// never return.
type pipeline struct {
	raft.AppendPipeline
	pass  func(*raft.AppendEntriesRequest) error
	set   *pipelines
	limit time.Duration
	timer *time.Timer // closes the pipeline; used by the one sender
}

// AppendEntriesPipeline carries entries.
func (t *transport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	inner, err := t.NetworkTransport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	p := &pipeline{AppendPipeline: inner, set: &t.pipelines, limit: t.slow}
	p.pass = func(args *raft.AppendEntriesRequest) error { return t.pass(id, args) }
	if !t.pipelines.add(p) {
		return nil, errors.Join(raft.ErrTransportShutdown, p.Close())
	}
	return p, nil
}

// AppendEntries waits for an answer to an earlier request, but not longer than
// such an answer may take.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if err := p.pass(args); err != nil {
		return nil, err
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(p.limit, func() { _ = p.AppendPipeline.Close() })
	} else {
		p.timer.Reset(p.limit)
	}
	defer p.timer.Stop()
	return p.AppendPipeline.AppendEntries(args, resp)
}

// Close ends the pipeline.
func (p *pipeline) Close() error {
	p.set.remove(p)
	return p.AppendPipeline.Close()
}

// pipelines are those that are open.
type pipelines struct {
	mu     sync.Mutex
	open   map[*pipeline]bool
	closed bool
}

func (s *pipelines) add(p *pipeline) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*pipeline]bool{}
	}
	s.open[p] = true
	return !s.closed
}

func (s *pipelines) remove(p *pipeline) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, p)
}

// close ends all, and those to come.
func (s *pipelines) close() {
	s.mu.Lock()
	s.closed = true
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for p := range open {
		_ = p.AppendPipeline.Close() // its connection is closed already
	}
}
