package check

import (
	"slices"

	"gfslab/master/meta/metapb"
)

// chunkbook is the certificate's model of chunks, versions and leases.
type chunkbook struct {
	chunks map[uint64]*chunkFacts
	// now is the position of the command that is being applied, and past what was
	// true of each chunk from which position on.
	now  position
	past map[uint64][]moment
	// reserved is where each version was reserved.
	reserved map[reservation]position
}

// reservation is a version that an intent was given.
type reservation struct{ handle, version uint64 }

// moment is what holds of a chunk from one position of the log on.
type moment struct {
	at       position
	version  uint64
	reserved uint64
	members  []string
	refs     int
	goal     int
}

// note remembers what a chunk has become.
func (b *chunkbook) note(c *chunkFacts) {
	b.past[c.handle] = append(b.past[c.handle], moment{b.now, c.version, c.reserved, c.members, c.refs, c.goal})
}

// chunkFacts is what the log says of one chunk.
type chunkFacts struct {
	handle   uint64
	version  uint64 // committed by a grant
	reserved uint64 // highest that any intent was given
	members  []string
	epoch    uint64 // of the active lease; 0: none
	primary  string
	gone     bool // no file has it any more
	refs     int  // files that have it
	goal     int  // replicas that it is to have; 0: the cell's default
	kind     int32
	sealed   bool
	length   uint64 // once sealed

	intentIndex, intentVersion uint64
	intentReplicas             []string
}

// granted is one committed grant.
type granted struct {
	handle, version, epoch uint64
	primary                string
	at                     position
	members                []string
}

// answer is what the model expects of a reply. A field is compared when its want
// flag is set by being non-nil.
type answer struct {
	codes codes
	// handle, version, id, epoch: exact values where known.
	handle, version, id, epoch *uint64
}

func fixed(v uint64) *uint64 { return &v }

func subsetOf(a, b []string) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}

// properNames reports whether names are one or more different non-empty names.
func properNames(list []string) bool {
	for i, x := range list {
		if x == "" || len(x) > maxNameBytes || slices.Contains(list[:i], x) {
			return false
		}
	}
	return len(list) > 0 && len(list) <= maxReplicas
}

// fixed tells why a chunk takes no more mutations, if so.
func (c *chunkFacts) fixed() (why codes) {
	if c.refs > 1 {
		why = append(why, "SHARED")
	}
	if c.sealed {
		why = append(why, "SEALED")
	}
	return why
}

// live finds a chunk whose file is there.
func (b *chunkbook) live(handle uint64) *chunkFacts {
	if c := b.chunks[handle]; c != nil && !c.gone {
		return c
	}
	return nil
}

// intend judges a GrantIntent, given the version that the reply says it reserved.
func (b *chunkbook) intend(at position, op *metapb.GrantIntentOp, version uint64) (answer, string) {
	c := b.live(op.GetHandle())
	if c == nil {
		return answer{codes: codes{"NO_CHUNK"}}, ""
	}
	why := c.fixed()
	// A lease that the intent names goes on until the grant takes its place.
	if c.epoch != 0 && c.epoch != op.GetFences() || op.GetExpectVersion() != c.version || c.intentIndex == at.index ||
		len(c.members) > 0 && !subsetOf(op.GetReplicas(), c.members) {
		why = append(why, "STALE", "LEASE_HELD")
	}
	if why != nil {
		return answer{codes: why}, ""
	}
	if version <= c.reserved {
		return answer{}, "a version was reserved that is not above all that were reserved before"
	}
	c.reserved = version
	b.reserved[reservation{c.handle, version}] = at
	c.intentIndex, c.intentVersion, c.intentReplicas = at.index, version, slices.Clone(op.GetReplicas())
	b.note(c)
	return answer{handle: fixed(c.handle), version: fixed(version)}, ""
}

// activate judges a GrantActive.
func (b *chunkbook) activate(at position, op *metapb.GrantActiveOp) (answer, *granted) {
	c := b.live(op.GetHandle())
	if c == nil {
		return answer{codes: codes{"NO_CHUNK"}}, nil
	}
	why := c.fixed()
	if c.intentIndex == 0 || c.intentIndex != op.GetIntentIndex() || c.intentIndex == at.index {
		why = append(why, "STALE")
	} else if !subsetOf(op.GetAcked(), c.intentReplicas) {
		why = append(why, "INVALID")
	}
	if why != nil {
		return answer{codes: why}, nil
	}
	c.version, c.members = c.intentVersion, slices.Clone(op.GetAcked())
	c.epoch, c.primary = at.index, op.GetPrimary()
	c.intentIndex, c.intentVersion, c.intentReplicas = 0, 0, nil
	b.note(c)
	g := &granted{handle: c.handle, version: c.version, epoch: c.epoch, primary: c.primary, at: at}
	return answer{handle: fixed(c.handle), version: fixed(c.version), epoch: fixed(c.epoch)}, g
}

// end judges a LeaseEnd. A deleted file's chunk is kept until its lease ends.
func (b *chunkbook) end(op *metapb.LeaseEndOp) answer {
	c := b.chunks[op.GetHandle()]
	switch {
	case c == nil:
		return answer{codes: codes{"NO_CHUNK"}}
	case c.epoch != op.GetEpoch():
		return answer{codes: codes{"STALE"}}
	}
	c.epoch, c.primary = 0, ""
	if c.gone {
		delete(b.chunks, c.handle)
	}
	return answer{handle: fixed(c.handle), version: fixed(c.version)}
}

// drop takes away the chunks of a removed file, those that no other file has.
func (b *chunkbook) drop(handles []uint64) {
	for _, h := range handles {
		c := b.chunks[h]
		if c == nil {
			continue
		}
		c.refs--
		b.note(c)
		if c.refs > 0 {
			continue
		}
		if c.epoch == 0 {
			delete(b.chunks, h)
			continue
		}
		c.gone = true
		c.intentIndex, c.intentVersion, c.intentReplicas = 0, 0, nil
	}
}
