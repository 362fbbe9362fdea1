package chunkserver

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// lease is the right of this chunkserver to order a chunk's mutations. The
// chunk's mu guards it.
type lease struct {
	epoch, version, term uint64
	secondaries          []secondary

	// until is when the lease ends by the local clock; zero before the first claim.
	until    time.Time
	duration time.Duration // D
	ended    bool
	stop     chan struct{}  // closed when ended
	claimed  chan struct{}  // closed after the first claim, granted or not
	lastUse  time.Time      // of the last mutation asked for; zero if there was none
	wanted   chan struct{}  // holds a token when an old lease is used again
	renewed  chan time.Time // holds when the last heartbeat was sent that extended it
	strict   bool           // a full chunk is sealed at the master

	serial  uint64          // last one given out
	open    map[uint64]bool // serials under way
	settled uint64          // none at or below is under way
	pad     *padRun         // nil: the chunk was not padded under this lease
}

type secondary struct{ name, addr string }

func newLease(r *api.GrantRequest, self string) *lease {
	l := &lease{
		epoch: r.Epoch, version: r.Version, term: r.Term, open: make(map[uint64]bool),
		strict: r.Strict, stop: make(chan struct{}), claimed: make(chan struct{}), wanted: make(chan struct{}, 1),
		renewed: make(chan time.Time, 1),
	}
	for _, name := range r.Replicas {
		if name != self {
			l.secondaries = append(l.secondaries, secondary{name, r.Addresses[name]})
		}
	}
	return l
}

// resume carries on an epoch whose lease ran out while no master could extend
// it: the epoch still stands in the log, so a leader may confirm it once more,
// and mutations go on where they stopped. What was under way under the old lease
// will not be acknowledged; its serials stay open until it has settled, so both
// share the map (which c.mu guards).
func (l *lease) resume(old *lease) {
	l.serial, l.open, l.settled, l.pad = old.serial, old.open, old.settled, old.pad
}

// live reports whether the primary may act at now.
func (l *lease) live(now time.Time) bool { return !l.ended && now.Before(l.until) }

// use notes that a mutation was asked for. A lease that was left to expire is
// extended at once.
func (l *lease) use(now time.Time) {
	l.lastUse = now
	if l.until.Sub(now) < l.duration/2 {
		select {
		case l.wanted <- struct{}{}:
		default:
		}
	}
}

// next gives out a serial.
func (l *lease) next() uint64 {
	l.serial++
	l.open[l.serial] = true
	return l.serial
}

// finish settles a serial, whatever became of it.
func (l *lease) finish(serial uint64) {
	delete(l.open, serial)
	for l.settled < l.serial && !l.open[l.settled+1] {
		l.settled++
	}
}

// endLeaseLocked stops acting on l, which may be nil or over. c.mu must be held.
func (s *Server) endLeaseLocked(c *chunk, l *lease, reason string) {
	if l == nil || l.ended {
		return
	}
	l.ended = true
	close(l.stop)
	s.event(Event{Kind: EventStop, Handle: c.handle, Version: l.version, Epoch: l.epoch, Term: l.term, Reason: reason})
}

const (
	// claimTimeout bounds one claim at one master; an isolated leader must not
	// eat the time in which another could answer.
	claimTimeout = 200 * time.Millisecond
	// claimPause is between two rounds of claims that failed.
	claimPause = 10 * time.Millisecond
	// firstClaimWithin is when a primary gives up a lease that no master confirms.
	firstClaimWithin = 5 * time.Second
)

// holdLease claims the lease and extends it while it is used, until it ends.
func (s *Server) holdLease(c *chunk, l *lease) {
	give := s.opts.Now().Add(firstClaimWithin)
	first := true
	settle := func() {
		if first {
			first = false
			close(l.claimed)
		}
	}
	defer settle()
	for {
		sent, reply, err := s.claim(c, l)
		c.mu.Lock()
		now := s.opts.Now()
		switch {
		case l.ended:
			c.mu.Unlock()
			return
		case err == nil && !reply.Granted:
			s.endLeaseLocked(c, l, "the master refused the claim")
			c.mu.Unlock()
			return
		case err == nil:
			s.extendLocked(c, l, sent, time.Duration(reply.DurationNs))
		}
		until := l.until
		c.mu.Unlock()
		if until.IsZero() {
			until = give // not confirmed yet
		} else {
			settle()
		}
		if err == nil {
			for again := true; again; sent, again = s.extendByHeartbeat(c, l) {
				if !s.untilExtension(c, l, sent) {
					return
				}
			}
			continue
		}
		if !now.Before(until) {
			s.expire(c, l)
			return
		}
		if !s.pause(l, claimPause) {
			return
		}
	}
}

// extendLocked applies a confirmed claim: the lease runs from when the claim
// was sent. A claim that was sent earlier never shortens it.
func (s *Server) extendLocked(c *chunk, l *lease, sent time.Time, d time.Duration) {
	end := sent.Add(time.Duration(float64(d) * (1 - s.opts.Rho)))
	if end.After(l.until) {
		l.until, l.duration = end, d
	}
	s.event(Event{Kind: EventClaim, Handle: c.handle, Version: l.version, Epoch: l.epoch, Term: l.term, Until: l.until})
}

// untilExtension waits until the lease should be extended; false means that it
// is over. An unused lease is left to expire.
func (s *Server) untilExtension(c *chunk, l *lease, sent time.Time) bool {
	for {
		c.mu.Lock()
		third := l.duration / 3
		c.mu.Unlock()
		if third <= 0 || !s.pause(l, max(third-s.opts.Now().Sub(sent), third/8)) {
			s.expire(c, l)
			return false
		}
		c.mu.Lock()
		now := s.opts.Now()
		over := l.ended || !now.Before(l.until)
		used := !l.lastUse.IsZero() && now.Sub(l.lastUse) < l.duration
		left := l.until.Sub(now)
		c.mu.Unlock()
		if over {
			s.expire(c, l)
			return false
		}
		if used {
			return true
		}
		sent = now
		if left < third {
			// Wake up at the end at the latest.
			sent = now.Add(left - third)
		}
	}
}

// expire ends a lease whose time is over; it does nothing to another one.
func (s *Server) expire(c *chunk, l *lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.endLeaseLocked(c, l, "expired")
}

// pause waits; false means that the lease or the server ended.
func (s *Server) pause(l *lease, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.wanted:
		return true
	case <-l.stop:
		return false
	case <-s.ctx.Done():
		return false
	}
}

// claim asks the masters in turn, the last known leader first, and returns when
// the answered request was sent. A reply of a lower term than seen is void: an
// old leader must not extend.
func (s *Server) claim(c *chunk, l *lease) (time.Time, *api.ClaimReply, error) {
	req := s.claimRequest(c, l)
	err := errors.New("no masters")
	for _, at := range s.masterOrder() {
		var sent time.Time
		var reply *api.ClaimReply
		if sent, reply, err = s.claimAt(at, req); err == nil {
			if reply.Term < s.termSeen() {
				err = errStale
				continue
			}
			s.setLeader(at)
			if err = s.observeTerm(reply.Term); err != nil {
				return sent, nil, err
			}
			return sent, reply, nil
		}
		if s.ctx.Err() != nil {
			break
		}
	}
	return time.Time{}, nil, err
}

func (s *Server) claimAt(master string, req *api.ClaimRequest) (time.Time, *api.ClaimReply, error) {
	conn, err := s.peers.get(master)
	if err != nil {
		return time.Time{}, nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, claimTimeout)
	defer cancel()
	sent := s.opts.Now()
	reply, err := api.NewMasterClient(conn).ClaimLease(ctx, req)
	return sent, reply, err
}

var errNotPrimary = status.Error(codes.FailedPrecondition, "not primary of a live lease: nothing was done")
