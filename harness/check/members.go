package check

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// joining is a replica that became a member without a grant.
type joining struct {
	at              position
	handle, version uint64
	node            string
}

// seal judges a Seal: only the primary of the active lease may ask for it. To ask
// the same again changes nothing.
func (b *chunkbook) seal(o *metapb.SealOp) answer {
	c := b.live(o.GetHandle())
	if c == nil {
		return answer{codes: codes{"NO_CHUNK"}}
	}
	again := c.sealed && c.length == o.GetLength() && c.version == o.GetVersion()
	var why codes
	if c.epoch == 0 || c.epoch != o.GetEpoch() || c.version != o.GetVersion() {
		why = append(why, "STALE")
	}
	if c.sealed {
		why = append(why, "SEALED")
	}
	if c.kind != kindRecords {
		why = append(why, "WRONG_KIND")
	}
	if why != nil && !again {
		return answer{codes: why}
	}
	c.sealed, c.length = true, o.GetLength()
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}

// addMember judges an AddMember: a clone of exactly the committed version, made
// while nobody could mutate the chunk.
func (b *chunkbook) addMember(o *metapb.AddMemberOp) answer {
	c := b.live(o.GetHandle())
	switch {
	case c == nil:
		return answer{codes: codes{"NO_CHUNK"}}
	case c.version != o.GetVersion() || c.epoch != 0 || c.intentIndex != 0 || len(c.members) == 0:
		return answer{codes: codes{"STALE", "LEASE_HELD"}}
	case slices.Contains(c.members, o.GetServer()):
		return answer{codes: codes{"EXISTS"}}
	case len(c.members) == maxReplicas:
		return answer{codes: codes{"INVALID"}}
	}
	c.members = append(slices.Clone(c.members), o.GetServer())
	b.note(c)
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}

// removeMember judges a RemoveMember. The primary of an active lease stays.
func (b *chunkbook) removeMember(o *metapb.RemoveMemberOp) answer {
	c := b.live(o.GetHandle())
	if c == nil {
		return answer{codes: codes{"NO_CHUNK"}}
	}
	var why codes
	if c.version != o.GetVersion() {
		why = append(why, "STALE")
	}
	if !slices.Contains(c.members, o.GetServer()) {
		why = append(why, "NOT_FOUND")
	} else if len(c.members) == 1 {
		why = append(why, "INVALID")
	}
	if c.epoch != 0 && c.primary == o.GetServer() {
		why = append(why, "LEASE_HELD")
	}
	if why != nil {
		return answer{codes: why}
	}
	c.members = slices.DeleteFunc(slices.Clone(c.members), func(m string) bool { return m == o.GetServer() })
	b.note(c)
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}
