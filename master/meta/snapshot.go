package meta

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"gfslab/internal/cowtree"
)

// snapshotMagic begins every snapshot; the last character is the version.
const snapshotMagic = "gfsmeta3"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot is a captured state. It shares nothing that later Apply calls change.
type Snapshot struct {
	tables []cowtree.View

	servers    []string
	nextHandle uint64
	nextCopy   uint64
	time       int64
	index      uint64
	commands   uint32
	hash       string
}

// Snapshot captures the state. It takes constant time; later Apply calls copy
// what they change for the first time, a page of about 1 KiB each.
func (s *State) Snapshot() *Snapshot {
	c := &Snapshot{
		servers:    s.servers[:len(s.servers):len(s.servers)],
		nextHandle: s.nextHandle, nextCopy: s.nextCopy, time: s.time, index: s.index, commands: s.commands, hash: s.Hash(),
	}
	for _, table := range s.inOrder() {
		c.tables = append(c.tables, table.Capture())
	}
	return c
}

// inOrder lists the tables as a snapshot has them.
func (t *tables) inOrder() []*cowtree.Tree {
	return []*cowtree.Tree{&t.names, &t.extents, &t.chunks, &t.sessions, &t.attributes, &t.copies}
}

// Release frees the captured state.
func (c *Snapshot) Release() { *c = Snapshot{} }

// WriteTo writes the snapshot: the magic, the numbers, the tables, and a CRC-32C
// of it all. It needs some 10 KiB of memory. Equal states give equal bytes.
func (c *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &snapshotWriter{w: bufio.NewWriter(w)}
	b := appendUints([]byte(snapshotMagic), c.index, uint64(c.commands), uint64(c.time), c.nextHandle, c.nextCopy)
	b = appendUints(appendString(b, c.hash), uint64(len(c.servers)))
	for _, name := range c.servers {
		b = appendString(b, name)
	}
	_, err := out.Write(b)
	for _, table := range c.tables {
		if err == nil {
			err = table.Write(out)
		}
	}
	if err == nil {
		_, err = out.Write(binary.LittleEndian.AppendUint32(nil, out.crc))
	}
	if err == nil {
		err = out.w.Flush()
	}
	return out.n, err
}

// snapshotWriter counts and sums what passes through.
type snapshotWriter struct {
	w   *bufio.Writer
	crc uint32
	n   int64
}

func (o *snapshotWriter) Write(b []byte) (int, error) {
	o.crc = crc32.Update(o.crc, castagnoli, b)
	n, err := o.w.Write(b)
	o.n += int64(n)
	return n, err
}
