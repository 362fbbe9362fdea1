package net

import (
	"net"
	"os"
	"sync"
	"time"
)

// pieceBytes is the most that one Write hands down between two looks at the
// gate, so that a cut stops a long write in the middle.
const pieceBytes = 256 << 10

// conn is the dialer's end of a connection.
type conn struct {
	net.Conn
	f       *Fabric
	ends    [2]*node
	out, in *link
	once    sync.Once
	closed  chan struct{}

	readBy, writeBy deadline
	reading         heldRead
}

// heldRead keeps what was read from below but not yet let through a cut. Two
// readers at a time get every byte once, but in any order.
type heldRead struct {
	mu    sync.Mutex
	bytes []byte
	err   error
}

// Write passes b on once the link is whole.
func (c *conn) Write(b []byte) (int, error) {
	n := 0
	for {
		if c.out.gate.Load() != nil {
			if err := c.wait(c.out, &c.writeBy, "write"); err != nil {
				return n, err
			}
		}
		k, err := c.Conn.Write(b[n:min(len(b), n+pieceBytes)])
		n += k
		if err != nil || n >= len(b) {
			return n, err
		}
	}
}

// Read reads from below first and then waits at the gate: a read that already
// waited when the cut came must not let the bytes through. Bytes that a
// deadline leaves at the gate are kept for the next Read.
func (c *conn) Read(b []byte) (int, error) {
	h := &c.reading
	h.mu.Lock()
	held := len(h.bytes) > 0 || h.err != nil
	h.mu.Unlock()
	if !held {
		n, err := c.Conn.Read(b)
		if c.in.gate.Load() == nil || isTimeout(err) {
			return n, err
		}
		h.mu.Lock()
		h.bytes, h.err = append(h.bytes, b[:n]...), err
		h.mu.Unlock()
	}
	if err := c.wait(c.in, &c.readBy, "read"); err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := copy(b, h.bytes)
	h.bytes = h.bytes[n:]
	if len(h.bytes) > 0 {
		return n, nil
	}
	h.bytes = nil
	err := h.err
	h.err = nil
	return n, err
}

// wait returns nil once the link is whole. It looks at the deadline first, as
// every connection does.
func (c *conn) wait(l *link, d *deadline, op string) error {
	for stalled := false; ; {
		at, changed := d.get()
		if !at.IsZero() && !time.Now().Before(at) {
			return c.fault(op, os.ErrDeadlineExceeded)
		}
		select {
		case <-c.closed:
			return c.fault(op, net.ErrClosed)
		default:
		}
		gate := l.gate.Load()
		if gate == nil {
			return nil
		}
		if !stalled {
			stalled = true
			c.f.stalled.Add(1)
		}
		var expired <-chan time.Time
		var timer *time.Timer
		if !at.IsZero() {
			timer = time.NewTimer(time.Until(at))
			expired = timer.C
		}
		select {
		case <-*gate:
		case <-expired:
		case <-changed:
		case <-c.closed:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

func (c *conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "fabric", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// Close ends the connection at both ends and wakes everybody who waits at a gate.
func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.f.mu.Lock()
		for _, n := range c.ends {
			delete(n.conns, c)
		}
		c.f.mu.Unlock()
	})
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.set(t)
	c.writeBy.set(t)
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy.set(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.set(t)
	return c.Conn.SetWriteDeadline(t)
}

// deadline remembers a deadline for those who wait at a gate; it costs a timer
// only there.
type deadline struct {
	mu      sync.Mutex
	at      time.Time
	changed chan struct{} // made by a waiter, closed by the next set
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

func (d *deadline) get() (at time.Time, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.at, d.changed
}
