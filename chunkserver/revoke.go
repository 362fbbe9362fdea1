package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gfslab/api"
)

var (
	errLeaseOver = errors.New("the lease ended before the write")
	errSlow      = errors.New("not durable in time")
)

// refusedError is a secondary's answer other than OK.
type refusedError struct {
	code   api.Code
	reason string
}

func (e *refusedError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.reason) }

const (
	// revokeTimeout bounds one request at one master, which may have to write two
	// entries to its log.
	revokeTimeout = time.Second
	// revokeWithin is when a primary stops asking: the lease runs out anyway.
	revokeWithin = 10 * time.Second
	revokePause  = 50 * time.Millisecond
)

// abandon ends the lease after a mutation failed on a replica, this one or
// another: with that replica in the grant no mutation will succeed. The master
// is asked to revoke, so that a new grant can come long before the lease runs
// out. No reasons are missing data, which is the client's to push again, and a
// disk of this chunkserver that takes its time, as it is not known to have failed.
// A replica that knows a higher version is no proof of a newer grant, as that may
// have come to nothing; if there is one, the master answers at once.
func (s *Server) abandon(c *chunk, l *lease, cause error) {
	var refused *refusedError
	switch {
	case errors.Is(cause, errLeaseOver), errors.Is(cause, errSlow), errors.As(cause, &refused) && refused.code == api.Code_NOT_FOUND:
		return
	}
	c.mu.Lock()
	over := l.ended || c.lease != l
	s.endLeaseLocked(c, l, cause.Error())
	c.mu.Unlock()
	if over || s.ctx.Err() != nil {
		return
	}
	s.stats.revocations.Add(1)
	s.background.Go(func() { s.askToRevoke(c.handle, l.epoch) })
}

// askToRevoke tells the leader that this primary acts no more.
func (s *Server) askToRevoke(handle, epoch uint64) {
	ctx, cancel := context.WithTimeout(s.ctx, revokeWithin)
	defer cancel()
	req := &api.LeaseRequest{Handle: handle, Epoch: epoch}
	for {
		for _, at := range s.masterOrder() {
			if s.revokeAt(ctx, at, req) == nil {
				s.setLeader(at)
				return
			}
		}
		timer := time.NewTimer(revokePause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (s *Server) revokeAt(ctx context.Context, master string, req *api.LeaseRequest) error {
	conn, err := s.peers.get(master)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	_, err = api.NewMasterClient(conn).RevokeLease(ctx, req)
	return err
}
