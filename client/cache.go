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

// place is a chunk by its file: handles change when a shared chunk is copied.
type place struct {
	path  string
	index uint32
}

// leases are the primaries of chunks that were asked for by path and index.
type leases map[string]map[uint32]*api.ChunkReply

func (l leases) get(p place) *api.ChunkReply { return l[p.path][p.index] }

func (l leases) add(p place, r *api.ChunkReply) {
	if l[p.path] == nil {
		if len(l) >= maxCached {
			clear(l)
		}
		l[p.path] = make(map[uint32]*api.ChunkReply)
	}
	l[p.path][p.index] = r
}

func (l leases) drop(path string, index uint32) { delete(l[path], index) }

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
// Else that goes to the old file's chunks for as long as their leases last.
func (c *Client) Forget(path string) {
	delete(c.files, path)
	delete(c.leases, path)
}

// forgetAll drops what is believed about all files.
func (c *Client) forgetAll() {
	clear(c.files)
	clear(c.leases)
}
