package meta

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// grantIntent reserves the next version for a set of replicas. It replaces a
// pending intent, whose version is thereby lost for good.
func (s *State) grantIntent(at position, op *metapb.GrantIntentOp) reply {
	c := s.chunks[op.Handle]
	switch {
	case c == nil || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case c.lease.epoch != 0, op.ExpectVersion != c.version,
		// GrantActive names an intent by its index alone, so a chunk has at most
		// one intent in an entry.
		c.intent.index == at.index,
		// A replica that is no member may miss data.
		len(c.members) > 0 && !subset(op.Replicas, c.members):
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	}
	c.reserved++
	c.intent = intent{index: at.index, version: c.reserved, replicas: slices.Clone(op.Replicas)}
	s.hashChunk(c)
	return reply{handle: c.handle, version: c.reserved}
}

// grantActive commits the pending intent: version, members, primary, epoch.
func (s *State) grantActive(at position, op *metapb.GrantActiveOp) reply {
	c := s.chunks[op.Handle]
	switch {
	case c == nil || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case c.intent.index == 0 || c.intent.index != op.IntentIndex,
		// The intent is known only after its entry was applied. Together with
		// one intent an entry this makes epochs unique for each chunk.
		c.intent.index == at.index:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case !subset(op.Acked, c.intent.replicas):
		return reply{code: Invalid, handle: c.handle, version: c.version}
	}
	c.version = c.intent.version
	c.members = slices.Clone(op.Acked)
	c.lease = lease{epoch: at.index, primary: op.Primary}
	c.intent = intent{}
	s.hashChunk(c)
	return reply{handle: c.handle, version: c.version, epoch: c.lease.epoch}
}

// leaseEnd ends the lease of one epoch, and of no other.
func (s *State) leaseEnd(op *metapb.LeaseEndOp) reply {
	c := s.chunks[op.Handle]
	switch {
	case c == nil:
		return reply{code: NoChunk, handle: op.Handle}
	case c.lease.epoch != op.Epoch:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	}
	c.lease = lease{}
	r := reply{handle: c.handle, version: c.version}
	if c.deleted {
		s.removeChunk(c)
		return r
	}
	s.hashChunk(c)
	return r
}

// dropChunk takes away a chunk whose file is deleted: at once, or when its lease
// ends if one is active.
func (s *State) dropChunk(c *chunk) {
	if c.lease.epoch == 0 {
		s.removeChunk(c)
		return
	}
	c.deleted = true
	c.intent = intent{}
	s.orphans[c.handle] = struct{}{}
	s.hashChunk(c)
}

func (s *State) removeChunk(c *chunk) {
	delete(s.chunks, c.handle)
	delete(s.orphans, c.handle)
	s.sum.remove(c.sum)
}
