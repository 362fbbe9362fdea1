package net

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// view is the network of one node; life, when not nil, ends it for good.
type view struct {
	f    *Fabric
	name string
	life chan struct{}
}

func (v view) dead() bool {
	select {
	case <-v.life: // blocks for ever when nil
		return true
	default:
		return false
	}
}

func (v view) Listen(addr string) (net.Listener, error) {
	l, err := v.f.under.Listen(addr)
	if err != nil {
		return nil, err
	}
	v.f.mu.Lock()
	dead := v.dead()
	if !dead {
		v.f.owners[addr], v.f.owners[l.Addr().String()] = v.name, v.name
		if v.life != nil {
			n := v.f.node(v.name)
			n.listeners = append(n.listeners, l)
		}
	}
	v.f.mu.Unlock()
	if dead {
		_ = l.Close()
		return nil, &net.OpError{Op: "listen", Net: "fabric", Addr: l.Addr(), Err: net.ErrClosed}
	}
	return l, nil
}

// path is what a dial needs to know of the way from one node to another.
type path struct {
	from, to   string
	ends       [2]*node
	closed     [2]chan struct{} // the ends' lives when the dial began
	out, in    *link
	refusedNow bool
}

func (v view) path(addr string) path {
	f := v.f
	f.mu.Lock()
	defer f.mu.Unlock()
	to, known := f.owners[addr]
	if !known {
		to = addr // nobody has listened there yet: a node of its own
	}
	here, there := f.node(v.name), f.node(to)
	return path{
		from: v.name, to: to, ends: [2]*node{here, there},
		closed: [2]chan struct{}{here.closed, there.closed},
		out:    f.link(v.name, to), in: f.link(to, v.name),
		refusedNow: here.down || there.down || v.dead(),
	}
}

// gate returns what to wait for before a SYN and its answer get through.
func (p path) gate() *chan struct{} {
	if g := p.out.gate.Load(); g != nil {
		return g
	}
	return p.in.gate.Load()
}

func (v view) Dial(ctx context.Context, addr string) (net.Conn, error) {
	f, p := v.f, v.path(addr)
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "fabric", Err: fmt.Errorf("%s to %s at %s: %w", p.from, p.to, addr, err)}
	}
	refuse := func() (net.Conn, error) {
		f.refused.Add(1)
		return fail(syscall.ECONNREFUSED)
	}
	if p.refusedNow {
		return refuse()
	}
	if p.gate() != nil {
		f.stalled.Add(1)
	}
	for gate := p.gate(); gate != nil; gate = p.gate() {
		select {
		case <-*gate:
		case <-p.closed[0]:
			return refuse()
		case <-p.closed[1]:
			return refuse()
		case <-ctx.Done():
			return fail(ctx.Err())
		}
	}
	under, err := f.under.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: under, f: f, ends: p.ends, out: p.out, in: p.in, closed: make(chan struct{})}
	if !f.register(c, p) {
		_ = under.Close()
		return refuse()
	}
	return c, nil
}

// register notes the connection at both ends, unless one of them died since
// the dial began, even if it lives again.
func (f *Fabric) register(c *conn, p path) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, n := range p.ends {
		if n.down || n.closed != p.closed[i] {
			return false
		}
	}
	for _, n := range p.ends {
		n.conns[c] = struct{}{}
	}
	return true
}
