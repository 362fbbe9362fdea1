package hashiraft

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// roster follows the configurations of the cluster: the one that the state
// machine has come to (Members), and the newest in the log, which Raft goes by
// from the moment it is stored.
type roster struct {
	// changed is called, outside the lock, with everybody to talk to, and the
	// highest identity that is known to have been a member.
	changed func(peers []consensus.Peer, highest consensus.NodeID)

	mu sync.Mutex
	// contacts are whom a replica talks to that is no member yet.
	contacts []consensus.Peer
	self     consensus.NodeID
	members  consensus.Members
	// At most one configuration of a log is not committed, so truncation leads
	// back to the one before the newest at most.
	before, newest configured
	electors       atomic.Pointer[electorate]
}

// configured is a configuration in the log.
type configured struct {
	index   uint64
	servers raft.Configuration
}

// electorate is who votes by the newest configuration in the log.
type electorate struct {
	index  uint64
	voters []raft.ServerID
	self   bool // we are one of them
	// servers are all its members, highest the highest identity there was.
	servers []raft.Server
	highest consensus.NodeID
	// addresses are everybody's to talk to.
	addresses map[raft.ServerID]raft.ServerAddress
}

// has reports whether a server votes or learns.
func (e *electorate) has(id raft.ServerID) bool {
	return slices.ContainsFunc(e.servers, func(s raft.Server) bool { return s.ID == id })
}

// others is how many of the voters, ourselves not counted, must agree with us.
func (e *electorate) others() int {
	n := len(e.voters)/2 + 1
	if e.self {
		n--
	}
	return n
}

func newRoster() *roster {
	r := &roster{changed: func([]consensus.Peer, consensus.NodeID) {}}
	r.electors.Store(&electorate{})
	return r
}

// appended notes a configuration that enters the log.
func (r *roster) appended(index uint64, servers raft.Configuration) {
	r.update(func() {
		r.before, r.newest = r.newest, configured{index, servers}
	})
}

// found notes a configuration that is read from the log; only Open reads one
// that is not known.
func (r *roster) found(index uint64, servers raft.Configuration) {
	r.mu.Lock()
	known := index <= r.newest.index
	r.mu.Unlock()
	if !known {
		r.appended(index, servers)
	}
}

// truncated notes that the log is cut from an index on.
func (r *roster) truncated(from uint64) {
	r.update(func() {
		if r.newest.index >= from {
			r.newest = r.before
		}
	})
}

// applied notes a configuration that is committed and that the state machine
// has come to, and returns it.
func (r *roster) applied(index uint64, servers raft.Configuration) consensus.Members {
	var m consensus.Members
	r.update(func() {
		m = membersOf(index, servers, r.members.MaxID)
		r.members = m
	})
	return m
}

// restored notes that a snapshot has replaced everything.
func (r *roster) restored(m consensus.Members) {
	r.update(func() {
		r.members = m
		r.newest = configured{m.Index, serversOf(m)}
		r.before = r.newest
	})
}

// current is the configuration that the state machine has come to.
func (r *roster) current() consensus.Members {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members
}

func (r *roster) update(change func()) {
	r.mu.Lock()
	change()
	e := &electorate{index: r.newest.index, servers: r.newest.servers.Servers}
	for _, s := range r.newest.servers.Servers {
		if s.Suffrage == raft.Voter {
			e.voters = append(e.voters, s.ID)
			e.self = e.self || nodeID(s.ID) == r.self
		}
	}
	peers, highest := r.everybody()
	e.highest = highest
	e.addresses = make(map[raft.ServerID]raft.ServerAddress, len(peers))
	for _, p := range peers {
		e.addresses[serverID(p.ID)] = raft.ServerAddress(p.Addr)
	}
	r.electors.Store(e)
	r.mu.Unlock()
	r.changed(peers, highest)
}

// everybody runs under mu. Of two members at one address the newer is meant.
func (r *roster) everybody() ([]consensus.Peer, consensus.NodeID) {
	newest := membersOf(r.newest.index, r.newest.servers, r.members.MaxID)
	all := slices.Concat(newest.All(), r.members.All())
	if len(all) == 0 || !newest.IsMember(r.self) && !r.members.IsMember(r.self) {
		all = append(all, r.contacts...)
	}
	slices.SortStableFunc(all, func(a, b consensus.Peer) int { return cmp.Compare(b.ID, a.ID) })
	var peers []consensus.Peer
	for _, p := range all {
		if !slices.ContainsFunc(peers, func(q consensus.Peer) bool { return q.ID == p.ID || q.Addr == p.Addr }) {
			peers = append(peers, p)
		}
	}
	return peers, newest.MaxID
}

// membersOf translates the library's configuration. Staging servers are its
// word for voters that it never uses.
func membersOf(index uint64, c raft.Configuration, maxID consensus.NodeID) consensus.Members {
	var voters, learners []consensus.Peer
	for _, s := range c.Servers {
		p := consensus.Peer{ID: nodeID(s.ID), Addr: string(s.Address)}
		if s.Suffrage == raft.Voter {
			voters = append(voters, p)
		} else {
			learners = append(learners, p)
		}
	}
	m := consensus.Founders(voters)
	l := consensus.Founders(learners)
	m.Index, m.Learners, m.MaxID = index, l.Voters, max(m.MaxID, l.MaxID, maxID)
	return m
}

// serversOf is the way back.
func serversOf(m consensus.Members) raft.Configuration {
	c := configuration(m.Voters)
	for _, p := range m.Learners {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Nonvoter, ID: serverID(p.ID), Address: raft.ServerAddress(p.Addr)})
	}
	return c
}
