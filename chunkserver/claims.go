package chunkserver

import (
	"sync"
	"time"

	"gfslab/api"
)

// claims are the leases that are due for an extension: the next heartbeat to the
// leader asks for all of them at once. The first claim of a grant goes by itself,
// and so does one that no heartbeat has extended in time.
type claims struct {
	mu  sync.Mutex // never held while anything blocks
	due map[*lease]*chunk
}

// maxClaims is how many claims one heartbeat carries.
const maxClaims = 1 << 14

type dueClaim struct {
	c *chunk
	l *lease
}

// extendByHeartbeat leaves the extension to the next heartbeats and returns when
// the one that did it was sent; false: none did, or there is no time to wait.
func (s *Server) extendByHeartbeat(c *chunk, l *lease) (time.Time, bool) {
	c.mu.Lock()
	patience := min(l.duration/6, 5*s.opts.HeartbeatEvery/2)
	c.mu.Unlock()
	if patience < s.opts.HeartbeatEvery {
		return time.Time{}, false
	}
	s.claims.mu.Lock()
	if s.claims.due == nil {
		s.claims.due = make(map[*lease]*chunk)
	}
	s.claims.due[l] = c
	s.claims.mu.Unlock()
	defer func() {
		s.claims.mu.Lock()
		delete(s.claims.due, l)
		s.claims.mu.Unlock()
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case sent := <-l.renewed:
		return sent, true
	case <-timer.C:
	case <-l.stop:
	case <-s.ctx.Done():
	}
	return time.Time{}, false
}

// dueClaims lists what a heartbeat to the master should extend: nothing if it is
// not the last known leader.
func (s *Server) dueClaims(master string) []dueClaim {
	if s.knownLeader() != master {
		return nil
	}
	s.claims.mu.Lock()
	defer s.claims.mu.Unlock()
	due := make([]dueClaim, 0, len(s.claims.due))
	for l, c := range s.claims.due {
		if len(due) == maxClaims {
			break // a master takes no more in one heartbeat; the next one asks for the rest
		}
		due = append(due, dueClaim{c, l})
	}
	return due
}

func (s *Server) claimRequest(c *chunk, l *lease) *api.ClaimRequest {
	return &api.ClaimRequest{Chunkserver: s.opts.Name, Handle: c.handle, Version: l.version, Epoch: l.epoch}
}

// claimsAnswered applies the leader's answers to the heartbeat that was sent then.
func (s *Server) claimsAnswered(due []dueClaim, sent time.Time, replies []*api.ClaimReply) {
	if len(replies) != len(due) {
		return // a master that does not know of claims in heartbeats
	}
	for i, d := range due {
		if replies[i].Term < s.termSeen() {
			continue
		}
		d.c.mu.Lock()
		switch {
		case d.l.ended:
		case !replies[i].Granted:
			s.endLeaseLocked(d.c, d.l, "the master refused the claim")
		default:
			s.extendLocked(d.c, d.l, sent, time.Duration(replies[i].DurationNs))
			select {
			case d.l.renewed <- sent:
			default:
			}
		}
		d.c.mu.Unlock()
	}
}
