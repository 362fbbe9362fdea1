package meta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// snapshotReader sums what it reads and keeps the first error; after it, its
// methods for parts return zero.
type snapshotReader struct {
	r   *bufio.Reader
	crc uint32
	one [1]byte
	err error
}

// Read and ReadByte are for cowtree.Read.
func (in *snapshotReader) Read(b []byte) (int, error) {
	n, err := in.r.Read(b)
	in.crc = crc32.Update(in.crc, castagnoli, b[:n])
	return n, err
}

func (in *snapshotReader) ReadByte() (byte, error) {
	c, err := in.r.ReadByte()
	if err == nil {
		in.one[0] = c
		in.crc = crc32.Update(in.crc, castagnoli, in.one[:])
	}
	return c, err
}

func (in *snapshotReader) uint() uint64 {
	if in.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(in)
	in.fail(err)
	return v
}

func (in *snapshotReader) bytes(n int) []byte {
	b := make([]byte, n)
	if in.err == nil {
		_, err := io.ReadFull(in, b)
		in.fail(err)
	}
	return b
}

// maxSnapshotString bounds what one damaged length can make us allocate.
const maxSnapshotString = 1 << 10

func (in *snapshotReader) string() string {
	n := in.uint()
	if n > maxSnapshotString {
		in.fail(fmt.Errorf("a string of %d bytes", n))
		return ""
	}
	return string(in.bytes(int(n)))
}

// fail keeps the first error; the end of the input is never expected.
func (in *snapshotReader) fail(err error) {
	if in.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		in.err = err
	}
}
