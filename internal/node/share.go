package node

import (
	"io"
	"net"
	"sync"
	"time"
)

// peerMagic is how every connection between replicas begins (see package wire);
// what begins otherwise is a client's HTTP/2.
const peerMagic = "gfsw"

// greetingTimeout bounds the wait for a connection's first bytes.
const greetingTimeout = 5 * time.Second

// share splits a listener in two, so that a node needs one address only: peers
// gets the connections that begin with peerMagic, clients the others. The halves
// own the listener, which is closed with the second of them; connections for a
// half that is closed are closed too.
func share(l net.Listener) (peers, clients net.Listener) {
	s := &shared{under: l, open: 2, done: make(chan struct{})}
	p := &half{shared: s, conns: make(chan net.Conn), gone: make(chan struct{})}
	c := &half{shared: s, conns: make(chan net.Conn), gone: make(chan struct{})}
	s.wg.Go(func() { s.accept(p, c) })
	return p, c
}

// shared is the listener that two halves share.
type shared struct {
	under net.Listener
	done  chan struct{} // closed with the second half
	wg    sync.WaitGroup

	mu   sync.Mutex
	open int // halves
}

// half is one of the two listeners.
type half struct {
	*shared
	conns chan net.Conn
	gone  chan struct{} // closed with this half
	once  sync.Once
	err   error
}

func (s *shared) accept(peers, clients *half) {
	for pause := time.Millisecond; ; {
		conn, err := s.under.Accept()
		if err != nil {
			// Out of files, say: it may pass. A listener that is closed never heals.
			t := time.NewTimer(pause)
			select {
			case <-s.done:
				t.Stop()
				return
			case <-t.C:
				pause = min(2*pause, time.Second)
			}
			continue
		}
		pause = time.Millisecond
		s.wg.Go(func() { s.sort(conn, peers, clients) })
	}
}

// sort hands a connection to the half that its first bytes ask for.
func (s *shared) sort(conn net.Conn, peers, clients *half) {
	_ = conn.SetReadDeadline(time.Now().Add(greetingTimeout)) // fails only if the read does
	stop := make(chan struct{})
	defer close(stop)
	s.wg.Go(func() { // a silent connection must not outlive the listener
		select {
		case <-s.done:
			// The read below then ends; handing over will see done as well.
			_ = conn.SetReadDeadline(time.Unix(1, 0))
		case <-stop:
		}
	})
	first := make([]byte, len(peerMagic))
	if _, err := io.ReadFull(conn, first); err != nil || conn.SetReadDeadline(time.Time{}) != nil {
		conn.Close()
		return
	}
	to := clients
	if string(first) == peerMagic {
		to = peers
	}
	select {
	case to.conns <- &begun{Conn: conn, first: first}:
	case <-to.gone:
		conn.Close()
	}
}

// Accept implements net.Listener.
func (h *half) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.gone:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. With the second half it closes the listener, and
// waits for the connections that have not said yet what they are.
func (h *half) Close() error {
	h.once.Do(func() {
		close(h.gone)
		h.mu.Lock()
		h.open--
		last := h.open == 0
		h.mu.Unlock()
		if last {
			close(h.done)
			h.err = h.under.Close()
			h.wg.Wait()
		}
	})
	return h.err
}

// Addr implements net.Listener.
func (h *half) Addr() net.Addr { return h.under.Addr() }

// begun is a connection whose first bytes were read already.
type begun struct {
	net.Conn
	first []byte
}

// Read gives the first bytes again. Connections are read by one goroutine.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}
