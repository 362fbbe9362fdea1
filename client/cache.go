package client

import (
	"time"

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

// learn keeps a chunk's replicas for LocationTimeout.
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

// forget drops what is believed about a file.
func (c *Client) forget(path string) {
	delete(c.files, path)
	delete(c.leases, path)
}

// forgetAll drops what is believed about all files.
func (c *Client) forgetAll() {
	clear(c.files)
	clear(c.leases)
}
