package multipaxos

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"gfslab/paxos"
)

// errMalformed is wrapped by every error of decode.
var errMalformed = errors.New("multipaxos: malformed message")

const (
	maxNode  = 1<<16 - 1
	maxRound = 1<<48 - 1 // a ballot packs into 64 bits
)

// A message is its kind, a set of the fields that are not zero, and those
// fields in the order of the bits. Sender and receiver are not sent: the
// connection knows them.
const (
	hasBallot = 1 << iota
	hasPromised
	hasLeader
	hasLo
	hasHi
	hasChosen
	hasID
	isDone
	hasEntries
	hasTip
	hasSettled
	hasTime
	hasData
	// ownBallots: the entries have ballots of their own, else the message's.
	ownBallots
	allBits = 1<<iota - 1
)

// body is a core's message that encodes itself.
type body paxos.Message

func (b *body) bits() uint64 {
	var bits uint64
	set := func(on bool, bit uint64) {
		if on {
			bits |= bit
		}
	}
	set(!b.Ballot.IsZero(), hasBallot)
	set(!b.Promised.IsZero(), hasPromised)
	set(b.Leader != 0, hasLeader)
	set(b.Lo != 0, hasLo)
	set(b.Hi != 0, hasHi)
	set(b.Chosen != 0, hasChosen)
	set(b.ID != 0, hasID)
	set(b.Done, isDone)
	set(b.Settled != 0, hasSettled)
	set(b.Time != 0, hasTime)
	set(len(b.Data) > 0, hasData)
	set(len(b.Entries) > 0, hasEntries)
	set(b.Tip != paxos.Tip{}, hasTip)
	for i := range b.Entries {
		if b.Entries[i].Ballot != b.Ballot {
			bits |= ownBallots
			break
		}
	}
	return bits
}

// Size implements engine.Body; it is an upper bound.
func (b *body) Size() int {
	const fields, entry = 128, 48 // more than the varints of a message, of an entry
	n := fields + len(b.Data)
	for i := range b.Entries {
		n += entry + len(b.Entries[i].Value)
	}
	return n
}

// Append implements engine.Body.
func (b *body) Append(dst []byte) []byte {
	bits := b.bits()
	dst = append(dst, byte(b.Kind))
	dst = protowire.AppendVarint(dst, bits)
	if bits&hasBallot != 0 {
		dst = appendBallot(dst, b.Ballot)
	}
	if bits&hasPromised != 0 {
		dst = appendBallot(dst, b.Promised)
	}
	for _, f := range [...]struct{ bit, value uint64 }{
		{hasLeader, uint64(b.Leader)}, {hasLo, b.Lo}, {hasHi, b.Hi}, {hasChosen, b.Chosen}, {hasID, b.ID},
		{hasSettled, b.Settled}, {hasTime, b.Time},
	} {
		if bits&f.bit != 0 {
			dst = protowire.AppendVarint(dst, f.value)
		}
	}
	if bits&hasTip != 0 {
		dst = appendBallot(dst, b.Tip.Ballot)
		dst = protowire.AppendVarint(dst, b.Tip.Slot)
	}
	if bits&hasData != 0 {
		dst = protowire.AppendBytes(dst, b.Data)
	}
	if bits&hasEntries == 0 {
		return dst
	}
	dst = protowire.AppendVarint(dst, uint64(len(b.Entries)))
	for i := range b.Entries {
		e := &b.Entries[i]
		dst = protowire.AppendVarint(dst, e.Slot)
		if bits&ownBallots != 0 {
			dst = appendBallot(dst, e.Ballot)
		}
		dst = protowire.AppendBytes(dst, e.Value)
	}
	return dst
}

func appendBallot(dst []byte, b paxos.Ballot) []byte {
	dst = protowire.AppendVarint(dst, b.Round)
	return protowire.AppendVarint(dst, uint64(b.Node))
}

// decode reads what Append wrote. The entries' values alias frame, which must
// not change afterwards. It refuses every other input, and allocates no more
// than the input justifies.
func decode(frame []byte) (paxos.Message, error) {
	var m paxos.Message
	if len(frame) == 0 {
		return m, fmt.Errorf("%w: it is empty", errMalformed)
	}
	m.Kind = paxos.Kind(frame[0])
	r := reader{rest: frame[1:]}
	bits := r.varint()
	if bits > allBits {
		return paxos.Message{}, fmt.Errorf("%w: unknown fields %#x", errMalformed, bits)
	}
	if bits&hasBallot != 0 {
		m.Ballot = r.ballot()
	}
	if bits&hasPromised != 0 {
		m.Promised = r.ballot()
	}
	if bits&hasLeader != 0 {
		m.Leader = r.node()
	}
	for _, f := range [...]struct {
		bit uint64
		to  *uint64
	}{{hasLo, &m.Lo}, {hasHi, &m.Hi}, {hasChosen, &m.Chosen}, {hasID, &m.ID}, {hasSettled, &m.Settled}, {hasTime, &m.Time}} {
		if bits&f.bit != 0 {
			*f.to = r.varint()
		}
	}
	m.Done = bits&isDone != 0
	if bits&hasTip != 0 {
		m.Tip = paxos.Tip{Ballot: r.ballot(), Slot: r.varint()}
	}
	if bits&hasData != 0 {
		m.Data = r.bytes()
	}
	if bits&hasEntries != 0 {
		m.Entries = r.entries(m.Ballot, bits&ownBallots != 0)
	}
	if r.bad || len(r.rest) != 0 {
		return paxos.Message{}, fmt.Errorf("%w: %v of %d bytes", errMalformed, m.Kind, len(frame))
	}
	// One message has one encoding: a field that is said to be there is not zero.
	if has := (*body)(&m).bits(); has != bits {
		return paxos.Message{}, fmt.Errorf("%w: %v says that it has the fields %#x, but has %#x", errMalformed, m.Kind, bits, has)
	}
	return m, nil
}

// reader consumes a frame; after a fault it stays bad and returns zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.bad, r.rest = true, nil }

func (r *reader) varint() uint64 {
	v, n := protowire.ConsumeVarint(r.rest)
	if n < 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) node() paxos.NodeID {
	v := r.varint()
	if v > maxNode {
		r.fail()
		return 0
	}
	return paxos.NodeID(v)
}

func (r *reader) ballot() paxos.Ballot {
	b := paxos.Ballot{Round: r.varint(), Node: r.node()}
	if b.Round > maxRound {
		r.fail()
		return paxos.Ballot{}
	}
	return b
}

func (r *reader) entries(ballot paxos.Ballot, own bool) []paxos.Entry {
	const least = 2 // bytes of an entry: a slot and a length
	n := r.varint()
	if n > uint64(len(r.rest)/least) {
		r.fail()
		return nil
	}
	out := make([]paxos.Entry, 0, n)
	for range n {
		e := paxos.Entry{Slot: r.varint(), Ballot: ballot}
		if own {
			e.Ballot = r.ballot()
		}
		e.Value = r.bytes()
		if r.bad {
			return nil
		}
		out = append(out, e)
	}
	return out
}

func (r *reader) bytes() []byte {
	v, n := protowire.ConsumeBytes(r.rest)
	if n < 0 {
		r.fail()
		return nil
	}
	r.rest = r.rest[n:]
	return v[:len(v):len(v)]
}
