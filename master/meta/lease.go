package meta

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// grantIntent reserves the next version for a set of replicas. It replaces a
// pending intent, whose version is thereby lost for good. A lease that it fences
// stays active until grantActive, so that nobody takes the chunk for quiet.
func (s *State) grantIntent(at position, op *metapb.GrantIntentOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case c.sealed:
		return reply{code: Sealed, handle: c.handle, version: c.version}
	case c.refs > 1:
		return reply{code: Shared, handle: c.handle, version: c.version}
	case c.lease.epoch != 0 && c.lease.epoch != op.Fences, op.ExpectVersion != c.version,
		// GrantActive names an intent by its index alone, so a chunk has at most
		// one intent in an entry.
		c.intent.index == at.index,
		// A replica that is no member may miss data.
		len(c.members) > 0 && !s.within(op.Replicas, c.members):
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	}
	c.reserved++
	c.intent = intent{index: at.index, replicas: s.addServers(op.Replicas)}
	s.storeChunk(&c)
	return reply{handle: c.handle, version: c.reserved}
}

// grantActive commits the pending intent: version, members, primary, epoch.
func (s *State) grantActive(at position, op *metapb.GrantActiveOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case c.sealed:
		return reply{code: Sealed, handle: c.handle, version: c.version}
	case c.refs > 1:
		return reply{code: Shared, handle: c.handle, version: c.version}
	case c.intent.index == 0 || c.intent.index != op.IntentIndex,
		// The intent is known only after its entry was applied. Together with
		// one intent an entry this makes epochs unique for each chunk.
		c.intent.index == at.index:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case !s.within(op.Acked, c.intent.replicas):
		return reply{code: Invalid, handle: c.handle, version: c.version}
	}
	c.version = c.reserved
	c.members = s.addServers(op.Acked)
	c.lease = lease{epoch: at.index, primary: s.numbers[op.Primary]}
	c.intent = intent{}
	s.storeChunk(&c)
	return reply{handle: c.handle, version: c.version, epoch: c.lease.epoch}
}

// leaseEnd ends the lease of one epoch, and of no other. What is given up may be
// an intent, named by its index: whoever activates it later is refused.
func (s *State) leaseEnd(op *metapb.LeaseEndOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found:
		return reply{code: NoChunk, handle: op.Handle}
	case c.lease.epoch != op.Epoch && c.intent.index == op.Epoch:
		c.intent = intent{}
		s.storeChunk(&c)
		return reply{handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case c.lease.epoch != op.Epoch:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	}
	c.lease = lease{}
	r := reply{handle: c.handle, version: c.version}
	if c.deleted {
		s.removeChunk(&c)
		return r
	}
	s.storeChunk(&c)
	return r
}

// within reports whether every chunkserver named is one of those numbered.
func (s *State) within(names []string, numbers []uint32) bool {
	for _, name := range names {
		if n, known := s.numbers[name]; !known || !slices.Contains(numbers, n) {
			return false
		}
	}
	return true
}

// addServers gives chunkservers their numbers.
func (s *State) addServers(names []string) []uint32 {
	numbers := make([]uint32, len(names))
	for i, name := range names {
		numbers[i] = s.addServer(name)
	}
	return numbers
}
