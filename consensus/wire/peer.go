package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"gfslab/consensus"
)

const (
	// Reconnecting starts fast and is capped low: a node that comes back must
	// not wait longer for its peers than they take to elect a leader.
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = 200 * time.Millisecond
	// Who was refused is no peer over there, and may never be one again.
	lastRefused  = 2 * time.Second
	dialTime     = 500 * time.Millisecond
	farewellTime = 100 * time.Millisecond
	// keepBuffer is the largest buffer kept for reuse.
	keepBuffer = 4 << 20
)

// peer is the way to one other replica.
type peer struct {
	t       *Transport
	id      consensus.NodeID
	addr    string
	network Network
	limit   int
	rng     *rand.Rand // used by run only
	wake    chan struct{}
	alive   chan struct{}
	// done ends with the transport, or when it ceases to be a peer.
	done   context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	queue    []byte // whole messages, in order
	messages int
	spare    []byte // the buffer written last, empty
}

func newPeer(t *Transport, p consensus.Peer, n Network, limit int, seed uint64) *peer {
	done, cancel := context.WithCancel(t.done)
	return &peer{
		done: done, cancel: cancel, t: t, id: p.ID, addr: p.Addr, network: n, limit: limit,
		rng:  rand.New(rand.NewPCG(seed, uint64(t.id.Load().self)<<32^uint64(p.ID))),
		wake: make(chan struct{}, 1), alive: make(chan struct{}, 1),
	}
}

// add appends one message to the queue. A message that fits in no queue at all
// goes through when the queue is empty, so that a limit cannot starve it.
func (p *peer) add(size int, encode func([]byte) []byte) bool {
	p.mu.Lock()
	start := len(p.queue)
	if p.done.Err() != nil || start > 0 && start+lengthBytes+size > p.limit {
		p.mu.Unlock()
		return false
	}
	if p.queue == nil {
		p.queue, p.spare = p.spare, nil
	}
	buf := encode(append(p.queue, 0, 0, 0, 0))
	n := len(buf) - start - lengthBytes
	ok := n <= p.t.maxFrame && (start == 0 || len(buf) <= p.limit)
	if ok {
		binary.BigEndian.PutUint32(buf[start:], uint32(n))
		p.messages++
	} else {
		buf = buf[:start]
	}
	p.queue = buf
	p.mu.Unlock()
	if ok {
		select {
		case p.wake <- struct{}{}:
		default: // the writer is already awake and will find the message
		}
	}
	return ok
}

// take swaps the queue out. The caller hands the buffer back with give.
func (p *peer) take() (buf []byte, messages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	buf, messages = p.queue, p.messages
	p.queue, p.messages = nil, 0
	return buf, messages
}

func (p *peer) give(buf []byte) {
	if cap(buf) > keepBuffer {
		return
	}
	p.mu.Lock()
	p.spare = buf[:0]
	p.mu.Unlock()
}

// poke ends a backoff.
func (p *peer) poke() {
	select {
	case p.alive <- struct{}{}:
	default:
	}
}

// run keeps one connection to the peer until the transport closes.
func (p *peer) run() {
	backoff := firstBackoff
	reported := false
	defer p.cancel()
	for p.done.Err() == nil {
		c, err := p.dial()
		if err != nil {
			p.discard() // what waits is old by now; protocols send anew
			longest := lastBackoff
			var refused *RefusedError
			if errors.As(err, &refused) {
				longest = lastRefused
				if !reported {
					p.t.log.Warn("a peer refused us", "peer", uint64(p.id), "addr", p.addr, "err", err)
					reported = true
				}
			}
			pause(p.done, p.alive, backoff/2+time.Duration(p.rng.Int64N(int64(backoff/2))))
			backoff = min(2*backoff, longest)
			continue
		}
		backoff, reported = firstBackoff, false
		p.serve(c)
		p.t.conns.remove(c)
	}
}

func (p *peer) discard() {
	buf, n := p.take()
	p.t.count.dropped.Add(uint64(n))
	p.give(buf)
}

func (p *peer) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.done, dialTime)
	defer cancel()
	c, err := p.network.Dial(ctx, p.addr)
	if err != nil {
		return nil, err
	}
	if !p.t.conns.add(c) {
		return nil, net.ErrClosed
	}
	id := p.t.id.Load()
	if err := greet(c, hello{kind: kindMessages, from: id.self, to: p.id, cluster: id.cluster, addr: p.t.addr}); err != nil {
		p.t.conns.remove(c)
		return nil, err
	}
	p.t.count.dials.Add(1)
	return c, nil
}

// serve writes what waits until the connection ends.
func (p *peer) serve(c net.Conn) {
	ended := make(chan struct{})
	p.t.tasks.Go(func() {
		// The peer says nothing on this connection: a read ends when it closes
		// or restarts, long before a write would notice.
		var b [1]byte
		_, _ = c.Read(b[:])
		_ = c.Close()
		close(ended)
	})
	for {
		select {
		case <-p.wake:
		case <-ended:
			return
		case <-p.done.Done():
			p.farewell(c)
			<-ended
			return
		}
		buf, messages := p.take()
		if len(buf) == 0 {
			p.give(buf)
			continue
		}
		if _, err := c.Write(buf); err != nil {
			p.t.count.dropped.Add(uint64(messages))
			_ = c.Close()
			<-ended
			return
		}
		p.t.count.frames.Add(1)
		p.t.count.messages.Add(uint64(messages))
		p.t.count.bytes.Add(uint64(len(buf)))
		p.give(buf)
	}
}

// farewell sends a former peer what already waited for it (that it is no member
// any more, say), and closes.
func (p *peer) farewell(c net.Conn) {
	if buf, n := p.take(); n > 0 && p.t.done.Err() == nil && c.SetWriteDeadline(time.Now().Add(farewellTime)) == nil {
		_, _ = c.Write(buf) // it may be gone
	}
	_ = c.Close()
}
