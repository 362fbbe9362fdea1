package master

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"gfslab/api"
)

// chunkservers is what a master heard from chunkservers. It is soft state:
// heartbeats fill it at every master replica, nothing of it is in the log, and
// it says who is alive, where, and what it has, never whose data is current:
// that is membership, which is in the log.
type chunkservers struct {
	o       Options
	started time.Time

	mu     sync.Mutex // never held while anything blocks
	byName map[string]*chunkserver
	heard  chan struct{} // closed and replaced when a chunkserver is heard for the first time
	rng    *rand.Rand
	closed bool
}

type chunkserver struct {
	name, addr, rack string
	boot             boot
	former           []string // boots before; see isOver
	insistent        string   // of former, and heard since insisted, with boot silent
	insisted         time.Time
	heard            time.Time
	// restarted is when another boot than before was heard first; zero: never.
	restarted time.Time
	conn      *grpc.ClientConn

	// replicas are as reported by the present boot, sequence is its last report.
	// Until complete, what is not reported may be there all the same.
	replicas *replicaSet
	complete bool
	covered  uint64 // of a full report in parts: handles below are known; 0: there is none under way
	sequence uint64
	// used and capacity in bytes as reported; 0: not said.
	used, capacity uint64

	recent   decaying             // chunks placed here lately
	busy     int                  // clones that read from it or write to it
	incoming map[uint64]bool      // clones that it is to write
	suspects map[uint64]time.Time // replicas that may be too many, and since when
	removing map[uint64]time.Time // replicas that it was told to remove, and when last
	removed  []uint64             // of suspects, what is to be named in a reply
}

// errNoAddress: no heartbeat of the chunkserver was heard since the start.
var errNoAddress = errors.New("master: the chunkserver's address is not known")

func newChunkservers(o Options) *chunkservers {
	return &chunkservers{
		o: o, started: o.Now(), byName: make(map[string]*chunkserver), heard: make(chan struct{}),
		rng: rand.New(rand.NewPCG(o.Seed, 0x6d6173746572)),
	}
}

// alive reports whether the chunkserver was heard of lately. Call with mu held.
func (t *chunkservers) alive(c *chunkserver, now time.Time) bool {
	return now.Sub(c.heard) <= t.o.DeadAfter
}

// living returns the members that are alive.
func (t *chunkservers) living(ctx context.Context, members []string) ([]string, error) {
	heard := func() bool {
		for _, name := range members {
			if t.byName[name] == nil {
				return false
			}
		}
		return true
	}
	if err := t.warmUp(ctx, heard); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	names := make([]string, 0, len(members))
	for _, name := range members {
		if c := t.byName[name]; c != nil && t.alive(c, now) {
			names = append(names, name)
		}
	}
	return names, nil
}

// warmUp waits until ready, which is called with mu held, but no longer than
// DeadAfter from the master's start. A master that has just started has heard of
// few chunkservers, and one that is left out of a grant is no replica, for good.
func (t *chunkservers) warmUp(ctx context.Context, ready func() bool) error {
	for {
		t.mu.Lock()
		done, heard := ready(), t.heard
		t.mu.Unlock()
		grace := t.o.DeadAfter - t.o.Now().Sub(t.started)
		if done || grace <= 0 {
			return nil
		}
		timer := time.NewTimer(grace)
		select {
		case <-heard:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// choose picks one of the names at random, "" if there is none.
func (t *chunkservers) choose(names []string) string {
	if len(names) == 0 {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return names[t.rng.IntN(len(names))]
}

// addresses returns where the named chunkservers can be reached, as far as known.
func (t *chunkservers) addresses(names []string) map[string]string {
	if len(names) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	addrs := make(map[string]string, len(names))
	for _, name := range names {
		if c := t.byName[name]; c != nil {
			addrs[name] = c.addr
		}
	}
	return addrs
}

// client returns a client for the chunkserver's present address.
func (t *chunkservers) client(name string) (api.ChunkserverClient, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.byName[name]
	if c == nil || t.closed {
		return nil, errNoAddress
	}
	if c.conn == nil {
		conn, err := t.dial(c.addr)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	return api.NewChunkserverClient(c.conn), nil
}

// dial makes a connection that connects on first use; it does not block.
func (t *chunkservers) dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return t.o.Dial(ctx, addr) }),
		// The default backoff of 1 s and more would sit inside failover figures.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			// As others have it: a chunkserver that opens its store takes connections, but does
			// not speak yet, and grants are not to wait for it.
			MinConnectTimeout: 250 * time.Millisecond,
		}))
}

func (t *chunkservers) close() error {
	t.mu.Lock()
	var conns []*grpc.ClientConn
	t.closed = true
	for _, c := range t.byName {
		if c.conn != nil {
			conns = append(conns, c.conn)
			c.conn = nil
		}
	}
	t.mu.Unlock()
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
