package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// backlog is how many dialed connections a memory listener holds before they
// are accepted.
const backlog = 256

// Memory is a network within the process, made of buffered pipes. It needs no
// system call, so that it works in a testing/synctest bubble: create it inside
// the bubble that uses it.
type Memory struct {
	latency   time.Duration
	mu        sync.Mutex
	listeners map[string]*memoryListener
	nextPort  int
	nextConn  uint64
}

// NewMemory returns an empty network.
func NewMemory() *Memory {
	return &Memory{listeners: map[string]*memoryListener{}, nextPort: 20000}
}

// NewMemoryWithLatency returns a network on which every byte takes that long to
// arrive, as on a link with room for everything. In virtual time a network
// without latency lets a closed loop of readers run for ever within an instant.
func NewMemoryWithLatency(latency time.Duration) *Memory {
	m := NewMemory()
	m.latency = latency
	return m
}

// Listen opens a listener. Any text is an address; one that ends in ":0" gets
// a port that is free.
func (m *Memory) Listen(addr string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if host, ok := strings.CutSuffix(addr, ":0"); ok {
		for addr = ""; addr == ""; m.nextPort++ {
			if a := host + ":" + strconv.Itoa(m.nextPort); m.listeners[a] == nil {
				addr = a
			}
		}
	}
	if m.listeners[addr] != nil {
		return nil, &net.OpError{Op: "listen", Net: "mem", Addr: memoryAddr(addr), Err: syscall.EADDRINUSE}
	}
	l := &memoryListener{
		network: m, addr: memoryAddr(addr),
		queue: make(chan *pipeConn, backlog), closed: make(chan struct{}),
	}
	m.listeners[addr] = l
	return l, nil
}

// Dial connects to the listener at addr and is refused when there is none.
// Like TCP it succeeds before the other side accepts; with a full backlog it
// waits until ctx ends.
func (m *Memory) Dial(ctx context.Context, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "mem", Addr: memoryAddr(addr), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	m.mu.Lock()
	l := m.listeners[addr]
	m.nextConn++
	local := memoryAddr(fmt.Sprintf("mem:%d", m.nextConn))
	m.mu.Unlock()
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	near, far := newPipe(local, l.addr, m.latency)
	select {
	case l.queue <- far:
	case <-l.closed:
		return fail(syscall.ECONNREFUSED)
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	select {
	case <-l.closed: // the listener may have drained its queue before we put ours in
		_ = near.Close()
		_ = far.Close()
		return fail(syscall.ECONNREFUSED)
	default:
	}
	return near, nil
}

// memoryAddr is the address of one end of a memory connection.
type memoryAddr string

func (memoryAddr) Network() string  { return "mem" }
func (a memoryAddr) String() string { return string(a) }

type memoryListener struct {
	network *Memory
	addr    memoryAddr
	queue   chan *pipeConn
	closed  chan struct{}
}

var errListenerClosed = fmt.Errorf("wire: listener: %w", net.ErrClosed)

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, errListenerClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, errListenerClosed
	}
}

// Close frees the address and resets the connections that nobody accepted.
func (l *memoryListener) Close() error {
	l.network.mu.Lock()
	if l.network.listeners[string(l.addr)] != l {
		l.network.mu.Unlock()
		return errListenerClosed
	}
	delete(l.network.listeners, string(l.addr))
	close(l.closed)
	l.network.mu.Unlock()
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

func (l *memoryListener) Addr() net.Addr { return l.addr }

// isClosed tells an orderly end of a listener from a fault.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
