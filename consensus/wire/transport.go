package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"

	"gfslab/consensus"
)

const (
	defaultMaxFrameBytes = 32 << 20
	defaultQueueBytes    = 64 << 20
	// handshakes bounds the connections that are shaking hands at a time, so
	// that strangers cannot pile up goroutines.
	handshakes = 64
	// maxStrangers bounds the newcomers that are dialed.
	maxStrangers = 64
)

// TransportOptions say whom to talk to and how.
type TransportOptions struct {
	// Cluster, Self and Peers (Self included or not) decide whom the handshake
	// lets in.
	Cluster string
	Self    consensus.NodeID
	Peers   []consensus.Peer
	// Listener, when given, is already open and belongs to the Transport from
	// here on; else the Transport listens at Self's address among Peers.
	Listener net.Listener
	// Network dials, and listens where Listener is nil.
	Network Network
	// MaxFrameBytes is the largest message, on either side (0 = 32 MiB).
	MaxFrameBytes int
	// QueueBytes bounds what waits for one peer (0 = 64 MiB); while one buffer
	// is being written another fills, so that a peer costs at most twice this.
	QueueBytes int
	// Seed feeds the jitter of reconnecting.
	Seed   uint64
	Logger *slog.Logger
	// Handler is called with each message, from one goroutine a peer, in order.
	// The frame's bytes belong to the handler. While it runs nothing more is
	// read from that peer; Close waits for it.
	Handler func(from consensus.NodeID, frame []byte)
}

// Transport sends messages to the other replicas of a cluster and receives
// theirs: one outgoing connection a peer, kept open, and one incoming.
type Transport struct {
	listener net.Listener
	addr     string // where the others dial us
	opts     TransportOptions
	maxFrame int
	handler  func(consensus.NodeID, []byte)
	log      *slog.Logger
	count    counters
	conns    connSet
	slots    chan struct{}
	stop     context.CancelFunc
	done     context.Context
	tasks    sync.WaitGroup

	// id and peers are replaced as a whole, never changed.
	id    atomic.Pointer[identity]
	peers atomic.Pointer[map[consensus.NodeID]*peer]

	mu        sync.Mutex
	incoming  map[consensus.NodeID]*incoming
	strangers map[consensus.NodeID]string // addresses of those that called and are not known
}

// incoming is the one connection that a peer dialed to us.
type incoming struct {
	conn net.Conn
	done chan struct{}
}

// NewTransport opens the listener and begins to dial the peers.
func NewTransport(o TransportOptions) (*Transport, error) {
	id, err := newIdentity(kindMessages, o.Cluster, o.Self, o.Peers)
	if err != nil {
		return nil, err
	}
	if o.Handler == nil || o.Network == nil {
		return nil, errors.New("wire: a transport needs a network and a handler")
	}
	if o.MaxFrameBytes <= 0 {
		o.MaxFrameBytes = defaultMaxFrameBytes
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = defaultQueueBytes
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
	t := &Transport{
		listener: o.Listener, opts: o,
		maxFrame: o.MaxFrameBytes, handler: o.Handler, log: o.Logger,
		slots: make(chan struct{}, handshakes), done: done, stop: stop,
		incoming: map[consensus.NodeID]*incoming{}, strangers: map[consensus.NodeID]string{},
		addr: id.peers[o.Self],
	}
	t.id.Store(&id)
	t.peers.Store(&map[consensus.NodeID]*peer{})
	t.mu.Lock()
	t.dial()
	t.mu.Unlock()
	t.tasks.Go(t.accept)
	return t, nil
}

// SetPeers says whom to talk to from now on: new ones are dialed, the
// connections of the others are closed, and their handshakes refused. A peer
// whose address is another is dialed there. Identities above highest are
// welcome although they are not known: a replica that lags does not know the
// newest members yet, one of which may lead. They are dialed where they say that
// they listen. SetPeers does not block.
func (t *Transport) SetPeers(peers []consensus.Peer, highest consensus.NodeID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.id.Load()
	id, err := newIdentity(old.kind, old.cluster, old.self, peers)
	if err != nil || t.done.Err() != nil {
		return err
	}
	id.newcomers = highest
	t.id.Store(&id)
	for of := range t.strangers {
		if of <= highest || id.peers[of] != "" {
			delete(t.strangers, of)
		}
	}
	t.dial()
	return nil
}

// welcome reports whether from may go on talking to us, and dials a newcomer.
func (t *Transport) welcome(from consensus.Peer, in *incoming) (before *incoming, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	id := t.id.Load()
	if id.peers[from.ID] == "" {
		if from.ID <= id.newcomers || from.Addr == "" || len(t.strangers) >= maxStrangers || t.done.Err() != nil {
			return nil, false // it ceased to be a peer while it shook hands
		}
		if t.strangers[from.ID] != from.Addr {
			t.strangers[from.ID] = from.Addr
			t.dial()
		}
	}
	before, t.incoming[from.ID] = t.incoming[from.ID], in
	return before, true
}

// dial runs a peer for all that are known, newcomers included, and ends those of
// all others. It is called with mu held.
func (t *Transport) dial() {
	id := t.id.Load()
	self := id.self
	var peers []consensus.Peer
	for of, addr := range id.peers {
		peers = append(peers, consensus.Peer{ID: of, Addr: addr})
	}
	for of, addr := range t.strangers {
		peers = append(peers, consensus.Peer{ID: of, Addr: addr})
	}
	before := *t.peers.Load()
	after := map[consensus.NodeID]*peer{}
	for _, p := range peers {
		if p.ID == self {
			continue
		}
		after[p.ID] = before[p.ID]
		if old := before[p.ID]; old == nil || old.addr != p.Addr {
			after[p.ID] = newPeer(t, p, t.opts.Network, t.opts.QueueBytes, t.opts.Seed)
			t.tasks.Go(after[p.ID].run)
		}
	}
	t.peers.Store(&after)
	for id, p := range before {
		if after[id] != p {
			p.cancel()
		}
		if after[id] == nil {
			if in := t.incoming[id]; in != nil {
				_ = in.conn.Close()
			}
		}
	}
}

func newIdentity(k kind, cluster string, self consensus.NodeID, peers []consensus.Peer) (identity, error) {
	id := identity{kind: k, self: self, cluster: cluster, peers: map[consensus.NodeID]string{}, newcomers: math.MaxUint64}
	for _, p := range peers {
		if p.ID == 0 || p.Addr == "" || len(p.Addr) > maxAddr || id.peers[p.ID] != "" {
			return id, fmt.Errorf("wire: peer %d at %q: an id of 0, no address or one too long, or given twice", p.ID, p.Addr)
		}
		id.peers[p.ID] = p.Addr
	}
	if cluster == "" || len(cluster) > maxCluster {
		return id, fmt.Errorf("wire: the cluster's name has %d bytes; want 1 to %d", len(cluster), maxCluster)
	}
	return id, nil
}

// Send puts one message for a peer behind those that wait and returns at
// once. encode appends the message to dst and returns the extended slice; it
// must neither keep dst nor block. size is its length, or a guess at it. False
// means that the message was dropped: unknown peer, full queue, too large, or
// closed. True promises nothing about delivery.
func (t *Transport) Send(to consensus.NodeID, size int, encode func(dst []byte) []byte) bool {
	p := (*t.peers.Load())[to]
	if p == nil || !p.add(size, encode) {
		t.count.dropped.Add(1)
		return false
	}
	return true
}

// Counters returns the totals so far.
func (t *Transport) Counters() Counters { return t.count.load() }

// Addr is where the transport listens.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Close closes the listener and all connections, and waits for the goroutines:
// no handler runs after it. A handler must not wait for Close. It is idempotent.
func (t *Transport) Close() error {
	t.mu.Lock() // SetPeers has begun what it begins, or will find us closed
	t.stop()
	t.mu.Unlock()
	err := t.listener.Close()
	t.conns.closeAll()
	t.tasks.Wait()
	if isClosed(err) {
		return nil
	}
	return err
}

func (t *Transport) accept() {
	acceptLoop(t.done, t.listener, t.log, func(c net.Conn) {
		select {
		case t.slots <- struct{}{}:
		case <-t.done.Done():
			_ = c.Close()
			return
		}
		if !t.conns.add(c) {
			<-t.slots
			return
		}
		t.tasks.Go(func() {
			defer t.conns.remove(c)
			from, err := t.id.Load().receive(c)
			<-t.slots
			if err != nil {
				logRefused(t.done, t.log, c, err)
				return
			}
			t.receive(from, c)
		})
	})
}

// receive hands out what arrives on c. A newer connection of the same peer
// takes over: the peer has restarted or given the old one up.
func (t *Transport) receive(peer consensus.Peer, c net.Conn) {
	from := peer.ID
	in := &incoming{conn: c, done: make(chan struct{})}
	defer close(in.done)
	before, ok := t.welcome(peer, in)
	if !ok {
		return
	}
	if before != nil {
		_ = before.conn.Close()
		<-before.done // one handler call a peer at a time, in order
	}
	if p := (*t.peers.Load())[from]; p != nil {
		p.poke() // it is alive: dial it now rather than after the backoff
	}
	f := frameReader{r: c, max: t.maxFrame}
	for {
		m, err := f.next()
		if err != nil {
			if errors.Is(err, errFormat) {
				t.log.Warn("disconnecting a peer", "peer", uint64(from), "addr", c.RemoteAddr().String(), "err", err)
			}
			return
		}
		if t.done.Err() != nil {
			return
		}
		t.count.received.Add(1)
		t.count.receivedBytes.Add(uint64(len(m) + lengthBytes))
		t.handler(from, m)
	}
}
