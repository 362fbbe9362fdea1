package node

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// Each half gets the connections meant for it, whole; a silent one reaches
// neither, and does not keep the listener from closing.
func TestShareSortsConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peers, clients := share(l)
	dial := func(greeting string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, greeting); err != nil {
			t.Fatal(err)
		}
		return c
	}
	silent := dial("gfs")
	defer silent.Close()
	for greeting, half := range map[string]net.Listener{"gfsw and more": peers, "PRI * HTTP/2.0": clients, "gfsx": clients} {
		c := dial(greeting)
		defer c.Close()
		got, err := half.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		text := make([]byte, len(greeting))
		if _, err := io.ReadFull(got, text); err != nil || string(text) != greeting {
			t.Fatalf("%q arrived as %q: %v", greeting, text, err)
		}
	}
	if err := clients.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := clients.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed half: %v", err)
	}
	late, peer := dial("PRI * HTTP/2.0"), dial("gfsw")
	defer late.Close()
	defer peer.Close()
	if got, err := peers.Accept(); err != nil {
		t.Errorf("the half that is open: %v", err)
	} else {
		got.Close()
	}
	if _, err := late.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection for the closed half: %v", err)
	}
	begin := time.Now()
	if err := peers.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > greetingTimeout/2 {
		t.Errorf("it took %v to close", took)
	}
	if _, err := peers.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other half: %v", err)
	}
}
