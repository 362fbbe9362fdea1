package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair opens one connection on n.
func pair(t *testing.T, n Network, addr string) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := n.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err = n.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed, accepted
}

// networks runs a test on TCP, and on memory in a bubble.
func networks(t *testing.T, test func(t *testing.T, n Network)) {
	t.Run("tcp", func(t *testing.T) { test(t, TCP()) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, NewMemory()) })
	})
}

func TestConnCarriesBytesInOrder(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		a, b := pair(t, n, "127.0.0.1:0")
		const total = 3 << 20
		sent := make([]byte, total)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range sent {
			sent[i] = byte(rng.Uint32())
		}
		go func() {
			for rest := sent; len(rest) > 0; {
				k := min(len(rest), 1+rng.IntN(100_000))
				if _, err := a.Write(rest[:k]); err != nil {
					t.Error(err)
				}
				rest = rest[k:]
			}
			a.Close()
		}()
		got, err := io.ReadAll(b)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("read %d bytes (equal %v), err %v; want %d", len(got), bytes.Equal(got, sent), err, total)
		}
	})
}

func TestConnDeadlines(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		a, b := pair(t, n, "127.0.0.1:0")
		start := time.Now()
		a.SetReadDeadline(start.Add(30 * time.Millisecond))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v", err)
		}
		if d := time.Since(start); d < 30*time.Millisecond {
			t.Fatalf("the deadline fired after %v", d)
		}
		var timeout net.Error
		if _, err := a.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("read after the deadline: %v", err)
		}
		a.SetReadDeadline(time.Time{})
		if _, err := b.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if k, err := a.Read(make([]byte, 1)); k != 1 || err != nil {
			t.Fatalf("read after the deadline was lifted: %d, %v", k, err)
		}
		// A write that finds no room waits for its deadline.
		large := make([]byte, 64<<20)
		b.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if k, err := b.Write(large); !errors.Is(err, os.ErrDeadlineExceeded) || k == len(large) {
			t.Fatalf("write: %d, %v", k, err)
		}
		// A deadline set while a read waits takes effect.
		a2, b2 := pair(t, n, "127.0.0.1:0")
		errs := make(chan error, 1)
		go func() { _, err := a2.Read(make([]byte, 1)); errs <- err }()
		a2.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("waiting read: %v", err)
		}
		_ = b2
	})
}

func TestConnCloseWakesBothEnds(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		a, b := pair(t, n, "127.0.0.1:0")
		near, far := make(chan error, 1), make(chan error, 1)
		go func() { _, err := a.Read(make([]byte, 1)); near <- err }()
		go func() { _, err := b.Read(make([]byte, 1)); far <- err }()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-near; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("near end: %v", err)
		}
		if err := <-far; err != io.EOF {
			t.Fatalf("far end: %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("write on a closed connection: %v", err)
		}
	})
}

func TestMemoryWriterWakesWhenItsReaderCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, NewMemory(), "x:0")
		errs := make(chan error, 1)
		go func() { _, err := a.Write(make([]byte, pipeBytes+1)); errs <- err }()
		synctest.Wait()
		b.Close()
		if err := <-errs; !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("write: %v", err)
		}
	})
}

func TestMemoryDialAndListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewMemory()
		if _, err := n.Dial(t.Context(), "nobody:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial without a listener: %v", err)
		}
		l, err := n.Listen("a:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen("a:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("second listener: %v", err)
		}
		seen := map[string]bool{}
		var last net.Conn
		for range backlog {
			if last, err = n.Dial(t.Context(), "a:1"); err != nil {
				t.Fatal(err)
			}
			seen[last.LocalAddr().String()] = true
		}
		if len(seen) != backlog {
			t.Fatalf("%d local addresses of %d connections", len(seen), backlog)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Dial(ctx, "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dial with a full backlog: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := last.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a connection that nobody accepted: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept after close: %v", err)
		}
		if l, err = n.Listen("a:1"); err != nil {
			t.Fatalf("the address is not free after Close: %v", err)
		}
		l.Close()
	})
}

func TestMemoryLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 3 * time.Millisecond
		a, b := pair(t, NewMemoryWithLatency(latency), "x:0")
		start := time.Now()
		for i := range 3 {
			if _, err := a.Write([]byte{byte(i), 7}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("writing took %v", took)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if err != nil || string(got) != "\x00\x07\x01\x07\x02\x07" {
			t.Errorf("read %q, %v", got, err)
		}
		if took := time.Since(start); took != latency {
			t.Errorf("the bytes took %v, want %v", took, latency)
		}
	})
}
