package meta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
	x := &restoring{State: newState(s.sessionAge, s.sessionLimit), above: map[uint64]uint64{rootID: 0}}
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
	above   map[uint64]uint64 // directory → the one that it is in
	holders []uint64          // directories in which there are names, in order
	files   []uint64          // ids of files

	owners    []uint64 // ids of files with extents, in order
	lastSlots uint64   // how many the groups of the last of them have so far
	slots     uint64   // sum over the slots, less that over the chunks
}

func (x *restoring) read(in *snapshotReader) error {
	if magic := in.bytes(len(snapshotMagic)); in.err == nil && string(magic) != snapshotMagic {
		return fmt.Errorf("it begins with %q, want %q (no other format is read)", magic, snapshotMagic)
	}
	x.index, x.commands = in.uint(), uint32(in.uint())
	x.time, x.nextHandle, x.nextCopy = int64(in.uint()), in.uint(), in.uint()
	hash := in.string()
	for n := in.uint(); n > 0 && in.err == nil; n-- {
		x.addServer(in.string())
	}
	checks := []func(key, value []byte) error{x.name, x.extent, x.chunk, x.session, x.attribute, x.copy}
	for i, table := range x.inOrder() {
		if in.err != nil {
			return in.err
		}
		read, err := cowtree.Read(in, checks[i])
		if err != nil {
			return err
		}
		*table = *read
	}
	sum := in.crc
	if stored := in.bytes(4); in.err == nil && binary.LittleEndian.Uint32(stored) != sum {
		return errors.New("its checksum does not match")
	}
	if in.err != nil {
		return in.err
	}
	if err := x.whole(); err != nil {
		return err
	}
	if got := x.Hash(); got != hash {
		return fmt.Errorf("the state's hash is %s, want %s", got, hash)
	}
	return nil
}

// name checks an entry of the table of names and takes what follows from it, as
// do extent, chunk, session, attribute and copy.
func (x *restoring) name(key, value []byte) error {
	n, hashed, ok := decodeNode(value)
	if !ok || len(key) < 9 || !x.possible(n.id) {
		return fmt.Errorf("name %q is malformed", key)
	}
	parent, name := binary.BigEndian.Uint64(key), key[8:]
	if n.hidden {
		var at uint64
		if name, at, ok = splitHidden(name); ok {
			var room [16]byte
			ok = x.expiry.Set(expiryKey(room[:0], n.expires, at), append(idKey(nil, parent), name...))
		}
	}
	if !ok || !validName(string(name)) || bytes.IndexByte(name, '/') >= 0 {
		return fmt.Errorf("name %q is malformed", key)
	}
	if len(x.holders) == 0 || x.holders[len(x.holders)-1] != parent {
		x.holders = append(x.holders, parent)
	}
	if n.dir {
		if _, twice := x.above[n.id]; twice || n.below > MaxPathBytes {
			return fmt.Errorf("directory %q is malformed", key)
		}
		x.above[n.id] = parent
		x.setParent(n.id, parent)
	} else {
		x.files = append(x.files, n.id)
	}
	x.sum.add(itemHash('n', key, value[:hashed]))
	return nil
}

// possible reports whether a file or directory can have been given this id.
func (x *restoring) possible(id uint64) bool {
	if id >= copyIDs {
		return id < copyID(x.nextCopy)
	}
	return id>>offsetBits >= 1 && id>>offsetBits <= x.index
}

func (x *restoring) extent(key, value []byte) error {
	fileID, group, ok := decodeExtentKey(key)
	var room [groupSlots + 1]uint64
	handles, whole := room[:0], ok && len(value) <= groupSlots*binary.MaxVarintLen64
	if whole {
		handles, whole = appendHandles(handles, value)
	}
	if n := len(x.owners); n == 0 || x.owners[n-1] != fileID {
		x.owners, x.lastSlots = append(x.owners, fileID), 0
	}
	if !whole || len(handles) == 0 || len(handles) > groupSlots || x.lastSlots != uint64(group)*groupSlots {
		return fmt.Errorf("extent %x is malformed", key)
	}
	for _, handle := range handles {
		x.slots += mix(handle)
		x.sum.add(slotHash(fileID, uint32(x.lastSlots), handle))
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
	ok = ok && x.numbered(c.members) && x.numbered(c.intent.replicas) && (c.lease.epoch == 0 || int(c.lease.primary) < len(x.servers))
	ok = ok && c.reserved >= c.version && c.goal <= maxReplicas && !(c.deleted && (c.refs != 0 || c.lease.epoch == 0))
	if !ok || handle == 0 || handle >= x.nextHandle {
		return fmt.Errorf("chunk %d is malformed", handle)
	}
	if c.deleted {
		x.orphans.Set(key, nil)
	}
	x.slots -= mix(handle) * c.refs
	x.sum.add(itemHash('c', key, value))
	return nil
}

// numbered reports whether these are numbers of different chunkservers.
func (x *restoring) numbered(numbers []uint32) bool {
	for i, n := range numbers {
		if int(n) >= len(x.servers) || slices.Contains(numbers[:i], n) {
			return false
		}
	}
	return true
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

func (x *restoring) attribute(key, value []byte) error {
	a, ok := decodeAttributes(value)
	if !ok || len(key) != 8 {
		return fmt.Errorf("attributes %x are malformed", key)
	}
	if a.limited() {
		x.quotas++
	}
	x.sum.add(itemHash('a', key, value))
	return nil
}

func (x *restoring) copy(key, value []byte) error {
	p, ok := decodeCopy(value)
	if !ok || len(key) != 8 || binary.BigEndian.Uint64(key) >= x.nextHandle || p.handle >= x.nextHandle {
		return fmt.Errorf("copy %x is malformed", key)
	}
	if _, taken := x.chunks.Get(key); taken {
		return fmt.Errorf("copy %x is of a handle in use", key)
	}
	x.sum.add(itemHash('p', key, value))
	return nil
}
