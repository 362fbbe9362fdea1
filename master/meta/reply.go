package meta

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Code is the result of a command or a lookup. The values are api.Code's.
type Code int32

// The codes.
const (
	OK            Code = 0
	NotFound      Code = 1
	Exists        Code = 2
	NotDirectory  Code = 3
	IsDirectory   Code = 4
	NotEmpty      Code = 5
	Invalid       Code = 6
	NoChunk       Code = 7
	LeaseHeld     Code = 8
	Stale         Code = 9
	NoChunkserver Code = 10
	ChunkFull     Code = 11
	Shared        Code = 12
	Quota         Code = 13
	NotSealed     Code = 14
	Sealed        Code = 15
	WrongKind     Code = 16
	WarmingUp     Code = 17
	TooLarge      Code = 18
	Corrupt       Code = 19
)

// reply is a metapb.Reply in plain form: it is kept in the session table.
type reply struct {
	code    Code
	handle  uint64
	version uint64
	id      uint64
	epoch   uint64
	index   uint64
	offset  uint32
	count   uint64
}

// encode returns the reply as a metapb.Reply. Written by hand because it is
// one allocation where proto.Marshal and its message are three.
func (r *reply) encode(replayed bool) []byte {
	b := make([]byte, 0, 32)
	field := func(num protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, num, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	field(1, uint64(int64(r.code)))
	field(2, r.handle)
	field(3, r.version)
	field(4, r.id)
	field(5, r.epoch)
	field(6, r.index)
	field(7, uint64(r.offset))
	if replayed {
		field(8, 1)
	}
	field(9, r.count)
	return b
}
