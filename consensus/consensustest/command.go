package consensustest

import (
	"encoding/binary"
	"hash/crc32"
)

// Every command of the suite swaps one register: it stores its own id, which is
// unique in the history, and returns the id it displaced. So each result names
// its predecessor, and a lost, repeated or reordered command breaks the chain.
const (
	commandHeader  = 8 + 1 // id, key
	commandTrailer = 4     // CRC-32C of all before it
	resultBytes    = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeCommand returns a command of header, pad bytes and checksum.
func encodeCommand(id uint64, key uint8, pad int) []byte {
	b := make([]byte, 0, commandHeader+pad+commandTrailer)
	b = binary.BigEndian.AppendUint64(b, id)
	b = append(b, key)
	x := id*0x9e3779b97f4a7c15 + 1
	for range pad {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = append(b, byte(x))
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeCommand reports false if the bytes are not exactly what encodeCommand
// made: somebody changed, cut or joined them on the way.
func decodeCommand(b []byte) (id uint64, key uint8, ok bool) {
	if len(b) < commandHeader+commandTrailer {
		return 0, 0, false
	}
	body, sum := b[:len(b)-commandTrailer], binary.BigEndian.Uint32(b[len(b)-commandTrailer:])
	if crc32.Checksum(body, castagnoli) != sum {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b), b[8], true
}

// Position orders all commands of a cluster: the log index, then the place
// within the entry's batch. The zero Position is before every command.
type Position struct {
	Index  uint64
	Offset int
}

func (p Position) less(q Position) bool {
	return p.Index < q.Index || p.Index == q.Index && p.Offset < q.Offset
}
