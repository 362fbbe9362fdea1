package storage

import (
	"encoding/binary"
	"hash/crc32"
)

// The chunk layout is that of pebble's record package, which writes it (see
// segment.go). It is read here, over bytes, because record.Reader tells no
// positions, looks for evidence of corruption from the next block on only, and
// tries every single-bit repair of a bad chunk, which takes half a second on a
// large one.
const (
	blockBytes  = 32 << 10
	chunkHeader = 7

	chunkFull   = 1
	chunkFirst  = 2
	chunkMiddle = 3
	chunkLast   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the masked CRC-32C of LevelDB.
func checksum(p []byte) uint32 {
	c := crc32.Checksum(p, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// chunkAt reads the chunk whose header starts at off, which must leave room
// for a header in its block. ok is false when its bytes are not a valid chunk.
func chunkAt(data []byte, off int) (typ byte, payload []byte, ok bool) {
	if off+chunkHeader > len(data) {
		return 0, nil, false
	}
	n := int(binary.LittleEndian.Uint16(data[off+4:]))
	typ = data[off+6]
	end := off + chunkHeader + n
	if typ < chunkFull || typ > chunkLast || end > len(data) || end > blockEnd(off) {
		return 0, nil, false
	}
	if checksum(data[off+6:end]) != binary.LittleEndian.Uint32(data[off:]) {
		return 0, nil, false
	}
	return typ, data[off+chunkHeader : end], true
}

// blockEnd is the offset at which the block that holds off ends.
func blockEnd(off int) int { return off - off%blockBytes + blockBytes }

// skipTrailer moves off to the next block when no header fits into this one.
func skipTrailer(off int) int {
	if end := blockEnd(off); end-off < chunkHeader {
		return end
	}
	return off
}

type readStatus int

const (
	readOK  readStatus = iota
	readEnd            // only zeros follow: the log ends here
	readBad            // neither a record nor the end
)

// readRecord reads the record at off. A record of one chunk aliases data, a
// longer one is put together in a new slice. next is where the following
// record starts.
func readRecord(data []byte, off int) (payload []byte, next int, st readStatus) {
	off = skipTrailer(off)
	if off >= len(data) || allZero(data[off:min(off+chunkHeader, len(data))]) {
		if off >= len(data) || allZero(data[off:]) {
			return nil, off, readEnd
		}
		return nil, off, readBad
	}
	typ, p, ok := chunkAt(data, off)
	if !ok || (typ != chunkFull && typ != chunkFirst) {
		return nil, off, readBad
	}
	pos := off + chunkHeader + len(p)
	if typ == chunkFull {
		return p, pos, readOK
	}
	whole := append([]byte(nil), p...)
	for {
		pos = skipTrailer(pos)
		typ, p, ok = chunkAt(data, pos)
		if !ok || (typ != chunkMiddle && typ != chunkLast) {
			return nil, off, readBad
		}
		whole = append(whole, p...)
		pos += chunkHeader + len(p)
		if typ == chunkLast {
			return whole, pos, readOK
		}
	}
}

// confirmed scans the bytes after a bad record at off, at every offset, for the
// start of a record of this segment which says that record bad was durable when
// it was written. If there is one, what is bad was damaged later and not torn
// by a crash. It returns where it found it.
func confirmed(data []byte, off int, segment, bad uint64) (at int, yes bool) {
	for p := off + 1; p+chunkHeader <= len(data); p++ {
		typ := data[p+6]
		if typ != chunkFull && typ != chunkFirst {
			continue
		}
		if h, ok := headerAt(data, p); ok && h.segment == segment && h.durable >= bad && h.seq > bad {
			return p, true
		}
	}
	return 0, false
}

// headerAt reads the record header that starts in the chunk at off. It may
// reach into the next block: a first chunk can be as short as its own header.
func headerAt(data []byte, off int) (header, bool) {
	n := int(binary.LittleEndian.Uint16(data[off+4:]))
	// Cheap tests first: the scan calls this for every 64th byte of noise.
	if n >= headerBytes {
		if off+chunkHeader+headerBytes > len(data) || data[off+chunkHeader] != formatVersion {
			return header{}, false
		}
	} else if data[off+6] != chunkFirst || off+chunkHeader+n != blockEnd(off) {
		return header{}, false
	}
	_, p, ok := chunkAt(data, off)
	if !ok {
		return header{}, false
	}
	if len(p) >= headerBytes {
		return parseHeader(p)
	}
	next := blockEnd(off)
	typ, rest, ok := chunkAt(data, next)
	if !ok || (typ != chunkMiddle && typ != chunkLast) {
		return header{}, false
	}
	return parseHeader(append(append([]byte(nil), p...), rest[:min(len(rest), headerBytes)]...))
}

func allZero(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
