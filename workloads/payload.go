package workloads

import "encoding/binary"

// Payload fills b with the bytes that the client's operation seq appends or
// writes: different for every operation, the same for the same (client, seq), so
// that a checker can make them again.
func Payload(b []byte, client string, seq uint64) {
	x := seq
	for _, c := range []byte(client) {
		x = x*1099511628211 + uint64(c)
	}
	var word [8]byte
	for i := 0; i < len(b); i += 8 {
		x = x*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(word[:], x)
		copy(b[i:], word[:])
	}
}
