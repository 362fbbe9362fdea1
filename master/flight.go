package master

import (
	"context"

	"gfslab/api"
)

// flight is one grant or revocation in progress. A chunk has at most one; other
// callers wait for it. It runs in its own goroutine, because it outlives the
// caller that began it: others wait for the same result.
type flight struct {
	kind flightKind
	done chan struct{}
	// The results, to be read after done is closed. reply is nil if the flight
	// found nothing to do, or no chunk.
	reply *api.ChunkReply
	err   error
}

type flightKind uint8

const (
	granting flightKind = iota + 1
	revoking
)

// join returns the chunk's flight, and starts one of the given kind if there is
// none. mine is true if this call started it. It is nil when the master closes.
func (m *Master) join(term, handle uint64, kind flightKind) (f *flight, mine bool) {
	m.leases.mu.Lock()
	defer m.leases.mu.Unlock()
	if f := m.leases.flights[handle]; f != nil {
		return f, false
	}
	if m.leases.closed {
		return nil, false
	}
	f = &flight{kind: kind, done: make(chan struct{})}
	m.leases.flights[handle] = f
	m.wg.Add(1)
	go func() {
		defer m.wg.Done()
		m.fly(f, term, handle)
	}()
	return f, true
}

func (m *Master) fly(f *flight, term, handle uint64) {
	// Enough for a lease to run out and for a few rounds of calls.
	limit := 2*m.leases.term1 + 10*m.o.CallTimeout
	ctx, cancel := context.WithTimeout(m.closing, limit)
	defer cancel()
	if f.kind == granting {
		f.reply, f.err = m.grant(ctx, term, handle)
	} else {
		f.reply, f.err = m.revoke(ctx, term, handle)
	}
	m.leases.mu.Lock()
	delete(m.leases.flights, handle)
	m.leases.mu.Unlock()
	close(f.done)
}

// close lets no further flight begin.
func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
