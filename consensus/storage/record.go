package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// formatVersion is the first byte of every record.
const formatVersion = 1

// Kinds of records.
const (
	kindHead  = 1 // first record of a segment: the whole state except entries
	kindBatch = 2 // one Commit
)

// headerBytes is the length of the fixed part in front of every record's body.
const headerBytes = 2 + 4*8

// header is the fixed part of a record.
type header struct {
	version byte
	kind    byte
	segment uint64 // number of the file it was written to
	seq     uint64 // counts records over all segments, without a hole
	durable uint64 // highest seq known to be durable when this was written
	oldest  uint64 // oldest segment that recovery needs
}

func appendHeader(dst []byte, h header) []byte {
	dst = append(dst, h.version, h.kind)
	dst = binary.LittleEndian.AppendUint64(dst, h.segment)
	dst = binary.LittleEndian.AppendUint64(dst, h.seq)
	dst = binary.LittleEndian.AppendUint64(dst, h.durable)
	return binary.LittleEndian.AppendUint64(dst, h.oldest)
}

// parseHeader reads the fixed part; ok is false when p is too short.
func parseHeader(p []byte) (h header, ok bool) {
	if len(p) < headerBytes {
		return header{}, false
	}
	return header{
		version: p[0], kind: p[1],
		segment: binary.LittleEndian.Uint64(p[2:]),
		seq:     binary.LittleEndian.Uint64(p[10:]),
		durable: binary.LittleEndian.Uint64(p[18:]),
		oldest:  binary.LittleEndian.Uint64(p[26:]),
	}, true
}

// cut is the note that a head keeps of what recovery cut away before it.
type cut struct {
	segment uint64
	offset  uint64
	bytes   uint64
}

// appendBody encodes a batch. Optional byte strings are length+1, 0 = nil.
func appendBody(dst []byte, b *Batch, c cut) []byte {
	dst = appendOptional(dst, b.HardState)
	dst = binary.AppendUvarint(dst, b.TruncateFrom)
	dst = binary.AppendUvarint(dst, b.CompactTo)
	dst = binary.AppendUvarint(dst, c.segment)
	dst = binary.AppendUvarint(dst, c.offset)
	dst = binary.AppendUvarint(dst, c.bytes)
	dst = binary.AppendUvarint(dst, uint64(len(b.Stable)))
	for _, kv := range b.Stable {
		dst = binary.AppendUvarint(dst, uint64(len(kv.Key)))
		dst = append(dst, kv.Key...)
		dst = appendOptional(dst, kv.Value)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Entries)))
	var prev uint64
	for i := range b.Entries {
		e := &b.Entries[i]
		dst = binary.AppendUvarint(dst, e.Index-prev)
		dst = binary.AppendUvarint(dst, e.Stamp)
		dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
		dst = append(dst, e.Data...)
		prev = e.Index
	}
	return dst
}

func appendOptional(dst, v []byte) []byte {
	if v == nil {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v))+1)
	return append(dst, v...)
}

var errShort = errors.New("body ends early")

// decoder reads a body. The first error sticks; every read after it is zero.
type decoder struct {
	p   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.err = errShort
		return 0
	}
	d.p = d.p[n:]
	return v
}

// bytes returns the next n bytes, aliasing the body.
func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.p)) {
		d.err = errShort
		return nil
	}
	v := d.p[:n:n]
	d.p = d.p[n:]
	return v
}

func (d *decoder) optional() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	return d.bytes(n - 1)
}

// count reads a number of items, each of which takes at least min bytes, so
// that a bad count cannot make the decoder allocate more than its input.
func (d *decoder) count(min int) int {
	n := d.uvarint()
	if d.err == nil && n > uint64(len(d.p)/min) {
		d.err = fmt.Errorf("count %d does not fit the %d bytes left", n, len(d.p))
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// decodeBody is the inverse of appendBody. The batch's bytes alias p.
func decodeBody(p []byte) (b Batch, c cut, err error) {
	d := decoder{p: p}
	b.HardState = d.optional()
	b.TruncateFrom = d.uvarint()
	b.CompactTo = d.uvarint()
	c = cut{segment: d.uvarint(), offset: d.uvarint(), bytes: d.uvarint()}
	if n := d.count(2); n > 0 {
		b.Stable = make([]KV, n)
		for i := range b.Stable {
			b.Stable[i].Key = string(d.bytes(d.uvarint()))
			b.Stable[i].Value = d.optional()
		}
	}
	if n := d.count(3); n > 0 {
		b.Entries = make([]Entry, n)
		var index uint64
		for i := range b.Entries {
			delta := d.uvarint()
			if d.err == nil && (delta == 0 || index+delta < index) {
				d.err = errors.New("indexes do not ascend")
			}
			index += delta
			b.Entries[i] = Entry{Index: index, Stamp: d.uvarint(), Data: d.bytes(d.uvarint())}
		}
	}
	if d.err == nil && len(d.p) > 0 {
		d.err = fmt.Errorf("%d bytes left over", len(d.p))
	}
	if d.err != nil {
		return Batch{}, cut{}, d.err
	}
	return b, c, nil
}
