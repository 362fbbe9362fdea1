package wire

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// connSet holds the open connections of one owner, so that a dead node's
// connections close with it.
type connSet struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// add takes c in; after closeAll it closes c and returns false.
func (s *connSet) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

// remove closes c and forgets it.
func (s *connSet) remove(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// forget forgets a connection that its user has closed.
func (s *connSet) forget(c net.Conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

func (s *connSet) closeAll() {
	s.mu.Lock()
	s.closed = true
	conns := make([]net.Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// acceptLoop accepts until the listener closes. Other errors (say, no free
// descriptor) pass with time: it tries again after a pause.
func acceptLoop(done context.Context, l net.Listener, log *slog.Logger, serve func(net.Conn)) {
	for done.Err() == nil {
		c, err := l.Accept()
		if err == nil {
			serve(c)
			continue
		}
		if isClosed(err) {
			return
		}
		log.Warn("accepting a connection failed", "addr", l.Addr().String(), "err", err)
		pause(done, nil, 20*time.Millisecond)
	}
}

// pause waits for d, for done, or for a poke, whichever comes first.
func pause(done context.Context, poke <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-poke:
	case <-done.Done():
	}
}

// logRefused reports a handshake that failed, unless the connection just ended.
func logRefused(done context.Context, log *slog.Logger, c net.Conn, err error) {
	if done.Err() != nil || errors.Is(err, io.EOF) {
		return
	}
	log.Warn("refused a connection", "addr", c.RemoteAddr().String(), "err", err)
}
