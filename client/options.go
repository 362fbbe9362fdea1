package client

import (
	"errors"
	"time"

	"gfslab/api"
	"gfslab/client/call"
)

// What clients of any replicated service share; see package call.
type (
	// Master is one master replica: its node id and where it is reached.
	Master  = call.Node
	Conns   = call.Conns
	Dialer  = call.Dialer
	Attempt = call.Attempt
	Session = call.Session
	Outcome = call.Outcome
	// Result is how an operation ended. Reply is set if Outcome is OK, Err if not.
	Result[T any] = call.Result[T]
)

// The outcomes; see the package's documentation.
const (
	Unknown = call.Unknown
	OK      = call.OK
	Fail    = call.Fail
)

// NewConns returns an empty set of connections; a nil dialer means TCP. maxBytes
// bounds one message: a quarter of a chunk and a little more; 0 means 20 MiB.
func NewConns(dial Dialer, maxBytes int) *Conns { return call.NewConns(dial, maxBytes) }

// NodeName is how attempts name the master with this node id.
func NodeName(id uint64) string { return call.Name(id) }

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
	// (default 750 ms, above the primary's own limit), and 100 ms more for each MiB.
	AttemptTimeout time.Duration
	LeaseTimeout   time.Duration
	DataTimeout    time.Duration
	// LocationTimeout is how long the client trusts in where a chunk's replicas are,
	// and in which file it is that it mutates under a path (default 60 s).
	LocationTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause before a retry, which doubles and
	// carries jitter (default 3 ms and 60 ms).
	BackoffMin time.Duration
	BackoffMax time.Duration
	// OnAttempt sees each attempt when it ends; may be nil.
	OnAttempt func(Attempt)
}

// maxName leaves room for what sessions append to the name.
const maxName = api.MaxClientBytes - 20

func (o *Options) setDefaults() error {
	if o.Name == "" || len(o.Name) > maxName {
		return errors.New("client: the name must have 1 to 180 bytes")
	}
	defaultDuration(&o.AttemptTimeout, 250*time.Millisecond)
	defaultDuration(&o.LeaseTimeout, 500*time.Millisecond)
	defaultDuration(&o.DataTimeout, 750*time.Millisecond)
	defaultDuration(&o.LocationTimeout, time.Minute)
	return nil
}

// dataTimeout bounds a call that moves this many bytes.
func (o *Options) dataTimeout(bytes int) time.Duration {
	return o.DataTimeout + time.Duration(bytes>>20)*100*time.Millisecond
}

// sumTimeout bounds a call that reads a whole chunk from a disk.
func (o *Options) sumTimeout() time.Duration { return 8 * o.DataTimeout }

func defaultDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}

var errNoSuchMaster = errors.New("client: no master with that node id")

// Client performs operations, one at a time.
type Client struct {
	*call.Caller
	o       Options
	session call.Sessions
	allocs  call.Sessions // of chunk allocations that appends make
	files   beliefs
	chunks  map[uint64]location  // by handle
	silent  map[string]time.Time // chunkservers that did not answer, and when
	seen    uint64               // the highest log index that a reply has shown
}

// New returns a client.
func New(o Options) (*Client, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	caller, err := call.New(call.Options{
		Nodes: o.Masters, Conns: o.Conns, Now: o.Now, Seed: o.Seed,
		OpTimeout: o.OpTimeout, BackoffMin: o.BackoffMin, BackoffMax: o.BackoffMax, OnAttempt: o.OnAttempt,
	})
	if err != nil {
		return nil, err
	}
	return &Client{
		Caller: caller, o: o, session: call.NewSessions(o.Name), allocs: call.NewSessions(o.Name + "/a"),
		files: make(beliefs), chunks: make(map[uint64]location), silent: make(map[string]time.Time),
	}, nil
}
