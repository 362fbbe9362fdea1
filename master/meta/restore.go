package meta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"

	"gfslab/internal/cowtree"
)

// ErrSnapshot is wrapped by every error of Restore.
var ErrSnapshot = errors.New("meta: the snapshot is damaged")

// Restore replaces the state by one that Snapshot.WriteTo wrote. On error the
// state is unchanged. Bytes that are no snapshot are refused before they cost
// more than a small multiple of their length in memory.
func (s *State) Restore(r io.Reader) error {
	in := &snapshotReader{r: bufio.NewReaderSize(r, 64<<10)}
	x := &restoring{State: newState(s.sessionAge, s.sessionLimit), dirs: map[uint64]struct{}{rootID: {}}}
	if err := x.read(in); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	*s = *x.State
	return nil
}

// restoring is a state under construction, with what is known of its parts until
// they can be held against each other.
type restoring struct {
	*State
	dirs    map[uint64]struct{}
	parents []uint64

	lastFile  uint64 // of the last extent, whose groups so far hold lastSlots
	lastSlots uint64
	slots     uint64 // sum over the extents, less that over the chunks
}

func (x *restoring) read(in *snapshotReader) error {
	if magic := in.bytes(len(snapshotMagic)); in.err == nil && string(magic) != snapshotMagic {
		return fmt.Errorf("it begins with %q, want %q", magic, snapshotMagic)
	}
	x.index, x.commands = in.uint(), uint32(in.uint())
	x.time, x.nextHandle = int64(in.uint()), in.uint()
	hash := in.string()
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		x.addServer(in.string())
	}
	for _, t := range []struct {
		table *cowtree.Tree
		check func(key, value []byte) error
	}{{&x.names, x.name}, {&x.extents, x.extent}, {&x.chunks, x.chunk}, {&x.sessions, x.session}} {
		if in.err != nil {
			return in.err
		}
		table, err := cowtree.Read(in, t.check)
		if err != nil {
			return err
		}
		*t.table = *table
	}
	sum := in.crc
	if stored := in.bytes(4); in.err == nil && binary.LittleEndian.Uint32(stored) != sum {
		return errors.New("its checksum does not match")
	}
	if in.err != nil {
		return in.err
	}
	for _, parent := range x.parents {
		if _, known := x.dirs[parent]; !known {
			return fmt.Errorf("there are names in directory %d, which is missing", parent)
		}
	}
	if x.slots != 0 {
		return errors.New("files and chunks do not agree")
	}
	if got := x.Hash(); got != hash {
		return fmt.Errorf("the state's hash is %s, want %s", got, hash)
	}
	return nil
}

// name checks an entry of the table of names and takes what follows from it, as
// do extent, chunk and session.
func (x *restoring) name(key, value []byte) error {
	n, hashed, ok := decodeNode(value)
	if !ok || len(key) < 9 || !validName(string(key[8:])) || bytes.IndexByte(key[8:], '/') >= 0 {
		return fmt.Errorf("name %q is malformed", key)
	}
	parent := binary.BigEndian.Uint64(key)
	if len(x.parents) == 0 || x.parents[len(x.parents)-1] != parent {
		x.parents = append(x.parents, parent)
	}
	if n.dir {
		// Directories with an id of their own form a tree.
		if _, twice := x.dirs[n.id]; twice || n.below > MaxPathBytes {
			return fmt.Errorf("directory %q is malformed", key)
		}
		x.dirs[n.id] = struct{}{}
	}
	x.sum.add(itemHash('n', key, value[:hashed]))
	return nil
}

func (x *restoring) extent(key, value []byte) error {
	fileID, group, ok := decodeExtentKey(key)
	var room [groupSlots + 1]uint64
	handles, whole := room[:0], ok && len(value) <= groupSlots*binary.MaxVarintLen64
	if whole {
		handles, whole = appendHandles(handles, value)
	}
	if fileID != x.lastFile {
		x.lastFile, x.lastSlots = fileID, 0
	}
	if !whole || len(handles) == 0 || len(handles) > groupSlots || x.lastSlots != uint64(group)*groupSlots {
		return fmt.Errorf("extent %x is malformed", key)
	}
	for _, handle := range handles {
		x.slots += mix(fileID, x.lastSlots, handle)
		x.lastSlots++
	}
	return nil
}

func (x *restoring) chunk(key, value []byte) error {
	if len(key) != 8 {
		return fmt.Errorf("chunk %x is malformed", key)
	}
	handle := binary.BigEndian.Uint64(key)
	c, ok := decodeChunk(handle, value)
	for _, n := range slices.Concat(c.members, c.intent.replicas) {
		ok = ok && int(n) < len(x.servers)
	}
	ok = ok && (c.lease.epoch == 0 || int(c.lease.primary) < len(x.servers))
	if !ok || handle == 0 || handle >= x.nextHandle {
		return fmt.Errorf("chunk %d is malformed", handle)
	}
	if c.deleted {
		x.orphans.Set(key, nil)
	} else {
		x.slots -= mix(c.fileID, uint64(c.slot), handle)
	}
	x.sum.add(itemHash('c', key, value))
	return nil
}

func (x *restoring) session(key, value []byte) error {
	s, hashed, ok := decodeSession(value)
	if !ok || len(key) == 0 || len(key) > MaxClientBytes || s.queued > s.last() {
		return fmt.Errorf("session %q is malformed", key)
	}
	var room [8]byte
	if !x.ages.Set(idKey(room[:0], s.queued), key) {
		return fmt.Errorf("session %q is as old as another", key)
	}
	x.sum.add(itemHash('s', key, value[:hashed]))
	return nil
}

// mix makes a number of where a chunk is, such that two sums of them are equal
// only if they are sums of the same.
func mix(fileID, slot, handle uint64) uint64 {
	high, low := bits.Mul64(fileID^0x9e3779b97f4a7c15, slot*2+0xd1b54a32d192ed03)
	high, low = bits.Mul64(high^low^handle, 0x8bb84b93962eacc9)
	return high ^ low
}

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
