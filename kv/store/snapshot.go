package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tidwall/btree"
)

// snapshotMagic begins every snapshot; the last character is the version.
const snapshotMagic = "gfskv__1"

// ErrSnapshot is wrapped by every error of Restore.
var ErrSnapshot = errors.New("store: the snapshot is damaged")

// Snapshot is a captured state. It shares the trees' nodes with the store, which
// copies a node before it changes it.
type Snapshot struct {
	items    *btree.Map[string, item]
	sessions *btree.Map[string, session]
	uses     *btree.Map[uint64, string]
	index    uint64
	commands uint32
	hash     string
}

// Snapshot captures the state in constant time. It counts as a change: it must
// not run beside Apply or a lookup.
func (s *Store) Snapshot() *Snapshot {
	return &Snapshot{
		items: s.items.Copy(), sessions: s.sessions.Copy(), uses: s.uses.Copy(),
		index: s.index, commands: s.commands, hash: s.Hash(),
	}
}

// Release lets the captured state go.
func (c *Snapshot) Release() { *c = Snapshot{} }

// WriteTo writes the snapshot: the magic, the sections, and a CRC-32C of it all.
// Equal states give equal bytes. It may run beside the store's changes.
func (c *Snapshot) WriteTo(w io.Writer) (int64, error) {
	out := &writer{w: bufio.NewWriterSize(w, 64<<10)}
	out.write([]byte(snapshotMagic))
	b := appendString(appendUints(nil, c.index, uint64(c.commands)), c.hash)
	out.write(appendUints(b, uint64(c.items.Len())))
	c.items.Scan(func(key string, it item) bool {
		b = appendItem(b[:0], key, it)
		out.write(b)
		return out.err == nil
	})
	out.write(appendUints(b[:0], uint64(c.sessions.Len())))
	c.uses.Scan(func(_ uint64, client string) bool { // the order of use, oldest first
		x, _ := c.sessions.Get(client)
		b = appendSession(b[:0], client, x)
		out.write(b)
		return out.err == nil
	})
	out.write(binary.LittleEndian.AppendUint32(nil, out.crc))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// writer counts and sums what it writes, and keeps the first error.
type writer struct {
	w   *bufio.Writer
	crc uint32
	n   int64
	err error
}

func (o *writer) write(b []byte) {
	if o.err != nil {
		return
	}
	o.crc = crc32.Update(o.crc, crc32.MakeTable(crc32.Castagnoli), b)
	n, err := o.w.Write(b)
	o.n += int64(n)
	o.err = err
}

// Restore replaces the state by one that Snapshot.WriteTo wrote. It reads no
// further than the snapshot's end needs a buffer for. On error the state is
// unchanged.
func (s *Store) Restore(r io.Reader) error {
	in := &reader{r: bufio.NewReaderSize(r, 64<<10)}
	fresh := newStore(s.maxSessions)
	if magic := in.bytes(len(snapshotMagic)); in.err == nil && string(magic) != snapshotMagic {
		in.fail(fmt.Errorf("it begins with %q, want %q", magic, snapshotMagic))
	}
	fresh.index, fresh.commands = in.uint(), uint32(in.uint())
	hash := string(in.string(64))
	fresh.readItems(in)
	fresh.readSessions(in)
	sum := in.crc
	if stored := in.bytes(4); in.err == nil && binary.LittleEndian.Uint32(stored) != sum {
		in.fail(errors.New("its checksum does not match"))
	}
	if got := fresh.Hash(); in.err == nil && got != hash {
		in.fail(fmt.Errorf("the state's hash is %s, want %s", got, hash))
	}
	if in.err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, in.err)
	}
	*s = *fresh
	return nil
}

func (s *Store) readItems(in *reader) {
	last := ""
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		key := string(in.string(MaxKeyBytes))
		it := item{revision: in.uint(), value: string(in.string(MaxValueBytes))}
		switch {
		case in.err != nil:
			return
		case key <= last: // the empty key is none
			in.fail(fmt.Errorf("key %q follows %q", key, last))
			return
		}
		last = key
		s.setItem(key, it)
	}
}

func (s *Store) readSessions(in *reader) {
	last := uint64(0)
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		client := string(in.string(MaxClientBytes))
		x := session{seq: in.uint(), used: in.uint()}
		x.reply = Reply{Code: Code(in.byte()), Replayed: in.byte() != 0, Revision: in.uint(), Index: in.uint(), Offset: uint32(in.uint())}
		_, twice := s.sessions.Get(client)
		switch {
		case in.err != nil:
			return
		case client == "" || twice || x.used <= last:
			in.fail(fmt.Errorf("the session of %q is out of place", client))
			return
		}
		last = x.used
		s.keep(client, x)
	}
}

// reader sums what it reads and keeps the first error; after it, every method
// returns zero.
type reader struct {
	r   *bufio.Reader
	crc uint32
	one [1]byte
	err error
}

// ReadByte makes the reader an io.ByteReader for varints.
func (in *reader) ReadByte() (byte, error) {
	c, err := in.r.ReadByte()
	if err == nil {
		in.one[0] = c
		in.crc = crc32.Update(in.crc, crc32.MakeTable(crc32.Castagnoli), in.one[:])
	}
	return c, err
}

func (in *reader) byte() byte {
	if in.err != nil {
		return 0
	}
	c, err := in.ReadByte()
	in.fail(err)
	return c
}

func (in *reader) uint() uint64 {
	if in.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(in)
	in.fail(err)
	if err != nil {
		return 0
	}
	return v
}

func (in *reader) bytes(n int) []byte {
	b := make([]byte, n)
	if in.err != nil {
		return b
	}
	_, err := io.ReadFull(in.r, b)
	in.fail(err)
	in.crc = crc32.Update(in.crc, crc32.MakeTable(crc32.Castagnoli), b)
	return b
}

// string reads a string of at most limit bytes: what a damaged length can make
// us allocate.
func (in *reader) string(limit int) []byte {
	n := in.uint()
	if n > uint64(limit) {
		in.fail(fmt.Errorf("a string of %d bytes, the limit is %d", n, limit))
		return nil
	}
	return in.bytes(int(n))
}

// fail keeps the first error; the end of the input is never expected.
func (in *reader) fail(err error) {
	if in.err == nil && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		in.err = err
	}
}
