package client

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// maxCached bounds each of a client's caches; a full one is emptied.
const maxCached = 1 << 14

// tail is what a client believes about a file's last chunk.
type tail struct {
	index  uint32
	handle uint64
}

// belief is what a client believes about the file at a path. Nobody tells it when the
// path is renamed or removed, and the leases hold on as long as they are used: it is
// given up when it is too old.
type belief struct {
	since  time.Time // not after the master was asked for any of it
	tail   *tail
	leases map[uint32]*api.ChunkReply // the primaries of chunks, by index
}

// beliefs are by path, not by handle: handles change when a shared chunk is copied.
type beliefs map[string]*belief

// of returns the belief to add to what was asked for at a time.
func (l beliefs) of(path string, asked time.Time) *belief {
	b := l[path]
	if b == nil {
		if len(l) >= maxCached {
			clear(l)
		}
		b = &belief{since: asked, leases: make(map[uint32]*api.ChunkReply)}
		l[path] = b
	}
	return b
}

func (l beliefs) tail(path string) *tail {
	if b := l[path]; b != nil {
		return b.tail
	}
	return nil
}

func (l beliefs) lease(path string, index uint32) *api.ChunkReply {
	if b := l[path]; b != nil {
		return b.leases[index]
	}
	return nil
}

func (l beliefs) dropLease(path string, index uint32) {
	if b := l[path]; b != nil {
		delete(b.leases, index)
	}
}

// review forgets what is believed about a path if it may be too old: a mutation
// never goes to a file that had left the path LocationTimeout before it was asked for.
func (c *Client) review(path string) {
	if b := c.files[path]; b != nil && c.Now().Sub(b.since) >= c.o.LocationTimeout {
		c.Forget(path)
	}
}

// location is where a chunk's replicas were at a time.
type location struct {
	*api.ChunkReply
	at time.Time
}

// Learn keeps a chunk's replicas for LocationTimeout, unless replicas of a higher
// version are known: the client never goes back to one that it has used before. It
// is for replies of stale lookups; those of others are kept without it.
func (c *Client) Learn(r *api.ChunkReply) {
	if old := c.known(r.Handle); old == nil || old.Version <= r.Version {
		c.learn(r)
	}
}

func (c *Client) learn(r *api.ChunkReply) {
	if len(c.chunks) >= maxCached {
		clear(c.chunks)
	}
	c.chunks[r.Handle] = location{r, c.Now()}
}

// known returns the replicas of a chunk if they were learnt not too long ago.
func (c *Client) known(handle uint64) *api.ChunkReply {
	l, ok := c.chunks[handle]
	if ok && c.Now().Sub(l.at) >= c.o.LocationTimeout {
		delete(c.chunks, handle)
		return nil
	}
	return l.ChunkReply
}

// silence is how long a chunkserver that did not answer is asked last.
const silence = 10 * time.Second

// answered notes whether a chunkserver answered a read.
func (c *Client) answered(name string, err error) {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		c.silent[name] = c.Now()
	default:
		delete(c.silent, name)
	}
}

// avoided is 1 for a chunkserver that is to be asked last.
func (c *Client) avoided(name string, now time.Time) int {
	if at, ok := c.silent[name]; ok && now.Sub(at) < silence {
		return 1
	}
	return 0
}

// Forget drops what is believed about a file: whoever has replaced it by another one
// under the same name, with other clients, calls it before this client writes there.
// Else that may go to the old file's chunks for LocationTimeout.
func (c *Client) Forget(path string) {
	delete(c.files, path)
}

// forgetAll drops what is believed about all files.
func (c *Client) forgetAll() { clear(c.files) }
