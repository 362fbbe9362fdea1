package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gfslab/consensus"
)

type inbox struct {
	mu   sync.Mutex
	got  [][]byte
	from []consensus.NodeID
	more chan struct{}
}

func newInbox() *inbox { return &inbox{more: make(chan struct{}, 1)} }

func (b *inbox) handle(from consensus.NodeID, frame []byte) {
	b.mu.Lock()
	b.got, b.from = append(b.got, frame), append(b.from, from)
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// wait returns the messages once there are n of them.
func (b *inbox) wait(t *testing.T, n int) [][]byte {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		b.mu.Lock()
		got := b.got
		b.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-b.more:
		case <-deadline:
			t.Fatalf("%d messages arrived; want %d", len(got), n)
		}
	}
}

func text(s string) func([]byte) []byte {
	return func(dst []byte) []byte { return append(dst, s...) }
}

// open opens transports 1..n that know each other.
func open(t *testing.T, n Network, boxes []*inbox, adjust func(*TransportOptions)) ([]*Transport, []consensus.Peer) {
	t.Helper()
	var listeners []net.Listener
	var peers []consensus.Peer
	for i := range boxes {
		l, err := n.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: l.Addr().String()})
	}
	var ts []*Transport
	for i, b := range boxes {
		o := TransportOptions{
			Cluster: "test", Self: peers[i].ID, Peers: peers, Listener: listeners[i], Network: n,
			Seed: 1, Handler: b.handle,
		}
		if adjust != nil {
			adjust(&o)
		}
		tr, err := NewTransport(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		ts = append(ts, tr)
	}
	return ts, peers
}

func TestTransportDeliversInOrder(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		boxes := []*inbox{newInbox(), newInbox(), newInbox()}
		ts, _ := open(t, n, boxes, nil)
		const each = 2000
		for i := range each {
			for to := consensus.NodeID(2); to <= 3; to++ {
				if !ts[0].Send(to, 8, text(fmt.Sprintf("%d>%d", i, to))) {
					t.Fatalf("message %d was dropped", i)
				}
			}
		}
		for to := 2; to <= 3; to++ {
			for i, m := range boxes[to-1].wait(t, each) {
				if want := fmt.Sprintf("%d>%d", i, to); string(m) != want {
					t.Fatalf("message %d to node %d is %q, want %q", i, to, m, want)
				}
			}
			if from := boxes[to-1].from[0]; from != 1 {
				t.Fatalf("node %d heard of node %d, want 1", to, from)
			}
		}
		if ts[0].Send(9, 1, text("x")) || ts[0].Send(1, 1, text("x")) {
			t.Fatal("a message to a stranger, or to itself, was taken")
		}
		c := ts[0].Counters()
		if c.Messages != 2*each || c.Dropped != 2 || c.Dials != 2 {
			t.Fatalf("counters %+v", c)
		}
	})
}

// gated lets no dial through before its gate opens.
type gated struct {
	Network
	gate chan struct{}
}

func (g gated) Dial(ctx context.Context, addr string) (net.Conn, error) {
	<-g.gate
	return g.Network.Dial(ctx, addr)
}

func TestMessagesThatWaitLeaveInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boxes := []*inbox{newInbox(), newInbox()}
		n := gated{NewMemory(), make(chan struct{})}
		ts, _ := open(t, n, boxes, nil)
		for i := range 100 {
			ts[0].Send(2, 8, text(fmt.Sprint(i)))
		}
		close(n.gate)
		boxes[1].wait(t, 100)
		synctest.Wait()
		if c := ts[0].Counters(); c.Frames != 1 || c.Messages != 100 {
			t.Fatalf("%d messages left in %d writes", c.Messages, c.Frames)
		}
	})
}

func TestTransportReconnects(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		boxes := []*inbox{newInbox(), newInbox()}
		ts, peers := open(t, n, boxes, nil)
		ts[0].Send(2, 1, text("before"))
		boxes[1].wait(t, 1)
		if err := ts[1].Close(); err != nil {
			t.Fatal(err)
		}
		if ts[1].Send(1, 1, text("x")) {
			t.Fatal("a closed transport took a message")
		}
		box := newInbox()
		again, err := NewTransport(TransportOptions{
			Cluster: "test", Self: 2, Peers: peers, Network: n, Handler: box.handle,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		// What is sent before node 1 notices may be lost: send until one arrives.
		start := time.Now()
		for len(box.more) == 0 {
			ts[0].Send(2, 1, text("after"))
			time.Sleep(time.Millisecond) // paces the sender; the loop waits for the message
			if time.Since(start) > time.Minute {
				t.Fatal("no message arrived after the peer came back")
			}
		}
		d := time.Since(start)
		t.Logf("the peer was reached again after %v", d)
		if _, real := n.(tcp); !real && d > time.Second { // a busy machine takes its time
			t.Errorf("the peer was reached again after %v", d)
		}
	})
}

func TestFullQueueDropsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewMemory()
		held := make(chan struct{})
		box := newInbox()
		boxes := []*inbox{newInbox(), box}
		const queue = 1 << 20
		ts, _ := open(t, n, boxes, func(o *TransportOptions) {
			o.QueueBytes, o.MaxFrameBytes = queue, 100<<10
			if o.Self == 2 {
				o.Handler = func(from consensus.NodeID, frame []byte) { <-held; box.handle(from, frame) }
			}
		})
		kilobyte := make([]byte, 1000)
		sent := 0
		for range 10 * queue / 1000 {
			binary.BigEndian.PutUint32(kilobyte, uint32(sent))
			if ts[0].Send(2, len(kilobyte), func(dst []byte) []byte { return append(dst, kilobyte...) }) {
				sent++
			}
			synctest.Wait()
		}
		if sent == 10*queue/1000 || ts[0].Counters().Dropped == 0 {
			t.Fatalf("%d messages taken, %d dropped: the queue has no bound", sent, ts[0].Counters().Dropped)
		}
		if taken := sent * 1000; taken > 2*queue+2*pipeBytes {
			t.Fatalf("%d bytes wait for a peer that reads nothing", taken)
		}
		if ts[0].Send(1+1, 0, func(dst []byte) []byte { return append(dst, make([]byte, 100<<10+1)...) }) {
			t.Fatal("a message above the limit was taken")
		}
		close(held)
		for i, m := range box.wait(t, sent) {
			if got := binary.BigEndian.Uint32(m); got != uint32(i) {
				t.Fatalf("message %d carries %d: not the newest was dropped", i, got)
			}
		}
	})
}

// logText collects what a transport logs.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestHandshakeRefusals(t *testing.T) {
	good := hello{kind: kindMessages, from: 2, to: 1, cluster: "test"}
	for name, c := range map[string]struct {
		change func(*hello)
		want   string
	}{
		"cluster":    {func(h *hello) { h.cluster = "other" }, `it belongs to cluster "other"; this is cluster "test"`},
		"recipient":  {func(h *hello) { h.to = 3 }, "it wants node 3; this is node 1"},
		"stranger":   {func(h *hello) { h.from = 7 }, "node 7 is not a peer of node 1"},
		"ourselves":  {func(h *hello) { h.from = 1 }, "node 1 is not a peer of node 1"},
		"other kind": {func(h *hello) { h.kind = kindStream }, "connection kind 2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, out := NewMemory(), &logText{}
				box := newInbox()
				_, peers := open(t, n, []*inbox{box, newInbox()}, func(o *TransportOptions) {
					o.Logger = slog.New(slog.NewTextHandler(out, nil))
				})
				h := good
				c.change(&h)
				conn, err := n.Dial(t.Context(), peers[0].Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				var refused *RefusedError
				if err := greet(conn, h); !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.want) {
					t.Fatalf("the dialer was told %v, want %q", err, c.want)
				}
				if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
					t.Fatalf("the connection is not closed: %v", err)
				}
				synctest.Wait()
				if !strings.Contains(out.String(), "refused a connection") {
					t.Fatalf("the log says %q", out.String())
				}
			})
		})
	}
}

func TestHostilePeersAreDisconnected(t *testing.T) {
	welcome := hello{kind: kindMessages, from: 2, to: 1, cluster: "test"}.append(nil)
	for name, bytes := range map[string][]byte{
		"http":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"other version":   append([]byte("gfsw\x09"), welcome[5:]...),
		"endless cluster": []byte("gfsw\x02\x01\xff\xff"),
		"short body":      []byte("gfsw\x02\x01\x00\x03abc"),
		"silence":         nil,
		"long cluster":    append([]byte("gfsw\x02\x01\x00\x12"), append(make([]byte, 16), 9, 'a')...),
		"half a hello":    welcome[:10],
		"huge message":    append(welcome[:len(welcome):len(welcome)], 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, box := NewMemory(), newInbox()
				_, peers := open(t, n, []*inbox{box, newInbox()}, nil)
				conn, err := n.Dial(t.Context(), peers[0].Addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write(bytes); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Fatalf("the connection ended with %v, want a close", err)
				}
				if d := time.Since(start); d > handshakeTime {
					t.Fatalf("disconnected after %v", d)
				}
				if len(box.got) != 0 {
					t.Fatalf("%d messages were handed on", len(box.got))
				}
			})
		})
	}
}

func TestCloseUnderLoad(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		boxes := []*inbox{newInbox(), newInbox(), newInbox()}
		ts, _ := open(t, n, boxes, nil)
		var senders sync.WaitGroup
		stop := make(chan struct{})
		for _, tr := range ts {
			senders.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					for to := consensus.NodeID(1); to <= 3; to++ {
						tr.Send(to, 100, text(strings.Repeat("x", 100)))
					}
					time.Sleep(10 * time.Microsecond) // lets a bubble's clock move
				}
			})
		}
		boxes[0].wait(t, 100)
		for _, tr := range ts {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if err := tr.Close(); err != nil {
				t.Errorf("second close: %v", err)
			}
		}
		close(stop)
		senders.Wait()
	})
}

// TestStreamPeersChange: 2 is removed and 4 is added at node 1; nobody has told
// it of 5, which comes later still.
func TestStreamPeersChange(t *testing.T) {
	n := NewMemory()
	everybody := []consensus.Peer{{ID: 1, Addr: "n1:1"}, {ID: 2, Addr: "n2:1"}, {ID: 4, Addr: "n4:1"}, {ID: 5, Addr: "n5:1"}}
	streams := map[consensus.NodeID]*Stream{}
	for _, p := range everybody {
		s, err := NewStream(StreamOptions{Cluster: "test", Self: p.ID, Peers: everybody, Network: n})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		streams[p.ID] = s
	}
	if err := streams[1].SetPeers([]consensus.Peer{{ID: 1, Addr: "n1:1"}, {ID: 4, Addr: "n4:1"}}, 4); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from    consensus.NodeID
		welcome bool
	}{{2, false}, {4, true}, {5, true}} {
		_, err := streams[c.from].Dial("n1:1", time.Second)
		if c.welcome {
			if err != nil {
				t.Fatalf("node %d: %v", c.from, err)
			}
			if _, err := streams[1].Accept(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var refused *RefusedError
		if !errors.As(err, &refused) {
			t.Fatalf("the removed node %d: %v", c.from, err)
		}
	}
	if _, err := streams[1].Dial("n2:1", time.Second); err == nil {
		t.Fatal("a removed node was dialed")
	}
	if _, err := streams[1].Dial("n4:1", time.Second); err != nil {
		t.Fatal(err)
	}
	if err := streams[1].SetPeers([]consensus.Peer{{ID: 0, Addr: "n1:1"}}, 4); err == nil {
		t.Fatal("a peer without an identity was taken")
	}
}

func TestStream(t *testing.T) {
	networks(t, func(t *testing.T, n Network) {
		var streams []*Stream
		var peers []consensus.Peer
		var listeners []net.Listener
		for i := range 2 {
			l, err := n.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			listeners = append(listeners, l)
			peers = append(peers, consensus.Peer{ID: consensus.NodeID(i + 1), Addr: l.Addr().String()})
		}
		for i, l := range listeners {
			s, err := NewStream(StreamOptions{Cluster: "test", Self: peers[i].ID, Peers: peers, Listener: l, Network: n})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			streams = append(streams, s)
		}
		if _, err := streams[0].Dial("elsewhere:1", time.Second); err == nil {
			t.Fatal("an address that is no peer's was dialed")
		}
		a, err := streams[0].Dial(peers[1].Addr, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		b, err := streams[1].Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write([]byte("raw bytes")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 9)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "raw bytes" {
			t.Fatalf("%q, %v", got, err)
		}
		if c := streams[0].Counters(); c.Frames != 1 || c.Bytes != 9 || c.Dials != 1 {
			t.Fatalf("dialer's counters %+v", c)
		}
		if c := streams[1].Counters(); c.ReceivedBytes != 9 {
			t.Fatalf("listener's counters %+v", c)
		}
		if err := streams[1].Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Read(got); err != io.EOF {
			t.Fatalf("the connection outlived its stream: %v", err)
		}
		if _, err := streams[1].Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept after close: %v", err)
		}
		if _, err := streams[1].Dial(peers[0].Addr, time.Second); err == nil {
			t.Fatal("a closed stream dialed")
		}
	})
}

func BenchmarkTransport(b *testing.B) {
	done := make(chan struct{})
	received := 0
	l1, _ := TCP().Listen("127.0.0.1:0")
	l2, _ := TCP().Listen("127.0.0.1:0")
	peers := []consensus.Peer{{ID: 1, Addr: l1.Addr().String()}, {ID: 2, Addr: l2.Addr().String()}}
	o := TransportOptions{Cluster: "b", Self: 1, Peers: peers, Listener: l1, Network: TCP(), Handler: func(consensus.NodeID, []byte) {}}
	a, err := NewTransport(o)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	o.Self, o.Listener = 2, l2
	o.Handler = func(consensus.NodeID, []byte) {
		if received++; received == b.N {
			close(done)
		}
	}
	c, err := NewTransport(o)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	payload := make([]byte, 256)
	encode := func(dst []byte) []byte { return append(dst, payload...) }
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		for !a.Send(2, len(payload), encode) {
			time.Sleep(100 * time.Microsecond)
		}
	}
	<-done
	b.ReportMetric(float64(a.Counters().Frames)/float64(b.N), "frames/op")
}
