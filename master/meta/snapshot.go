package meta

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// snapshotMagic begins every snapshot; the last character is the version.
const snapshotMagic = "gfsmeta1"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Snapshot is a captured state. It shares nothing that later Apply calls change.
//
// The capture copies one small record an item, which is linear in the number of
// items (a few hundred ns each); the sorting and the encoding happen in WriteTo.
type Snapshot struct {
	nodes      []capturedNode
	chunks     []chunk
	sessions   []session // oldest first
	nextHandle uint64
	time       int64
	index      uint64
	commands   uint32
	hash       string
}

type capturedNode struct {
	path   string
	id     uint64
	dir    bool
	chunks []uint64
}

// Snapshot captures the state.
func (s *State) Snapshot() *Snapshot {
	c := &Snapshot{
		nodes:      make([]capturedNode, 0, len(s.nodes)),
		chunks:     make([]chunk, 0, len(s.chunks)),
		sessions:   make([]session, 0, len(s.sessions.byClient)),
		nextHandle: s.nextHandle, time: s.time, index: s.index, commands: s.commands, hash: s.Hash(),
	}
	for path, n := range s.nodes {
		// A file's handles are only ever appended to, beyond the captured length.
		c.nodes = append(c.nodes, capturedNode{path, n.id, n.dir, n.chunks})
	}
	for _, ch := range s.chunks {
		c.chunks = append(c.chunks, *ch)
	}
	for x := s.sessions.oldest; x != nil; x = x.newer {
		c.sessions = append(c.sessions, *x)
	}
	return c
}

// Release frees the captured state.
func (c *Snapshot) Release() { *c = Snapshot{} }

// WriteTo writes the snapshot: the magic, the sections, and a CRC-32C of it all.
// Equal states give equal bytes.
func (c *Snapshot) WriteTo(w io.Writer) (int64, error) {
	slices.SortFunc(c.nodes, func(a, b capturedNode) int { return strings.Compare(a.path, b.path) })
	slices.SortFunc(c.chunks, func(a, b chunk) int {
		if a.handle < b.handle {
			return -1
		}
		return 1
	})
	out := &snapshotWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.write([]byte(snapshotMagic))
	out.write(appendString(appendUints(nil, c.index, uint64(c.commands), uint64(c.time), c.nextHandle), c.hash))
	var b []byte
	out.write(appendUints(b[:0], uint64(len(c.nodes))))
	for i := range c.nodes {
		n := &c.nodes[i]
		b = appendUints(appendBool(appendUints(appendString(b[:0], n.path), n.id), n.dir), uint64(len(n.chunks)))
		b = appendUints(b, n.chunks...)
		out.write(b)
	}
	out.write(appendUints(b[:0], uint64(len(c.chunks))))
	for i := range c.chunks {
		b = appendChunk(b[:0], &c.chunks[i])
		out.write(b)
	}
	out.write(appendUints(b[:0], uint64(len(c.sessions))))
	for i := range c.sessions {
		x := &c.sessions[i]
		b = appendReply(appendUints(appendString(b[:0], x.client), x.seq, x.last), &x.reply)
		out.write(b)
	}
	sum := binary.LittleEndian.AppendUint32(nil, out.crc)
	out.write(sum)
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// appendChunk is a chunk's form in a snapshot and under its hash.
func appendChunk(b []byte, c *chunk) []byte {
	b = appendUints(b, c.handle, c.fileID, uint64(c.slot), c.version, c.reserved)
	b = appendStrings(b, c.members)
	b = appendString(appendUints(b, c.lease.epoch), c.lease.primary)
	b = appendStrings(appendUints(b, c.intent.index, c.intent.version), c.intent.replicas)
	return appendBool(b, c.deleted)
}

// snapshotWriter counts and sums what it writes, and keeps the first error.
type snapshotWriter struct {
	w   *bufio.Writer
	crc uint32
	n   int64
	err error
}

func (o *snapshotWriter) write(b []byte) {
	if o.err != nil {
		return
	}
	o.crc = crc32.Update(o.crc, castagnoli, b)
	n, err := o.w.Write(b)
	o.n += int64(n)
	o.err = err
}
