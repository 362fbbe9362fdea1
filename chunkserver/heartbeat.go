package chunkserver

import (
	"context"
	"time"

	"gfslab/api"
)

// heartbeats reports to one master until the server closes. A master that does
// not answer holds up only its own reports.
func (s *Server) heartbeats(master int) {
	every := s.opts.HeartbeatEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.ctx.Done():
			return
		}
		s.heartbeat(master, max(3*every, 100*time.Millisecond))
		timer.Reset(every)
	}
}

// heartbeat sends one report. Only a leader's answer counts, and only if its
// term is the highest seen.
func (s *Server) heartbeat(master int, timeout time.Duration) {
	conn, err := s.peers.get(s.opts.Masters[master])
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	reply, err := api.NewMasterClient(conn).Heartbeat(ctx, &api.HeartbeatRequest{
		Chunkserver: s.opts.Name, Address: s.opts.Address, Boot: s.Boot(), Chunks: s.report(),
	})
	if err != nil || !reply.Leader || reply.Term < s.termSeen() {
		return
	}
	s.setLeader(master)
	if err := s.observeTerm(reply.Term); err != nil {
		s.log.Warn("cannot store the term", "chunkserver", s.opts.Name, "err", err)
	}
}
