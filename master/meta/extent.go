package meta

import "encoding/binary"

// The handles of a file's chunks are in the table of extents, groupSlots of them
// a value: the first one as it is, the others by their difference from the one
// before. The key is the file's id and the number of the group.
const groupSlots = 16

// extentKey keeps groups in order: one byte for the first 240 of a file, then
// their bytes after a byte that counts them.
func extentKey(b []byte, fileID uint64, group uint32) []byte {
	b = idKey(b, fileID)
	if group < 240 {
		return append(b, byte(group))
	}
	var be [4]byte
	binary.BigEndian.PutUint32(be[:], group)
	skip := 0
	for be[skip] == 0 {
		skip++
	}
	return append(append(b, byte(240+4-skip)), be[skip:]...)
}

// decodeExtentKey is the opposite of extentKey.
func decodeExtentKey(key []byte) (fileID uint64, group uint32, ok bool) {
	if len(key) < 9 {
		return 0, 0, false
	}
	fileID = binary.BigEndian.Uint64(key)
	if key[8] < 240 {
		return fileID, uint32(key[8]), len(key) == 9
	}
	var be [4]byte
	n := len(key) - 9
	if n != int(key[8])-240 || n > 4 || n == 0 || key[9] == 0 {
		return 0, 0, false
	}
	copy(be[4-n:], key[9:])
	group = binary.BigEndian.Uint32(be[:])
	return fileID, group, group >= 240
}

// appendHandles decodes a group.
func appendHandles(handles []uint64, value []byte) (all []uint64, ok bool) {
	d := decoder{b: value}
	last := uint64(0)
	for len(d.b) > 0 {
		v := d.uint()
		if last == 0 {
			last = v
		} else {
			last += uint64(int64(v>>1) ^ -int64(v&1))
		}
		handles = append(handles, last)
	}
	return handles, !d.bad
}

// appendHandle encodes one more handle of a group, after last (0: the first).
func appendHandle(value []byte, last, handle uint64) []byte {
	if last == 0 {
		return appendUints(value, handle)
	}
	return binary.AppendVarint(value, int64(handle-last))
}

// group looks up the handles of one group of a file.
func (s *State) group(handles []uint64, fileID uint64, group uint32) []uint64 {
	var room [13]byte
	value, _ := s.extents.Get(extentKey(room[:0], fileID, group))
	handles, _ = appendHandles(handles, value)
	return handles
}

// handleAt is the handle of one chunk of a file, 0 if there is none.
func (s *State) handleAt(fileID uint64, slot uint32) uint64 {
	var room [groupSlots]uint64
	handles := s.group(room[:0], fileID, slot/groupSlots)
	if i := int(slot % groupSlots); i < len(handles) {
		return handles[i]
	}
	return 0
}

// countSlots is the number of chunks of a file.
func (s *State) countSlots(fileID uint64) uint64 {
	var room [8]byte
	key, value, found := s.extents.Last(idKey(room[:0], fileID+1))
	if !found {
		return 0
	}
	id, group, _ := decodeExtentKey(key)
	if id != fileID {
		return 0
	}
	var handles [groupSlots]uint64
	last, _ := appendHandles(handles[:0], value)
	return uint64(group)*groupSlots + uint64(len(last))
}

// addSlot appends a chunk to a file.
func (s *State) addSlot(fileID uint64, slot uint32, handle uint64) {
	var room [13]byte
	var before [groupSlots]uint64
	key := extentKey(room[:0], fileID, slot/groupSlots)
	value, _ := s.extents.Get(key)
	handles, _ := appendHandles(before[:0], value)
	last := uint64(0)
	if len(handles) > 0 {
		last = handles[len(handles)-1]
	}
	s.scratch = appendHandle(append(s.scratch[:0], value...), last, handle)
	s.extents.Set(key, s.scratch)
	s.sum.add(slotHash(fileID, slot, handle))
}

// addSlots gives a file that has none its chunks, a group at a time.
func (s *State) addSlots(fileID uint64, handles []uint64) {
	for from := 0; from < len(handles); from += groupSlots {
		var room [13]byte
		last := uint64(0)
		s.scratch = s.scratch[:0]
		for i, handle := range handles[from:min(from+groupSlots, len(handles))] {
			s.scratch = appendHandle(s.scratch, last, handle)
			last = handle
			s.sum.add(slotHash(fileID, uint32(from+i), handle))
		}
		s.extents.Set(extentKey(room[:0], fileID, uint32(from/groupSlots)), s.scratch)
	}
}

// replaceSlot puts another chunk in the place of one that a file has.
func (s *State) replaceSlot(fileID uint64, slot uint32, old, handle uint64) {
	var room [13]byte
	var handlesRoom [groupSlots]uint64
	handles := s.group(handlesRoom[:0], fileID, slot/groupSlots)
	handles[slot%groupSlots] = handle
	s.scratch = s.scratch[:0]
	last := uint64(0)
	for _, h := range handles {
		s.scratch = appendHandle(s.scratch, last, h)
		last = h
	}
	s.extents.Set(extentKey(room[:0], fileID, slot/groupSlots), s.scratch)
	s.sum.remove(slotHash(fileID, slot, old))
	s.sum.add(slotHash(fileID, slot, handle))
}

// slotHash is the hash of one slot of a file.
func slotHash(fileID uint64, slot uint32, handle uint64) digest {
	var key, value [binary.MaxVarintLen64 * 2]byte
	return itemHash('x', appendUints(key[:0], fileID, uint64(slot)), appendUints(value[:0], handle))
}

// handlesOf returns the handles of a file's chunks, in order.
func (s *State) handlesOf(handles []uint64, fileID uint64) []uint64 {
	var room [8]byte
	prefix := idKey(room[:0], fileID)
	for key, value := range s.extents.From(prefix) {
		if string(key[:8]) != string(prefix) {
			break
		}
		handles, _ = appendHandles(handles, value)
	}
	return handles
}

// dropChunks takes away all chunks of a file that is removed, and counts them.
func (s *State) dropChunks(fileID uint64) int64 {
	s.handles = s.handlesOf(s.handles[:0], fileID)
	for i, handle := range s.handles {
		s.sum.remove(slotHash(fileID, uint32(i), handle))
		if i%groupSlots == 0 {
			var room [13]byte
			s.extents.Delete(extentKey(room[:0], fileID, uint32(i/groupSlots)))
		}
		if c, found := s.loadChunk(handle); found {
			s.dropChunk(&c)
		}
	}
	return int64(len(s.handles))
}
