package meta

import (
	"slices"

	"gfslab/master/meta/metapb"
)

func (c *twinChunk) reply(code Code) *metapb.Reply {
	return &metapb.Reply{Code: int32(code), Handle: c.handle, Version: c.version}
}

// stale is a refusal that shows the lease.
func (c *twinChunk) stale() *metapb.Reply {
	r := c.reply(Stale)
	r.Epoch = c.epoch
	return r
}

func (t *twin) grantIntent(index uint64, c *twinChunk, g *metapb.GrantIntentOp) *metapb.Reply {
	foreign := slices.ContainsFunc(g.Replicas, func(r string) bool { return !slices.Contains(c.members, r) })
	switch {
	case c.sealed:
		return c.reply(Sealed)
	case t.refs(c.handle) > 1:
		return c.reply(Shared)
	case c.epoch != 0 && c.epoch != g.Fences || g.ExpectVersion != c.version || c.intentIndex == index || c.version > 0 && foreign:
		return c.stale()
	}
	c.reserved++
	c.intentIndex, c.intent, c.intentReplicas = index, c.reserved, g.Replicas
	return &metapb.Reply{Handle: c.handle, Version: c.reserved}
}

func (t *twin) grantActive(index uint64, c *twinChunk, g *metapb.GrantActiveOp) *metapb.Reply {
	switch {
	case c.sealed:
		return c.reply(Sealed)
	case t.refs(c.handle) > 1:
		return c.reply(Shared)
	case c.intentIndex == 0 || c.intentIndex != g.IntentIndex || c.intentIndex == index:
		return c.stale()
	case slices.ContainsFunc(g.Acked, func(name string) bool { return !slices.Contains(c.intentReplicas, name) }):
		return c.reply(Invalid)
	}
	c.version, c.members, c.epoch, c.primary = c.intent, slices.Clone(g.Acked), index, g.Primary
	c.intentIndex, c.intent, c.intentReplicas = 0, 0, nil
	return &metapb.Reply{Handle: c.handle, Version: c.version, Epoch: index}
}

func (t *twin) leaseEnd(e *metapb.LeaseEndOp) *metapb.Reply {
	for _, c := range t.chunks {
		switch {
		case c.handle != e.Handle:
			continue
		case c.epoch == e.Epoch:
			c.epoch, c.primary = 0, ""
			if t.refs(c.handle) == 0 {
				t.chunks = slices.DeleteFunc(t.chunks, func(o *twinChunk) bool { return o == c })
			}
			return c.reply(OK)
		case c.intentIndex == e.Epoch && t.refs(c.handle) > 0:
			c.intentIndex, c.intent, c.intentReplicas = 0, 0, nil
			r := c.stale()
			r.Code = 0
			return r
		}
		return c.stale()
	}
	return &metapb.Reply{Code: int32(NoChunk), Handle: e.Handle}
}

func (c *twinChunk) seal(op *metapb.SealOp) *metapb.Reply {
	ok := c.stale()
	ok.Code = 0
	switch {
	case c.sealed && c.length == op.Length && c.version == op.Version:
		return ok
	case c.sealed:
		return c.reply(Sealed)
	case c.epoch == 0 || c.epoch != op.Epoch || c.version != op.Version:
		return c.stale()
	case c.kind != 0:
		return c.reply(WrongKind)
	}
	c.sealed, c.length = true, op.Length
	return ok
}

func (c *twinChunk) add(op *metapb.AddMemberOp) *metapb.Reply {
	switch {
	case op.Version != c.version || c.version == 0 || c.epoch != 0 || c.intentIndex != 0:
		return c.stale()
	case slices.Contains(c.members, op.Server):
		return c.reply(Exists)
	}
	c.members = append(c.members, op.Server)
	return c.reply(OK)
}

func (c *twinChunk) remove(op *metapb.RemoveMemberOp) *metapb.Reply {
	switch {
	case op.Version != c.version:
		return c.stale()
	case !slices.Contains(c.members, op.Server):
		return c.reply(NotFound)
	case len(c.members) == 1:
		return c.reply(Invalid)
	case c.epoch != 0 && c.primary == op.Server:
		r := c.stale()
		r.Code = int32(LeaseHeld)
		return r
	}
	c.members = slices.DeleteFunc(c.members, func(name string) bool { return name == op.Server })
	return c.reply(OK)
}

// shared checks what both commands of a copy need.
func (t *twin) shared(file uint64, slot uint32, handle uint64) (*twinChunk, *metapb.Reply) {
	n := t.byID(file)
	if n == nil || int(slot) >= len(n.slots) || n.slots[slot] != handle {
		return nil, &metapb.Reply{Code: int32(Stale), Handle: handle}
	}
	c := t.chunk(handle)
	switch {
	case c.sealed:
		return c, c.reply(Sealed)
	case t.refs(handle) < 2:
		return c, c.reply(Stale)
	}
	return c, nil
}

func (t *twin) copyBegin(op *metapb.CopyBeginOp) *metapb.Reply {
	c, refused := t.shared(op.File, op.Slot, op.Handle)
	if refused != nil {
		return refused
	}
	t.handles++
	t.copies[t.handles] = twinCopy{op.File, op.Slot, op.Handle}
	return &metapb.Reply{Handle: t.handles, Version: c.version}
}

func (t *twin) copyCommit(op *metapb.CopyCommitOp) *metapb.Reply {
	c, refused := t.shared(op.File, op.Slot, op.Handle)
	if refused != nil {
		return refused
	}
	foreign := slices.ContainsFunc(op.Members, func(name string) bool { return !slices.Contains(c.members, name) })
	if t.copies[op.Copy] != (twinCopy{op.File, op.Slot, op.Handle}) || op.Version != c.version || foreign || len(op.Members) == 0 && c.version > 0 {
		return c.reply(Stale)
	}
	delete(t.copies, op.Copy)
	t.chunks = append(t.chunks, &twinChunk{
		handle: op.Copy, kind: c.kind, goal: c.goal, version: c.version, reserved: c.version, members: slices.Clone(op.Members),
	})
	t.byID(op.File).slots[op.Slot] = op.Copy
	return &metapb.Reply{Handle: op.Copy, Version: c.version}
}
