package wire

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBytes is the room of one direction of a memory connection. It is like a
// socket buffer: gRPC and hashicorp/raft expect a write of their size to leave
// without a reader.
const pipeBytes = 256 << 10

// pipe is one direction. Waiters sleep on cond, which testing/synctest knows
// as idle; the mutex is never held while anything sleeps.
type pipe struct {
	mu   sync.Mutex
	cond sync.Cond
	// buf[r:] is unread; buf grows to pipeBytes and is compacted in place.
	buf []byte
	r   int
	// ready counts the unread bytes that have arrived; the others are still on
	// their way for up to latency.
	ready   int
	latency time.Duration
	// writerGone: no more bytes will come. readerGone: nobody will read.
	writerGone, readerGone bool
	readBy, writeBy        expiry
}

func newPipeHalf(latency time.Duration) *pipe {
	p := &pipe{latency: latency}
	p.cond.L = &p.mu
	return p
}

// expiry is a deadline: expired is set by a timer, under the pipe's mutex.
type expiry struct {
	timer   *time.Timer
	serial  uint64 // tells a late timer of an earlier deadline from the present one
	expired bool
}

func (p *pipe) setDeadline(e *expiry, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	e.serial++
	e.expired = false
	if t.IsZero() {
		return
	}
	wait := time.Until(t)
	if wait <= 0 {
		e.expired = true
		p.cond.Broadcast()
		return
	}
	serial := e.serial
	e.timer = time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if e.serial == serial {
			e.expired = true
			p.cond.Broadcast()
		}
	})
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readerGone:
			return 0, net.ErrClosed
		case p.readBy.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.ready > 0:
			n := copy(b, p.buf[p.r:p.r+p.ready])
			p.r += n
			p.ready -= n
			if p.r == len(p.buf) {
				p.buf, p.r = p.buf[:0], 0
			}
			p.cond.Broadcast()
			return n, nil
		case p.writerGone && p.r == len(p.buf):
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.writerGone:
			return n, net.ErrClosed
		case p.readerGone:
			return n, syscall.EPIPE
		case p.writeBy.expired:
			return n, os.ErrDeadlineExceeded
		}
		if room := pipeBytes - (len(p.buf) - p.r); room > 0 && len(b) > 0 {
			if p.r > 0 && len(p.buf)+min(room, len(b)) > cap(p.buf) {
				p.buf = append(p.buf[:0], p.buf[p.r:]...)
				p.r = 0
			}
			k := min(room, len(b))
			p.buf = append(p.buf, b[:k]...)
			b, n = b[k:], n+k
			p.send(k)
		}
		if len(b) == 0 {
			return n, nil
		}
		p.cond.Wait()
	}
}

// send lets n bytes arrive when their time has come. The mutex is held.
func (p *pipe) send(n int) {
	if p.latency == 0 {
		p.ready += n
		p.cond.Broadcast()
		return
	}
	time.AfterFunc(p.latency, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.readerGone {
			p.ready += n
			p.cond.Broadcast()
		}
	})
}

// pipeConn is one end of a memory connection.
type pipeConn struct {
	in, out       *pipe
	local, remote net.Addr
}

func newPipe(near, far net.Addr, latency time.Duration) (*pipeConn, *pipeConn) {
	a, b := newPipeHalf(latency), newPipeHalf(latency)
	return &pipeConn{in: a, out: b, local: near, remote: far}, &pipeConn{in: b, out: a, local: far, remote: near}
}

func (c *pipeConn) fault(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "mem", Source: c.local, Addr: c.remote, Err: err}
}

func (c *pipeConn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.fault("read", err)
}

func (c *pipeConn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.fault("write", err)
}

// Close ends both directions: the other end reads what is on its way, then
// io.EOF; its writes fail.
func (c *pipeConn) Close() error {
	c.in.mu.Lock()
	again := c.in.readerGone
	c.in.readerGone = true
	c.in.buf, c.in.r, c.in.ready = nil, 0, 0
	c.in.cond.Broadcast()
	c.in.mu.Unlock()

	c.out.mu.Lock()
	c.out.writerGone = true
	c.out.cond.Broadcast()
	c.out.mu.Unlock()

	_ = c.SetDeadline(time.Time{}) // stops the timers
	if again {
		return c.fault("close", net.ErrClosed)
	}
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

func (c *pipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}
