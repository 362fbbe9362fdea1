package meta

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// addMember makes a clone a member. Nothing may change the chunk meanwhile, or
// the clone would miss it: no lease, no intent, and the version that was copied.
func (s *State) addMember(op *metapb.AddMemberOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case op.Version != c.version, c.version == 0, c.lease.epoch != 0, c.intent.index != 0:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case s.within([]string{op.Server}, c.members):
		return reply{code: Exists, handle: c.handle, version: c.version}
	case len(c.members) == maxReplicas:
		return reply{code: Invalid, handle: c.handle, version: c.version}
	}
	c.members = append(c.members, s.addServer(op.Server))
	s.storeChunk(&c)
	return reply{handle: c.handle, version: c.version}
}

// removeMember takes a replica out of the current ones. That of the primary of an
// active lease stays until the lease is ended.
func (s *State) removeMember(op *metapb.RemoveMemberOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case op.Version != c.version:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case !s.within([]string{op.Server}, c.members):
		return reply{code: NotFound, handle: c.handle, version: c.version}
	case len(c.members) == 1:
		return reply{code: Invalid, handle: c.handle, version: c.version}
	case c.lease.epoch != 0 && c.lease.primary == s.numbers[op.Server]:
		return reply{code: LeaseHeld, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	}
	c.members = slices.DeleteFunc(c.members, func(n uint32) bool { return n == s.numbers[op.Server] })
	s.storeChunk(&c)
	return reply{handle: c.handle, version: c.version}
}

// seal fixes the length of a chunk of records. Its lease goes on until it is
// ended, but there will be no other.
func (s *State) seal(op *metapb.SealOp) reply {
	c, found := s.loadChunk(op.Handle)
	switch {
	case !found || c.deleted:
		return reply{code: NoChunk, handle: op.Handle}
	case c.sealed && c.length == op.Length && c.version == op.Version: // the same again
		return reply{handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case c.sealed:
		return reply{code: Sealed, handle: c.handle, version: c.version}
	case c.lease.epoch == 0, c.lease.epoch != op.Epoch, c.version != op.Version:
		return reply{code: Stale, handle: c.handle, version: c.version, epoch: c.lease.epoch}
	case c.kind != Records:
		return reply{code: WrongKind, handle: c.handle, version: c.version}
	}
	c.sealed, c.length = true, op.Length
	s.storeChunk(&c)
	return reply{handle: c.handle, version: c.version, epoch: c.lease.epoch}
}
