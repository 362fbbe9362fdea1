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

// itemHash hashes one item. Items carry a kind byte and length-prefixed strings,
// so that no two different items have the same bytes.
func itemHash(item []byte) digest {
	sum := sha256.Sum256(item)
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

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Hash returns the hash of the whole state, 32 hexadecimal digits. The position
// in the log is not part of it: an entry that changes nothing leaves it alone.
func (s *State) Hash() string {
	d := s.sum
	// Not in s.scratch: readers may ask for the hash beside one another.
	d.add(itemHash(appendUints([]byte{'h'}, uint64(s.time), s.nextHandle)))
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.a)
	binary.BigEndian.PutUint64(b[8:], d.b)
	return hex.EncodeToString(b[:])
}
