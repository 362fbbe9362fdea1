package chunkserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"

	"gfslab/internal/disk"
)

// Options configure a chunkserver. Fields with a default may be left zero.
type Options struct {
	// Name identifies the chunkserver in grants and reports.
	Name string
	// FS and Dir hold the chunks. The directory is created if it is not there.
	FS  disk.FS
	Dir string
	// ChunkBytes is the size S of a chunk (default 64 MiB). A record's frame
	// takes at most a quarter of it.
	ChunkBytes int64
	// OpenFiles bounds how many chunks' files are open at once, besides those of
	// replicas being made (default 4096).
	OpenFiles int
	// BufferBytes bounds the pushed data that waits for its mutation (default 32 MiB).
	BufferBytes int64
	// Masters are the addresses of all master replicas at first; their answers tell
	// of others.
	Masters []string
	// Dial opens connections to masters and chunkservers (default: TCP).
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Listener is where the server is reached; Close closes it.
	Listener net.Listener
	// Address is what is reported to the masters (default: the listener's).
	Address string
	// Rack names what fails together with this chunkserver; may be empty.
	Rack string
	// Capacity in bytes is what is reported as the room for chunks (default: as the
	// file system says, where it can).
	Capacity uint64
	// ScrubBytesPerSecond is how fast chunks are read to see whether they still match
	// their checksums, while there is little else to do (default 4 MiB/s; negative:
	// not at all), and ScrubEvery the pause after a walk through all of them (default
	// 1 minute).
	ScrubBytesPerSecond int64
	ScrubEvery          time.Duration
	// HeartbeatEvery is the pause between reports to each master (default 100 ms).
	HeartbeatEvery time.Duration
	// ReportChunks is how many chunks one report to a master describes (default 1024,
	// which fits in the least message that a master can be told to take; at least 4).
	// What is more goes in several, one after the other.
	ReportChunks int
	// MutateTimeout bounds one mutation over all replicas (default 500 ms).
	MutateTimeout time.Duration
	// HoleWait is how long a secondary waits for a missing serial that the primary
	// did not settle, before it goes on without it and refuses it from then on
	// (default half of MutateTimeout).
	HoleWait time.Duration
	// Rho is the largest error of a clock's rate (default 0.01).
	Rho float64
	// Now is the clock that leases run by; it must carry a monotonic reading
	// (default time.Now).
	Now func() time.Time
	// Logger gets warnings (default: none).
	Logger *slog.Logger
	// Cluster names the cell; masters of another one refuse the reports. Empty: not
	// said, and not checked.
	Cluster string
	// ServerOptions are those of the gRPC server besides its message sizes, and
	// Register, which may be nil, adds services beside the chunkserver's.
	ServerOptions []grpc.ServerOption
	Register      func(*grpc.Server)
	// OnEvent sees every event of a lease's life. It is called from many
	// goroutines, at times with a chunk's lock held: it must neither block nor
	// call back.
	OnEvent func(Event)
}

// Event is one event of a lease or mutation; results/rundir.LeaseEvent defines
// the kinds.
type Event struct {
	At      time.Time
	Kind    string
	Handle  uint64
	Version uint64
	Epoch   uint64
	Term    uint64
	Serial  uint64
	Offset  uint64
	Until   time.Time // claim, accept: end of the lease
	Length  uint64    // mutate, serve: bytes, of a record its payload's
	Wanted  uint64    // serve: the least version that the reader takes
	Source  string    // clone: an address; copy: a handle
	Reason  string    // stop, refuse, corrupt
}

// The kinds of events.
const (
	EventPrepare  = "prepare"
	EventActivate = "activate"
	EventClaim    = "claim"
	EventAccept   = "accept"
	EventMutate   = "mutate"
	EventStop     = "stop"
	EventRefuse   = "refuse"
	EventServe    = "serve"
	EventClone    = "clone"
	EventCopy     = "copy"
	EventDelete   = "delete"
	// EventCorrupt: a block does not match its checksum; told once a replica.
	EventCorrupt = "corrupt"
)

// minChunkBytes leaves room for a few frames with the longest client name.
const (
	minChunkBytes = 4096
	maxChunkBytes = 1 << 31
)

func (o *Options) setDefaults() error {
	switch {
	case o.Name == "":
		return errors.New("chunkserver: no name")
	case o.FS == nil || o.Dir == "":
		return errors.New("chunkserver: no file system or directory")
	case o.Listener == nil:
		return errors.New("chunkserver: no listener")
	case o.Rho < 0 || o.Rho >= 1:
		return errors.New("chunkserver: rho must be in [0, 1)")
	}
	if o.ChunkBytes == 0 {
		o.ChunkBytes = 64 << 20
	}
	if o.ChunkBytes < minChunkBytes || o.ChunkBytes > maxChunkBytes {
		return errors.New("chunkserver: chunk size must be between 4 KiB and 2 GiB")
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = 4096
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 32 << 20
	}
	if o.ReportChunks == 0 {
		o.ReportChunks = 1024
	}
	if o.ReportChunks < 4 {
		return errors.New("chunkserver: a report must describe at least 4 chunks")
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	if o.Address == "" {
		o.Address = o.Listener.Addr().String()
	}
	if o.ScrubBytesPerSecond == 0 {
		o.ScrubBytesPerSecond = 4 << 20
	}
	defaultDuration(&o.ScrubEvery, time.Minute)
	defaultDuration(&o.HeartbeatEvery, 100*time.Millisecond)
	defaultDuration(&o.MutateTimeout, 500*time.Millisecond)
	defaultDuration(&o.HoleWait, o.MutateTimeout/2)
	if o.Rho == 0 {
		o.Rho = 0.01
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	return nil
}

func defaultDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}
