package master

import (
	"time"

	"gfslab/api"
	"gfslab/master/meta"
)

// verdict is what a chunk's members are worth, as far as this master has heard.
// Currency is membership, which is in the log; only what else is true of a
// member is judged here.
type verdict struct {
	goal int
	// fine: as many members as the goal, all of them confirmed; nothing else is set.
	fine bool
	// current are the members that are alive and have the chunk's version, or may
	// have it because no full report of theirs was heard yet; confirmed are those
	// that reported it.
	current, confirmed []string
	// corrupt are alive, with bad bytes. lost are dead, or have no replica of the
	// version.
	corrupt, lost []string
}

// glance is judge for chunks of which most are as they should be. Call with mu held.
func (t *chunkservers) glance(c *meta.Chunk, goal int, now time.Time) verdict {
	fine := len(c.Members) == goal
	for _, name := range c.Members {
		if s := t.byName[name]; !fine || s == nil || !t.alive(s, now) || !s.has(c) {
			return t.judge(c, goal, now)
		}
	}
	return verdict{goal: goal, fine: fine}
}

// has reports whether it said that it has a good replica of the chunk's version.
func (c *chunkserver) has(chunk *meta.Chunk) bool {
	x, found := c.replicas.get(chunk.Handle)
	return found && uint64(x.version) >= chunk.Version && !c.replicas.isCorrupt(chunk.Handle)
}

// judge looks at each member. Call with mu held.
func (t *chunkservers) judge(c *meta.Chunk, goal int, now time.Time) verdict {
	v := verdict{goal: goal}
	for _, name := range c.Members {
		s := t.byName[name]
		if s == nil || !t.alive(s, now) {
			v.lost = append(v.lost, name)
			continue
		}
		_, found := s.replicas.get(c.Handle)
		switch {
		case found && s.replicas.isCorrupt(c.Handle):
			v.corrupt = append(v.corrupt, name)
		case s.has(c):
			v.current, v.confirmed = append(v.current, name), append(v.confirmed, name)
		case !found && !s.complete:
			v.current = append(v.current, name)
		default:
			v.lost = append(v.lost, name)
		}
	}
	return v
}

// under reports whether another replica is needed.
func (v *verdict) under() bool { return len(v.current) < v.goal }

// over reports whether a member can be given up: as many as the goal are
// confirmed, and remain so.
func (v *verdict) over() bool {
	return len(v.confirmed) > v.goal || len(v.confirmed) == v.goal && len(v.current)+len(v.corrupt)+len(v.lost) > v.goal && len(v.current) == v.goal
}

// repairable reports whether a corrupt replica can be given up: another good one
// is known for sure.
func (v *verdict) repairable() bool { return len(v.corrupt) > 0 && len(v.confirmed) > 0 }

// acked notes that the chunkservers have a version of a chunk, which they said
// otherwise than by a report.
func (t *chunkservers) acked(names []string, handle, version uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		c := t.byName[name]
		if c == nil || version > maxVersion {
			continue
		}
		if x, _ := c.replicas.get(handle); uint64(x.version) < version {
			c.replicas.put(handle, heldReplica{version: uint32(version), length: x.length}, c.replicas.isCorrupt(handle))
		}
	}
}

// withoutCorrupt leaves out chunkservers whose replica of the chunk is corrupt, if
// others remain: it is to be replaced, not written to.
func (t *chunkservers) withoutCorrupt(handle uint64, names []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	good := make([]string, 0, len(names))
	for _, name := range names {
		if c := t.byName[name]; c == nil || !c.replicas.isCorrupt(handle) {
			good = append(good, name)
		}
	}
	if len(good) == 0 {
		return names
	}
	return good
}

// length is the longest replica of the version that a member reported.
func (t *chunkservers) length(c *meta.Chunk) (length uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range c.Members {
		if s := t.byName[name]; s != nil {
			if x, found := s.replicas.get(c.Handle); found && uint64(x.version) >= c.Version {
				length = max(length, uint64(x.length))
			}
		}
	}
	return length
}

// locate leaves the addresses only of those members that a reader can go to: they
// are alive, and have the version and no bad bytes as far as is known. The reply
// is WARMING_UP if this master has heard too little to know of any; the members
// stand, because they are in the log. Under a lease, whose grant they acknowledged,
// members may not have reported the version yet.
func (m *Master) locate(reply *api.ChunkReply) *api.ChunkReply {
	if reply.Code != api.Code_OK || len(reply.Replicas) == 0 {
		return reply
	}
	c := meta.Chunk{Handle: reply.Handle, Version: reply.Version, Members: reply.Replicas}
	now := m.o.Now()
	m.servers.mu.Lock()
	v := m.servers.judge(&c, 0, now)
	located := v.current
	if reply.Epoch != 0 {
		for _, name := range v.lost {
			if s := m.servers.byName[name]; s != nil && m.servers.alive(s, now) {
				located = append(located, name)
			}
		}
	}
	m.servers.mu.Unlock()
	switch {
	case len(located) > 0:
		reply.Addresses = m.servers.addresses(located)
	case m.warmingUp():
		reply.Code, reply.Addresses = api.Code_WARMING_UP, nil
	default:
		reply.Addresses = nil
	}
	return reply
}
