package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	lengthBytes = 4
	// blockBytes is what a reader allocates at a time; messages are cut out of it.
	blockBytes = 64 << 10
	// leastRoom is the least room worth a read at the end of a block.
	leastRoom = 4 << 10
)

// frameReader cuts messages out of large blocks. A message is handed out once
// and its bytes are never written again: the receiver owns them (and with them
// keeps the block alive).
type frameReader struct {
	r   io.Reader
	max int
	// block[lo:hi] is read and not handed out.
	block  []byte
	lo, hi int
}

// next returns the next message. It is io.EOF between messages only.
func (f *frameReader) next() ([]byte, error) {
	for {
		have := f.hi - f.lo
		need := lengthBytes
		if have >= lengthBytes {
			n := binary.BigEndian.Uint32(f.block[f.lo:])
			if uint64(n) > uint64(f.max) {
				return nil, fmt.Errorf("%w message: %d bytes; at most %d are allowed", errFormat, n, f.max)
			}
			need += int(n)
			if have >= need {
				m := f.block[f.lo+lengthBytes : f.lo+need : f.lo+need]
				f.lo += need
				return m, nil
			}
		}
		if err := f.fill(need); err != nil {
			if err == io.EOF && have > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// fill reads once more, into a new block if the present one has no room for
// the message that is on its way. A block at most doubles what has really
// arrived, so that a length alone costs nothing.
func (f *frameReader) fill(need int) error {
	have := f.hi - f.lo
	room := len(f.block) - f.hi
	if room < leastRoom && (room < need-have || have < lengthBytes) {
		size := max(blockBytes, min(need, 2*have+blockBytes))
		block := make([]byte, size)
		f.hi = copy(block, f.block[f.lo:f.hi])
		f.block, f.lo = block, 0
	}
	n, err := f.r.Read(f.block[f.hi:])
	f.hi += n
	if n > 0 {
		return nil
	}
	return err
}
