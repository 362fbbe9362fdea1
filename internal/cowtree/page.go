package cowtree

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// A page is a sequence of entries in the order of their keys:
//
//	shared, suffix length, value length (uvarints), suffix, value
//
// where shared is the number of bytes that the key has in common with the key
// before it, 0 for the first.

// entry is where one entry lies in a page.
type entry struct {
	start, suffix, value, end int // offsets of its header, its suffix, its value, the next entry
	shared                    int
}

// parse reads the entry at offset at, which is one.
func parse(page []byte, at int) entry {
	if at+3 <= len(page) && page[at]|page[at+1]|page[at+2] < 0x80 { // as most are
		value := at + 3 + int(page[at+1])
		return entry{at, at + 3, value, value + int(page[at+2]), int(page[at])}
	}
	e := entry{start: at}
	var suffix, value int
	e.shared, at = uvarint(page, at)
	suffix, at = uvarint(page, at)
	value, at = uvarint(page, at)
	e.suffix = at
	e.value = at + suffix
	e.end = e.value + value
	return e
}

func uvarint(page []byte, at int) (v, next int) {
	if c := page[at]; c < 0x80 {
		return int(c), at + 1
	}
	u, n := binary.Uvarint(page[at:])
	return int(u), at + n
}

func appendEntry(b []byte, shared int, suffix, value []byte) []byte {
	b = appendHead(b, shared, len(suffix), len(value))
	return append(append(b, suffix...), value...)
}

func appendHead(b []byte, shared, suffix, value int) []byte {
	b = binary.AppendUvarint(b, uint64(shared))
	b = binary.AppendUvarint(b, uint64(suffix))
	return binary.AppendUvarint(b, uint64(value))
}

// common is the length of the longest common prefix.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// find returns the first entry whose key is not below key; at the end of the
// page only its start is set. match is how much key shares with the key before
// it. The keys themselves are never put together: an entry that shares more with
// its predecessor than key does lies on the same side of key as that one.
func find(page, key []byte) (e entry, found bool, match int) {
	for at := 0; at < len(page); at = e.end {
		// Most entries are passed by on their heads alone, which are three bytes.
		for at+3 < len(page) && int(page[at]) > match && page[at]|page[at+1]|page[at+2] < 0x80 {
			at += 3 + int(page[at+1]) + int(page[at+2])
		}
		if at >= len(page) {
			break
		}
		e = parse(page, at)
		switch {
		case e.shared > match:
			continue
		case e.shared < match:
			return e, false, match
		}
		suffix, rest := page[e.suffix:e.value], key[match:]
		c := common(suffix, rest)
		switch {
		case c == len(rest):
			return e, c == len(suffix), match
		case c < len(suffix) && suffix[c] > rest[c]:
			return e, false, match
		}
		match += c
	}
	return entry{start: len(page)}, false, match
}

// insert puts key, which find did not find, before e.
func insert(page []byte, e entry, match int, key, value []byte) []byte {
	var room [64]byte
	b := appendEntry(room[:0], match, key[match:], value)
	if e.start == len(page) {
		return splice(page, e.start, e.start, b)
	}
	// The entry after it may share more with key than with its old predecessor.
	more := 0
	if e.shared == match {
		more = common(page[e.suffix:e.value], key[match:])
	}
	b = appendHead(b, e.shared+more, e.value-e.suffix-more, e.end-e.value)
	return splice(page, e.start, e.suffix+more, b)
}

// replace gives e another value.
func replace(page []byte, e entry, value []byte) []byte {
	if len(value) == e.end-e.value {
		copy(page[e.value:], value)
		return page
	}
	var room [64]byte
	b := appendEntry(room[:0], e.shared, page[e.suffix:e.value], value)
	return splice(page, e.start, e.end, b)
}

// remove takes out e, whose key is key.
func remove(page []byte, e entry, key []byte) []byte {
	if e.end == len(page) {
		return page[:e.start]
	}
	next := parse(page, e.end)
	if next.shared <= e.shared {
		return splice(page, e.start, e.end, nil)
	}
	// The entry after it loses what it shared with key alone.
	var room [64]byte
	lost := key[e.shared:next.shared]
	b := appendHead(room[:0], e.shared, len(lost)+next.value-next.suffix, next.end-next.value)
	return splice(page, e.start, next.suffix, append(b, lost...))
}

// splice puts b in place of page[i:j]. A page grows in small steps: most of the
// memory of a large map is in pages that will not grow again.
func splice(page []byte, i, j int, b []byte) []byte {
	if n := len(page) - (j - i) + len(b); n > cap(page) {
		page = append(make([]byte, 0, (n+growth-1)/growth*growth), page...)
	}
	return slices.Replace(page, i, j, b...)
}

const growth = 128

// cut splits a page before the entry that holds the byte at offset at, or as
// near to it as leaves both parts an entry; a page of one entry is not cut. It
// returns the parts, which share nothing, the last key of the left one and the
// first of the right.
func cut(page []byte, at int) (left, right, before, after []byte) {
	var key []byte
	for e := (entry{}); e.end < len(page); {
		e = parse(page, e.end)
		if e.start > 0 && (e.end > at || e.end == len(page)) {
			before = bytes.Clone(key)
			after = append(key[:e.shared], page[e.suffix:e.value]...)
			right = appendEntry(make([]byte, 0, len(page)-e.start+e.shared+8), 0, after, page[e.value:e.end])
			return bytes.Clone(page[:e.start]), append(right, page[e.end:]...), before, after
		}
		key = append(key[:e.shared], page[e.suffix:e.value]...)
	}
	return page, nil, nil, nil
}

// join appends the page right to left. They share nothing afterwards.
func join(left, right []byte) []byte {
	last := lastKey(left)
	e := parse(right, 0)
	first := right[e.suffix:e.value]
	c := common(last, first)
	page := make([]byte, 0, (len(left)+len(right)+growth-1)/growth*growth)
	page = appendEntry(append(page, left...), c, first[c:], right[e.value:e.end])
	return append(page, right[e.end:]...)
}

func lastKey(page []byte) []byte {
	var key []byte
	for e := (entry{}); e.end < len(page); {
		e = parse(page, e.end)
		key = append(key[:e.shared], page[e.suffix:e.value]...)
	}
	return key
}
