package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// version is the first byte of every encoded batch. It is never 0, so that a
// batch is never empty: an empty entry is a protocol's own no-op.
const version = 1

// Origin names one batch: the node that cut it, that node's incarnation and a
// sequence number within it. It lets an applier find the callers that wait, and
// lets it see that there are none.
type Origin struct {
	Node  uint64
	Nonce uint64 // drawn anew at each start of the node
	Seq   uint64
}

// ErrMalformed is wrapped by every error of Decode.
var ErrMalformed = errors.New("batch: malformed entry")

// Decoded is an entry taken apart. Its Commands alias the entry's bytes and are
// valid as long as those are.
type Decoded struct {
	Origin   Origin
	Commands [][]byte
}

// headerBytes bounds the encoded header: version, node, nonce, sequence, count.
const headerBytes = 1 + 8 + 3*binary.MaxVarintLen64

// EncodedSize bounds the size of a batch of count commands of bytes in total.
func EncodedSize(count, bytes int) int {
	return headerBytes + count*binary.MaxVarintLen32 + bytes
}

// appendHeader starts a batch; count commands must follow.
func appendHeader(dst []byte, o Origin, count int) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, o.Node)
	dst = binary.LittleEndian.AppendUint64(dst, o.Nonce)
	dst = binary.AppendUvarint(dst, o.Seq)
	return binary.AppendUvarint(dst, uint64(count))
}

func appendCommand(dst, command []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(command)))
	return append(dst, command...)
}

// Append appends the encoding of a batch to dst.
func Append(dst []byte, o Origin, commands [][]byte) []byte {
	dst = appendHeader(dst, o, len(commands))
	for _, c := range commands {
		dst = appendCommand(dst, c)
	}
	return dst
}

// Decode takes an entry apart into d, reusing d's memory. It refuses anything
// that Append did not write, and never reads beyond data or allocates more than
// data justifies.
func Decode(data []byte, d *Decoded) error {
	d.Origin, d.Commands = Origin{}, d.Commands[:0]
	if len(data) == 0 || data[0] != version {
		return fmt.Errorf("%w: no version %d mark", ErrMalformed, version)
	}
	r := reader{rest: data[1:]}
	d.Origin.Node = r.uvarint()
	d.Origin.Nonce = r.fixed64()
	d.Origin.Seq = r.uvarint()
	count := r.uvarint()
	if r.bad || count > uint64(len(r.rest)) {
		return fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(data))
	}
	for range count {
		d.Commands = append(d.Commands, r.bytes())
	}
	if r.bad || len(r.rest) != 0 {
		d.Commands = d.Commands[:0]
		return fmt.Errorf("%w: %d commands do not fill %d bytes exactly", ErrMalformed, count, len(data))
	}
	return nil
}

// reader consumes a byte slice; after a fault it stays bad and returns zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) fixed64() uint64 {
	if len(r.rest) < 8 {
		r.bad, r.rest = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
