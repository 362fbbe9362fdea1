package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"gfslab/api"
)

// Master is one master replica: its node id and where it is reached.
type Master struct {
	ID   uint64
	Addr string
}

// Options configure a client. Fields with a default may be left zero.
type Options struct {
	// Name identifies the client in sessions and records (1 to 180 bytes). It
	// must be unique in the cell, over all time.
	Name    string
	Masters []Master
	// Conns are the connections to use, shared with other clients. The caller
	// closes them. Required.
	Conns *Conns
	// Now is the clock of attempts and steps (default time.Now).
	Now func() time.Time
	// Seed drives jitter and the choice of replicas.
	Seed uint64
	// OpTimeout bounds an operation whose context has no deadline (default 10 s).
	OpTimeout time.Duration
	// AttemptTimeout bounds one call to a master, so that an isolated leader does
	// not eat the operation (default 250 ms); LeaseTimeout one that may have to
	// wait for a lease (default 500 ms), DataTimeout one to a chunkserver
	// (default 750 ms, above the primary's own limit).
	AttemptTimeout time.Duration
	LeaseTimeout   time.Duration
	DataTimeout    time.Duration
	// BackoffMin and BackoffMax bound the pause before a retry, which doubles and
	// carries jitter (default 3 ms and 60 ms).
	BackoffMin time.Duration
	BackoffMax time.Duration
	// OnAttempt sees each attempt when it ends; may be nil.
	OnAttempt func(Attempt)
}

// Attempt is one call of an operation to one node.
type Attempt struct {
	Node  string // "m1" for the master with id 1, else a chunkserver's name
	Start time.Time
	End   time.Time
	Err   error // nil: answered
}

// maxName leaves room for what sessions append to the name.
const maxName = api.MaxClientBytes - 20

func (o *Options) setDefaults() error {
	switch {
	case o.Name == "" || len(o.Name) > maxName:
		return errors.New("client: the name must have 1 to 180 bytes")
	case len(o.Masters) == 0:
		return errors.New("client: no masters")
	case o.Conns == nil:
		return errors.New("client: no connections")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	defaultDuration(&o.OpTimeout, 10*time.Second)
	defaultDuration(&o.AttemptTimeout, 250*time.Millisecond)
	defaultDuration(&o.LeaseTimeout, 500*time.Millisecond)
	defaultDuration(&o.DataTimeout, 750*time.Millisecond)
	defaultDuration(&o.BackoffMin, 3*time.Millisecond)
	defaultDuration(&o.BackoffMax, 60*time.Millisecond)
	return nil
}

func defaultDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

// Client performs operations, one at a time.
type Client struct {
	o       Options
	rng     *rand.Rand
	leader  int // index in o.Masters
	session sessions
	allocs  sessions // of chunk allocations that appends make
	files   map[string]*tail
	chunks  map[uint64]*api.ChunkReply // locations of chunks by handle
}

// New returns a client.
func New(o Options) (*Client, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	return &Client{
		o: o, rng: rand.New(rand.NewPCG(o.Seed, 0x636c69656e74)), leader: int(o.Seed % uint64(len(o.Masters))),
		session: sessions{base: o.Name, name: o.Name}, allocs: sessions{base: o.Name + "/a", name: o.Name + "/a"},
		files: make(map[string]*tail), chunks: make(map[uint64]*api.ChunkReply),
	}, nil
}

// Dialer opens a connection to an address.
type Dialer func(ctx context.Context, addr string) (net.Conn, error)
