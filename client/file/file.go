package file

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/client"
)

// Options configure an FS.
type Options struct {
	// Client is how each of the FS's clients is made; their names are Client.Name
	// and a suffix, so it must be unique over all time.
	Client client.Options
	// PieceBytes is how much one call moves (default and at most 1 MiB, and at most
	// an eighth of a chunk). Parallel is how many are under way (default 4).
	PieceBytes int
	Parallel   int
	// ChunkBytes is the size of chunks if no chunkserver tells it (default 64 MiB).
	ChunkBytes int64
	// Shadow makes lookups show what any master has applied, see client.WithStale.
	Shadow bool
	// OnAttempt sees each failed attempt as it ends; may be nil. Calls come from
	// several goroutines, one at a time.
	OnAttempt func(client.Attempt)
}

// FS works on the files of one cell.
type FS struct {
	o    Options
	main *client.Client
	pool chan *client.Client // Parallel of them, for pieces
	at   *api.Position       // of the last lookup, if Shadow

	mu      sync.Mutex
	trouble trouble
	puts    uint64 // so far, of inputs that no later put can have again
}

// trouble is the longest time for which an operation made no way.
type trouble struct {
	longest time.Duration
	why     string
}

// New returns an FS. The connections stay the caller's.
func New(o Options) (*FS, error) {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.PieceBytes <= 0 || o.PieceBytes > client.MaxRead {
		o.PieceBytes = client.MaxRead
	}
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = 64 << 20
	}
	f := &FS{o: o, pool: make(chan *client.Client, o.Parallel)}
	for i := range o.Parallel + 1 {
		c := o.Client
		c.Seed += uint64(i)
		if i > 0 {
			c.Name = fmt.Sprintf("%s/%d", o.Client.Name, i)
		}
		c.OnAttempt = f.attempted
		cl, err := client.New(c)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			f.main = cl
		} else {
			f.pool <- cl
		}
	}
	return f, nil
}

// Client is the client of the FS's own lookups and mutations, for what the FS has
// no method of its own for.
func (f *FS) Client() *client.Client { return f.main }

func (f *FS) attempted(a client.Attempt) {
	if a.Err == nil || f.o.OnAttempt == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.o.OnAttempt(a)
}

// borrow runs do with a client of the pool.
func (f *FS) borrow(ctx context.Context, do func(*client.Client) error) error {
	select {
	case c := <-f.pool:
		defer func() { f.pool <- c }()
		return do(c)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget drops what the clients of the pool believe about a path: they write there by
// the leases that they know, and what they know may be of a file that has another name
// by now. No piece may be under way.
func (f *FS) forget(name string) {
	for range f.o.Parallel {
		c := <-f.pool
		c.Forget(name)
		f.pool <- c
	}
}

// note keeps the longest time that an operation lost by attempts that failed. The
// reason is the first that tells more than who does not lead.
func (f *FS) note(attempts []client.Attempt) {
	var first *client.Attempt
	why := ""
	for i, a := range attempts {
		if a.Err == nil || status.Convert(a.Err).Message() == context.Canceled.Error() { // the caller's own end is no trouble
			continue
		}
		if first == nil {
			first = &attempts[i]
		}
		if why = a.Node + " " + complaint(a); status.Code(a.Err) != codes.FailedPrecondition {
			break
		}
	}
	if first == nil {
		return
	}
	lost := attempts[len(attempts)-1].End.Sub(first.Start)
	f.mu.Lock()
	defer f.mu.Unlock()
	if lost > f.trouble.longest {
		f.trouble = trouble{lost, why}
	}
}

// LongestPause is for how long the operation that suffered most made no way since
// the last call, and what its first failed attempt said.
func (f *FS) LongestPause() (time.Duration, string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trouble
	f.trouble = trouble{}
	return t.longest, t.why
}

// ShadowAt is the place in the log of the last lookup, and how far it was behind;
// nil without Options.Shadow.
func (f *FS) ShadowAt() *api.Position { return f.at }

func (f *FS) lookup(more ...client.CallOption) []client.CallOption {
	if f.o.Shadow {
		return append(more, client.WithStale(0))
	}
	return more
}
