package wire

import (
	"context"
	"net"
)

// Network opens listeners and connections. All methods may be called from any
// goroutine. Who opens something closes it.
type Network interface {
	// Listen opens a listener at addr; port 0 takes a free one.
	Listen(addr string) (net.Listener, error)
	// Dial connects to addr. It ends with an error when ctx ends first.
	Dial(ctx context.Context, addr string) (net.Conn, error)
}

// TCP returns the operating system's network. Connections have TCP_NODELAY
// set: wire coalesces by itself.
func TCP() Network { return tcp{} }

type tcp struct{}

func (tcp) Listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

func (tcp) Dial(ctx context.Context, addr string) (net.Conn, error) {
	// net.Dialer and accepted connections set TCP_NODELAY by themselves. Keep
	// alives are left out: consensus has heartbeats of its own.
	d := net.Dialer{KeepAlive: -1}
	return d.DialContext(ctx, "tcp", addr)
}
