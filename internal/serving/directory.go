package serving

import (
	"sync/atomic"

	"gfslab/api"
	"gfslab/consensus"
)

// Directory knows the members of a replica's cluster and where clients reach
// them. A nil *Directory knows nobody. Its methods may be called from any
// goroutine.
type Directory struct {
	clients func(consensus.Peer) string
	index   atomic.Uint64
	replica atomic.Pointer[consensus.Replica]
}

// NewDirectory returns a directory. clients says where clients reach a member,
// "" if that is not known; nil: at the address where its peers do.
func NewDirectory(clients func(consensus.Peer) string) *Directory {
	if clients == nil {
		clients = func(p consensus.Peer) string { return p.Addr }
	}
	return &Directory{clients: clients}
}

// Observe returns an observer for the replica that also tells the directory; next
// may be nil.
func (d *Directory) Observe(next func(consensus.Event)) func(consensus.Event) {
	return func(e consensus.Event) {
		if e.Kind == consensus.EventMembers {
			d.saw(e.Index)
		}
		if next != nil {
			next(e)
		}
	}
}

func (d *Directory) saw(index uint64) {
	for {
		old := d.index.Load()
		if index <= old || d.index.CompareAndSwap(old, index) {
			return
		}
	}
}

// Attach tells whose cluster it is.
func (d *Directory) Attach(r consensus.Replica) {
	d.replica.Store(&r)
	if m, ok := d.Members(); ok {
		d.saw(m.Index)
	}
}

// Index is the log index of the configuration that the replica is in. It is
// cheap enough to go into every reply.
func (d *Directory) Index() uint64 {
	if d == nil {
		return 0
	}
	return d.index.Load()
}

// Members is the replica's configuration; ok is false for one without.
func (d *Directory) Members() (m consensus.Members, ok bool) {
	if d == nil {
		return m, false
	}
	r := d.replica.Load()
	if r == nil {
		return m, false
	}
	membership, ok := (*r).(consensus.Membership)
	if !ok {
		return m, false
	}
	return membership.Members(), true
}

// Newer returns all members, learners included, if they are of a newer
// configuration than index, and that one's index.
func (d *Directory) Newer(index uint64) (members []*api.Member, at uint64) {
	if d.Index() <= index {
		return nil, 0
	}
	m, ok := d.Members()
	if !ok || m.Index <= index {
		return nil, 0
	}
	return d.describe(m.All()), m.Index
}

func (d *Directory) describe(peers []consensus.Peer) []*api.Member {
	var out []*api.Member
	for _, p := range peers {
		out = append(out, &api.Member{Id: uint64(p.ID), Address: p.Addr, Clients: d.clients(p)})
	}
	return out
}
