package master

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
)

// viewpoint is what a read saw besides the state: how its position is to be described.
// Every replica answers stale reads, as the paper's shadow masters do (section
// 5.1.3): from a prefix of the log, with how far that is behind.
type viewpoint struct {
	term   uint64
	stale  bool
	behind uint64
	lag    time.Duration
}

// fit makes the local state fit for a lookup: a linearizable one, or a stale one
// that holds at least the index atLeast.
func (m *Master) fit(ctx context.Context, stale bool, atLeast uint64) (viewpoint, error) {
	if !stale {
		if _, err := m.replica.ReadBarrier(ctx); err != nil {
			return viewpoint{}, m.o.Directory.ReadError(err)
		}
		return viewpoint{term: m.term()}, nil
	}
	r, ok := m.replica.(consensus.StaleReader)
	if !ok {
		return viewpoint{}, status.Error(codes.Unimplemented, "this replica serves no stale reads")
	}
	// The log may not reach that index for a long time, whoever asked for it.
	ctx, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	if _, err := r.ReadStale(ctx, atLeast); err != nil {
		return viewpoint{}, m.o.Directory.ReadError(err)
	}
	st := m.replica.Status()
	return viewpoint{
		term: st.Term, stale: true, behind: st.Committed - min(st.Applied, st.Committed), lag: m.contact.note(m.o.Now(), st),
	}, nil
}

// staleWait bounds how long a stale read waits for the index that it asks for.
const staleWait = 5 * time.Second

// position describes where in the log a read was.
func (m *Master) position(at seen, v viewpoint) *api.Position {
	p := m.place(at, v.term)
	if v.stale {
		p.Behind, p.LagNs = v.behind, int64(v.lag)
	}
	return p
}

// contact knows when this replica last had a leader. Replication tells no more
// than whether there is one: a follower loses it when it has not heard from it for
// an election timeout, and a leader that is cut off may think as long that it
// leads. So the lag is known to that precision, and never overstated by more than
// contactEvery.
type contact struct {
	mu   sync.Mutex // never held while anything blocks
	last time.Time
}

// contactEvery is how often the replica's status is looked at.
const contactEvery = 100 * time.Millisecond

// note takes a status into account and returns for how long there has been no
// leader.
func (c *contact) note(now time.Time, st consensus.Status) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.Leader != 0 || isLeader(st) {
		c.last = now
	}
	return max(0, now.Sub(c.last))
}

// watch keeps the contact up to date, so that the first stale read after a long
// silence knows how long that was.
func (m *Master) watch() {
	ticker := time.NewTicker(contactEvery)
	defer ticker.Stop()
	for {
		select {
		case <-m.closing.Done():
			return
		case <-ticker.C:
			m.contact.note(m.o.Now(), m.replica.Status())
		}
	}
}
