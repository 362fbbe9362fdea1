package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gfslab/consensus"
)

// StreamOptions say whom to talk to; the fields are those of TransportOptions.
type StreamOptions struct {
	Cluster  string
	Self     consensus.NodeID
	Peers    []consensus.Peer
	Listener net.Listener
	Network  Network
	Logger   *slog.Logger
}

// Stream hands out raw connections between the replicas of one cluster, after
// the same handshake as a Transport's and with the same counters. It is a
// net.Listener for what the peers dial.
type Stream struct {
	id       atomic.Pointer[identity]
	network  Network
	listener net.Listener
	log      *slog.Logger
	count    counters
	conns    connSet
	ready    chan net.Conn
	slots    chan struct{}
	done     context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

// NewStream opens the listener, unless one is given.
func NewStream(o StreamOptions) (*Stream, error) {
	id, err := newIdentity(kindStream, o.Cluster, o.Self, o.Peers)
	if err != nil {
		return nil, err
	}
	if o.Network == nil {
		return nil, errors.New("wire: a stream needs a network")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listener == nil {
		if o.Listener, err = o.Network.Listen(id.peers[o.Self]); err != nil {
			return nil, fmt.Errorf("wire: node %d: %w", o.Self, err)
		}
	}
	done, stop := context.WithCancel(context.Background())
	s := &Stream{
		network: o.Network, listener: o.Listener, log: o.Logger,
		ready: make(chan net.Conn), slots: make(chan struct{}, handshakes), done: done, stop: stop,
	}
	s.id.Store(&id)
	s.tasks.Go(s.accept)
	return s, nil
}

// SetPeers replaces the peers. Identities above highest may call, too: a replica
// that lags does not know the newest members yet, one of which may lead, while
// an identity at or below the highest that was ever a member is a peer's or of
// the past. Connections that are open stay so.
func (s *Stream) SetPeers(peers []consensus.Peer, highest consensus.NodeID) error {
	old := s.id.Load()
	id, err := newIdentity(old.kind, old.cluster, old.self, append([]consensus.Peer{{ID: old.self, Addr: old.peers[old.self]}},
		slices.DeleteFunc(slices.Clone(peers), func(p consensus.Peer) bool { return p.ID == old.self })...))
	if err != nil {
		return err
	}
	id.newcomers = highest
	s.id.Store(&id)
	return nil
}

func (s *Stream) accept() {
	acceptLoop(s.done, s.listener, s.log, func(c net.Conn) {
		select {
		case s.slots <- struct{}{}:
		case <-s.done.Done():
			_ = c.Close()
			return
		}
		if !s.conns.add(c) {
			<-s.slots
			return
		}
		s.tasks.Go(func() {
			_, err := s.id.Load().receive(c)
			<-s.slots
			if err != nil {
				logRefused(s.done, s.log, c, err)
				s.conns.remove(c)
				return
			}
			select {
			case s.ready <- &countedConn{Conn: c, owner: s}:
			case <-s.done.Done():
				s.conns.remove(c)
			}
		})
	})
}

// Accept returns the next connection that a peer opened, after its handshake.
func (s *Stream) Accept() (net.Conn, error) {
	select {
	case <-s.done.Done():
		return nil, errListenerClosed
	case c := <-s.ready:
		return c, nil
	}
}

// Dial opens a connection to the peer at addr, handshake included. An address
// that is no peer's is an error.
func (s *Stream) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	id := s.id.Load()
	var to consensus.NodeID
	for n, a := range id.peers {
		if a == addr {
			to = max(to, n) // a replaced member may have left its address to its successor
		}
	}
	if to == 0 {
		return nil, fmt.Errorf("wire: no peer has address %q", addr)
	}
	if timeout <= 0 {
		timeout = handshakeTime
	}
	ctx, cancel := context.WithTimeout(s.done, timeout)
	defer cancel()
	c, err := s.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if !s.conns.add(c) {
		return nil, net.ErrClosed
	}
	if err := greet(c, hello{kind: kindStream, from: id.self, to: to, cluster: id.cluster}); err != nil {
		s.conns.remove(c)
		return nil, err
	}
	s.count.dials.Add(1)
	return &countedConn{Conn: c, owner: s}, nil
}

// Counters returns the totals so far.
func (s *Stream) Counters() Counters { return s.count.load() }

// Addr is where the stream listens.
func (s *Stream) Addr() net.Addr { return s.listener.Addr() }

// Close closes the listener and every connection that came from this stream,
// and waits for its goroutines. It is idempotent.
func (s *Stream) Close() error {
	s.stop()
	err := s.listener.Close()
	s.conns.closeAll()
	s.tasks.Wait()
	if isClosed(err) {
		return nil
	}
	return err
}

// countedConn counts a Write as a frame.
type countedConn struct {
	net.Conn
	owner *Stream
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.owner.count.frames.Add(1)
	c.owner.count.bytes.Add(uint64(n))
	return n, err
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.owner.count.receivedBytes.Add(uint64(n))
	return n, err
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.owner.conns.forget(c.Conn)
	return err
}
