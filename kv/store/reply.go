package store

import "errors"

// Code is the result of a command or a lookup. The values are api.KVCode's.
type Code byte

// The codes.
const (
	OK Code = iota
	// NotFound: there is no such key.
	NotFound
	// Conflict: the key's value is not the expected one; nothing was changed.
	Conflict
	// Invalid: the command makes no sense in any state.
	Invalid
	// Stale: the session has moved on; what became of this command is forgotten.
	Stale
)

func (c Code) String() string {
	switch c {
	case OK:
		return "ok"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Invalid:
		return "invalid"
	case Stale:
		return "stale"
	}
	return "unknown code"
}

// Reply is the answer to a command.
type Reply struct {
	Code Code
	// Revision is the key's revision after the command, 0 if there is no such key.
	Revision uint64
	// Index and Offset are the position of the command that did the work: an
	// earlier one if Replayed.
	Index    uint64
	Offset   uint32
	Replayed bool
}

// Revision is that of a key changed by the command at (index, offset). Positions
// are unique and rise, so revisions do.
func Revision(index uint64, offset uint32) uint64 { return index<<offsetBits | uint64(offset) }

// offsetBits bounds the commands of one entry to 2^20.
const offsetBits = 20

// Append appends the reply's encoding.
func (r Reply) Append(b []byte) []byte {
	b = appendBool(append(b, byte(r.Code)), r.Replayed)
	return appendUints(b, r.Revision, r.Index, uint64(r.Offset))
}

// ParseReply decodes what Append wrote.
func ParseReply(raw []byte) (Reply, error) {
	p := parser{rest: raw}
	r := Reply{Code: Code(p.byte()), Replayed: p.bool(), Revision: p.uint(), Index: p.uint()}
	offset := p.uint()
	r.Offset = uint32(offset)
	if p.bad || len(p.rest) > 0 || offset >= 1<<offsetBits || r.Code > Stale {
		return Reply{}, errors.New("store: malformed reply")
	}
	return r, nil
}
