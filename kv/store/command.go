package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Op is what a command does.
type Op byte

// The operations that go through the log.
const (
	Put Op = iota + 1
	Delete
	CompareAndSwap
)

// The limits of a command's parts, in bytes. A compare-and-swap carries two
// values and must still fit consensus.Limits.MaxCommandBytes.
const (
	MaxKeyBytes    = 1 << 10
	MaxValueBytes  = 256 << 10
	MaxClientBytes = 200
)

// Command is one change.
type Command struct {
	// Client and Seq identify the change: the same pair again gets the stored
	// reply. An empty Client has no session, and no such protection.
	Client string
	Seq    uint64
	Op     Op
	Key    string
	// Value is the new value (Put, CompareAndSwap).
	Value []byte
	// Expect is the value that a CompareAndSwap demands; Absent demands that there
	// is none.
	Expect []byte
	Absent bool
}

// ErrCommand is wrapped by every error of ParseCommand and Command.Validate.
var ErrCommand = errors.New("store: malformed command")

// Validate reports a command that makes no sense in any state.
func (c Command) Validate() error {
	switch {
	case c.Op < Put || c.Op > CompareAndSwap:
		return fmt.Errorf("%w: operation %d", ErrCommand, c.Op)
	case c.Key == "" || len(c.Key) > MaxKeyBytes:
		return fmt.Errorf("%w: a key of %d bytes; it must have 1 to %d", ErrCommand, len(c.Key), MaxKeyBytes)
	case len(c.Value) > MaxValueBytes || len(c.Expect) > MaxValueBytes:
		return fmt.Errorf("%w: a value of more than %d bytes", ErrCommand, MaxValueBytes)
	case len(c.Client) > MaxClientBytes:
		return fmt.Errorf("%w: a client's name of %d bytes; the limit is %d", ErrCommand, len(c.Client), MaxClientBytes)
	case (c.Client == "") != (c.Seq == 0):
		return fmt.Errorf("%w: a client and its sequence number come together or not at all", ErrCommand)
	case c.Op == Delete && len(c.Value) > 0,
		c.Op != CompareAndSwap && (c.Absent || len(c.Expect) > 0),
		c.Absent && len(c.Expect) > 0:
		return fmt.Errorf("%w: it has a part that its operation does not use", ErrCommand)
	}
	return nil
}

// Append appends the command's encoding: operation · client · seq · key · value ·
// absent · expected value; strings with their length before them, integers as
// varints.
func (c Command) Append(b []byte) []byte {
	b = append(b, byte(c.Op))
	b = appendString(b, c.Client)
	b = binary.AppendUvarint(b, c.Seq)
	b = appendString(b, c.Key)
	b = appendString(b, c.Value)
	b = appendBool(b, c.Absent)
	return appendString(b, c.Expect)
}

// ParseCommand decodes what Append wrote and validates it. Value and Expect
// share raw's memory.
func ParseCommand(raw []byte) (Command, error) {
	p := parser{rest: raw}
	c := Command{
		Op: Op(p.byte()), Client: string(p.bytes(MaxClientBytes)), Seq: p.uint(), Key: string(p.bytes(MaxKeyBytes)),
		Value: p.bytes(MaxValueBytes), Absent: p.bool(), Expect: p.bytes(MaxValueBytes),
	}
	if p.bad || len(p.rest) > 0 {
		return Command{}, fmt.Errorf("%w: %d bytes that do not parse", ErrCommand, len(raw))
	}
	if err := c.Validate(); err != nil {
		return Command{}, err
	}
	return c, nil
}

// parser cuts a byte slice up; after the first bad part everything is zero.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) byte() byte {
	if p.bad || len(p.rest) == 0 {
		p.bad = true
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}

// bool takes 0 or 1 only, so that equal commands have equal bytes.
func (p *parser) bool() bool {
	c := p.byte()
	if c > 1 {
		p.bad = true
	}
	return c == 1 && !p.bad
}

func (p *parser) uint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if p.bad || n <= 0 || n != len(binary.AppendUvarint(nil, v)) {
		p.bad = true
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) bytes(limit int) []byte {
	n := p.uint()
	if p.bad || n > uint64(limit) || n > uint64(len(p.rest)) {
		p.bad = true
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendUints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}
