package check

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// seal judges a Seal: only the primary of the active lease may ask for it.
func (b *chunkbook) seal(o *metapb.SealOp) answer {
	c := b.live(o.GetHandle())
	switch {
	case c == nil:
		return answer{codes: codes{"NO_CHUNK"}}
	case c.epoch == 0 || c.epoch != o.GetEpoch() || c.version != o.GetVersion():
		why := codes{"STALE"}
		if c.sealed {
			why = append(why, "SEALED")
		}
		return answer{codes: why}
	case c.sealed:
		return answer{codes: codes{"SEALED"}}
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
	case !slices.Contains(c.members, o.GetServer()):
		c.members = append(slices.Clone(c.members), o.GetServer())
	}
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}

// removeMember judges a RemoveMember.
func (b *chunkbook) removeMember(o *metapb.RemoveMemberOp) answer {
	c := b.live(o.GetHandle())
	switch {
	case c == nil:
		return answer{codes: codes{"NO_CHUNK"}}
	case c.version != o.GetVersion() || c.epoch != 0 || c.intentIndex != 0:
		return answer{codes: codes{"STALE", "LEASE_HELD"}}
	case !slices.Contains(c.members, o.GetServer()):
		return answer{codes: codes{"STALE", "INVALID"}}
	case len(c.members) == 1:
		return answer{codes: codes{"INVALID"}}
	}
	c.members = slices.DeleteFunc(slices.Clone(c.members), func(m string) bool { return m == o.GetServer() })
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}
