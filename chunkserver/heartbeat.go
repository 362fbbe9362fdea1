package chunkserver

import (
	"context"
	"time"

	"gfslab/api"
)

// heartbeats reports to one master until ctx ends: the server closes, or the
// master is none any more. A master that does not answer holds up only its own
// reports.
func (s *Server) heartbeats(ctx context.Context, master string) {
	every := s.opts.HeartbeatEvery
	timer := time.NewTimer(0)
	defer timer.Stop()
	trouble := trouble{log: s.log.With("chunkserver", s.opts.Name, "master", master)}
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		s.removeRefused()
		s.forgetAcked()
		more, err := s.heartbeat(ctx, master, max(3*every, 100*time.Millisecond))
		if ctx.Err() != nil {
			return
		}
		trouble.note(s.opts.Now(), err)
		if more {
			timer.Reset(0)
			continue
		}
		timer.Reset(every)
	}
}

// reportTime is how much longer a master may take for each chunk of a report: one
// of a million is not sent, read and taken over within some heartbeats.
const reportTime = 10 * time.Microsecond

// heartbeat sends one report, and says whether there is more to tell at once. Only
// a leader's answer is obeyed, and only if its term is the highest seen. Any
// master's answer may tell of new masters, and ask for a full report.
func (s *Server) heartbeat(ctx context.Context, master string, timeout time.Duration) (more bool, err error) {
	conn, err := s.peers.get(master)
	if err != nil {
		return false, err
	}
	req, told := s.heartbeatRequest(master)
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Duration(len(req.Chunks))*reportTime)
	defer cancel()
	due := s.dueClaims(master)
	for _, d := range due {
		req.Claims = append(req.Claims, s.claimRequest(d.c, d.l))
	}
	sent := s.opts.Now()
	reply, err := api.NewMasterClient(conn).Heartbeat(ctx, req)
	if err != nil {
		return false, err
	}
	more = s.reports.done(master, told, reply.WantFull, reply.FullFrom)
	if reply.MembersIndex != 0 {
		s.follow(reply.MembersIndex, reply.Members)
	}
	if !reply.Leader || reply.Term < s.termSeen() {
		return more, nil
	}
	s.setLeader(master)
	if err := s.observeTerm(reply.Term); err != nil {
		s.log.Warn("cannot store the term", "chunkserver", s.opts.Name, "err", err)
		return more, nil // of the master there is nothing to complain
	}
	s.claimsAnswered(due, sent, reply.Claims)
	if len(reply.Remove) > 0 && s.removing.CompareAndSwap(false, true) {
		named := s.removals(reply.Term, reply.Remove)
		s.background.Go(func() {
			defer s.removing.Store(false)
			s.remove(reply.Term, named)
		})
	}
	return more, nil
}

// heartbeatRequest makes the next report to a master, and returns what it tells.
func (s *Server) heartbeatRequest(master string) (*api.HeartbeatRequest, tidings) {
	t := s.reports.next(master, s.opts.ReportChunks, s.allHandles)
	used, capacity := s.diskUse()
	req := &api.HeartbeatRequest{
		Cluster: s.opts.Cluster, Chunkserver: s.opts.Name, Address: s.opts.Address,
		Boot: s.Boot(), BootCount: s.bootCount(), BootStartedNs: s.started,
		MembersIndex: s.membersIndex(), Sequence: t.sequence,
		Rack: s.opts.Rack, UsedBytes: used, CapacityBytes: capacity,
	}
	req.Chunks, req.Gone = s.reportOn(t.handles)
	switch {
	case t.full:
		req.Full, req.Gone = true, nil
	case t.run != nil:
		req.Part = &api.ReportPart{From: t.run.from, Below: t.below}
	}
	return req, t
}
