package meta

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// digest is the sum, lane by lane modulo 2^64, of the hashes of a set of items.
// Adding and removing an item are O(1) and commute, so the hash of the whole
// state costs no more than its changes and does not depend on their order.
type digest struct{ a, b uint64 }

func (d *digest) add(o digest)    { d.a += o.a; d.b += o.b }
func (d *digest) remove(o digest) { d.a -= o.a; d.b -= o.b }

// itemHash hashes one item: its kind, its key and what it means. No two
// different items have the same bytes.
func itemHash(kind byte, key, value []byte) digest {
	var room [256]byte
	b := appendUints(append(room[:0], kind), uint64(len(key)))
	sum := sha256.Sum256(append(append(b, key...), value...))
	return digest{binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])}
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendUints(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// Hash returns the hash of the whole state, 32 hexadecimal digits. The position
// in the log is not part of it: an entry that changes nothing leaves it alone.
func (s *State) Hash() string {
	d := s.sum
	// Not in s.scratch: readers may ask for the hash beside one another.
	d.add(itemHash('h', nil, appendUints(nil, uint64(s.time), s.nextHandle, s.nextCopy)))
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.a)
	binary.BigEndian.PutUint64(b[8:], d.b)
	return hex.EncodeToString(b[:])
}

// decoder takes the numbers of a table's value apart. What it is given was
// encoded here or is being checked: after the end or a malformed number it
// returns zeros, and ok tells.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// ok reports whether everything was there, and nothing else.
func (d *decoder) ok() bool { return !d.bad && len(d.b) == 0 }
