package net

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gfslab/consensus/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fabrics runs a test over TCP, and over memory in a bubble.
func fabrics(t *testing.T, test func(t *testing.T, f *Fabric)) {
	t.Run("tcp", func(t *testing.T) { test(t, NewFabric(wire.TCP())) })
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, NewFabric(wire.NewMemory())) })
	})
}

// pair lets node a dial node b.
func pair(t *testing.T, f *Fabric) (a, b net.Conn) {
	t.Helper()
	l := listen(t, f.Node("b"))
	a, err := f.Node("a").Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func listen(t *testing.T, n wire.Network) net.Listener {
	t.Helper()
	l, err := n.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

const moment = 30 * time.Millisecond

// silent checks that nothing arrives on c for a moment.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(moment))
	if n, err := c.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a cut link let through %d bytes, err %v", n, err)
	}
	c.SetReadDeadline(time.Time{})
}

func arrives(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
	c.SetReadDeadline(time.Time{})
}

func send(c net.Conn, text string) <-chan error {
	errs := make(chan error, 1)
	go func() { _, err := c.Write([]byte(text)); errs <- err }()
	return errs
}

func TestOneWayCutStallsOneDirection(t *testing.T) {
	t.Run("caller to callee", func(t *testing.T) {
		fabrics(t, func(t *testing.T, f *Fabric) {
			a, b := pair(t, f)
			f.Cut("a", "b")
			stalled := send(a, "late")
			silent(t, b)
			if err := <-send(b, "back"); err != nil {
				t.Fatal(err)
			}
			arrives(t, a, "back")
			if got := f.Cuts(); !slices.Equal(got, []Link{{"a", "b"}}) {
				t.Fatalf("cuts %v", got)
			}
			f.Heal("a", "b")
			if err := <-stalled; err != nil {
				t.Fatal(err)
			}
			arrives(t, b, "late")
			if f.Stats().Stalled != 1 || len(f.Cuts()) != 0 {
				t.Fatalf("stats %+v, cuts %v", f.Stats(), f.Cuts())
			}
		})
	})
	t.Run("callee to caller", func(t *testing.T) {
		fabrics(t, func(t *testing.T, f *Fabric) {
			a, b := pair(t, f)
			f.Cut("b", "a")
			if err := <-send(b, "late"); err != nil {
				t.Fatal(err)
			}
			silent(t, a)
			silent(t, a) // the bytes that the deadline left behind are still there
			if err := <-send(a, "there"); err != nil {
				t.Fatal(err)
			}
			arrives(t, b, "there")
			f.HealAll()
			arrives(t, a, "late")
		})
	})
}

func TestReadThatWaitsWhenTheCutComes(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		a, b := pair(t, f)
		got := make(chan string, 1)
		go func() {
			buf := make([]byte, 10)
			n, err := a.Read(buf)
			got <- fmt.Sprint(string(buf[:n]), err)
		}()
		time.Sleep(time.Millisecond) // most likely the read waits below by now; right either way
		f.Cut("b", "a")
		if err := <-send(b, "late"); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-got:
			t.Fatalf("a cut link let through %q", s)
		case <-time.After(moment):
		}
		f.Heal("b", "a")
		if s := <-got; s != "late<nil>" {
			t.Fatalf("after the heal: %q", s)
		}
	})
}

func TestDeadlinesAndCloseWhileCut(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		a, _ := pair(t, f)
		f.Cut("a", "b")
		a.SetWriteDeadline(time.Now().Add(moment))
		start := time.Now()
		if err := <-send(a, "x"); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) < moment {
			t.Fatalf("write: %v after %v", err, time.Since(start))
		}
		// A deadline that is set while the write waits takes effect too.
		a.SetWriteDeadline(time.Time{})
		waiting := send(a, "x")
		for f.Stats().Stalled < 2 {
			time.Sleep(time.Millisecond)
		}
		a.SetDeadline(time.Now().Add(moment))
		if err := <-waiting; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("waiting write: %v", err)
		}
		a.SetDeadline(time.Time{})
		waiting = send(a, "x")
		for f.Stats().Stalled < 3 {
			time.Sleep(time.Millisecond)
		}
		a.Close()
		if err := <-waiting; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("write on a connection that closes: %v", err)
		}
	})
}

func TestEndOfConnectionStallsToo(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		a, b := pair(t, f)
		f.Cut("b", "a")
		b.Close()
		silent(t, a)
		f.Heal("b", "a")
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("after the heal: %v", err)
		}
	})
}

func TestDialAcrossACutHangs(t *testing.T) {
	for _, cut := range []Link{{"a", "b"}, {"b", "a"}} {
		t.Run(cut.String(), func(t *testing.T) {
			fabrics(t, func(t *testing.T, f *Fabric) {
				l := listen(t, f.Node("b"))
				f.Cut(cut.From, cut.To)
				start := time.Now() // before the deadline is fixed: this goroutine may be held up in between
				ctx, cancel := context.WithTimeout(t.Context(), moment)
				defer cancel()
				_, err := f.Node("a").Dial(ctx, l.Addr().String())
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) < moment {
					t.Fatalf("dial: %v after %v", err, time.Since(start))
				}
				dialed := make(chan error, 1)
				go func() {
					c, err := f.Node("a").Dial(t.Context(), l.Addr().String())
					if err == nil {
						c.Close()
					}
					dialed <- err
				}()
				for f.Stats().Stalled < 2 {
					time.Sleep(time.Millisecond)
				}
				f.HealAll()
				if err := <-dialed; err != nil {
					t.Fatalf("dial after the heal: %v", err)
				}
			})
		})
	}
}

func TestCloseNodeKillsAndRefuses(t *testing.T) {
	for _, victim := range []string{"a", "b"} {
		t.Run(victim, func(t *testing.T) {
			fabrics(t, func(t *testing.T, f *Fabric) {
				a, b := pair(t, f)
				l := listen(t, f.Node("b"))
				f.CloseNode(victim)
				if _, err := a.Read(make([]byte, 1)); err == nil {
					t.Fatal("the dialer's end lives on")
				}
				if _, err := b.Read(make([]byte, 1)); err != io.EOF {
					t.Fatalf("the listener's end: %v", err)
				}
				if _, err := f.Node("a").Dial(t.Context(), l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Fatalf("dial: %v", err)
				}
				if s := f.Stats(); s.Killed != 1 || s.Refused != 1 {
					t.Fatalf("stats %+v", s)
				}
				f.OpenNode(victim)
				c, err := f.Node("a").Dial(t.Context(), l.Addr().String())
				if err != nil {
					t.Fatalf("dial after OpenNode: %v", err)
				}
				c.Close()
			})
		})
	}
}

func TestCloseNodeEndsADialThatHangs(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		l := listen(t, f.Node("b"))
		f.Cut("a", "b")
		errs := make(chan error, 1)
		go func() { _, err := f.Node("a").Dial(t.Context(), l.Addr().String()); errs <- err }()
		for f.Stats().Stalled == 0 {
			time.Sleep(time.Millisecond)
		}
		f.CloseNode("a")
		if err := <-errs; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v", err)
		}
	})
}

func TestADeadIncarnationStaysSilent(t *testing.T) {
	fabrics(t, func(t *testing.T, f *Fabric) {
		other := listen(t, f.Node("b"))
		old := f.Incarnation("a")
		l := listen(t, old)
		f.CloseNode("a")
		f.OpenNode("a")
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the old listener: %v", err)
		}
		if _, err := old.Dial(t.Context(), other.Addr().String()); err == nil {
			t.Fatal("the old incarnation dialed")
		}
		if _, err := old.Listen("127.0.0.1:0"); err == nil {
			t.Fatal("the old incarnation listened")
		}
		again := f.Incarnation("a")
		listen(t, again)
		c, err := again.Dial(t.Context(), other.Addr().String())
		if err != nil {
			t.Fatalf("the new incarnation: %v", err)
		}
		c.Close()
	})
}
