package cowtree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrFormat is wrapped by the errors of Read that are not its reader's own.
var ErrFormat = errors.New("cowtree: malformed")

// Write writes the map as a stream that Read reads: the number of entries, then
// pages, each after its length, and a length of 0. It needs the memory of one
// page. Each page is one Write of w.
func (v View) Write(w io.Writer) error {
	b := binary.AppendUvarint(nil, uint64(v.n))
	if _, err := w.Write(b); err != nil {
		return err
	}
	// Room for the length is left before the page, so that both are one Write.
	const room = binary.MaxVarintLen64
	page := make([]byte, room, room+2*maxPage)
	var prev []byte
	flush := func() error {
		n := binary.PutUvarint(b[:room], uint64(len(page)-room))
		copy(page[room-n:], b[:n])
		_, err := w.Write(page[room-n:])
		page = page[:room]
		return err
	}
	b = make([]byte, room)
	var err error
	for key, value := range v.From(nil) {
		shared := common(prev, key)
		if len(page) > room && len(page)-room+len(key)-shared+len(value) > maxPage {
			if err = flush(); err != nil {
				return err
			}
		}
		if len(page) == room {
			shared = 0
		}
		page = appendEntry(page, shared, key[shared:], value)
		prev = append(prev[:shared], key[shared:]...)
	}
	if len(page) > room {
		if err = flush(); err != nil {
			return err
		}
	}
	return flush() // the page of length 0
}

// Reader is what Read reads from.
type Reader interface {
	io.Reader
	io.ByteReader
}

// Read reads a stream that Write wrote and nothing behind it, and calls check,
// in order, with every entry, which is valid only during the call. What it
// returns is a tree as good as any; a stream that would not make one, or that
// check refuses, is an error. It allocates no more than a small multiple of what
// it has read.
func Read(r Reader, check func(key, value []byte) error) (*Tree, error) {
	count, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, noEOF(err)
	}
	b := builder{check: check}
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, noEOF(err)
		}
		if n == 0 {
			break
		}
		page, err := readPage(r, n)
		if err != nil {
			return nil, err
		}
		if err := b.add(page); err != nil {
			return nil, err
		}
	}
	if uint64(b.n) != count {
		return nil, fmt.Errorf("%w: %d entries, want %d", ErrFormat, b.n, count)
	}
	return b.tree(), nil
}

func readPage(r io.Reader, n uint64) ([]byte, error) {
	if n <= 2*maxPage {
		page := make([]byte, n)
		_, err := io.ReadFull(r, page)
		return page, noEOF(err)
	}
	// A large page is one large entry, or a lie: memory comes after the bytes.
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, int64(min(n, 1<<40)))
	return bytes.Clone(b.Bytes()), noEOF(err)
}

// noEOF: the stream says itself where it ends.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// builder makes a tree of pages that come in order.
type builder struct {
	check func(key, value []byte) error
	key   []byte // of the last entry
	n     int
	level inner // the leaves
}

// add checks a page and takes it.
func (b *builder) add(page []byte) error {
	malformed := func(at int) error {
		return fmt.Errorf("%w: entry at byte %d of page %d", ErrFormat, at, len(b.level.kids))
	}
	for at := 0; at < len(page); {
		e, ok := parseChecked(page, at)
		if !ok || at == 0 && e.shared != 0 || e.shared > len(b.key) {
			return malformed(at)
		}
		suffix := page[e.suffix:e.value]
		if at == 0 {
			switch {
			case b.n == 0:
			case bytes.Compare(b.key, suffix) >= 0:
				return malformed(at)
			default:
				b.level.keys = append(b.level.keys, separator(b.key, suffix))
			}
		} else if len(suffix) == 0 || e.shared < len(b.key) && suffix[0] <= b.key[e.shared] {
			return malformed(at) // not above the key before it, or it shares more
		}
		b.key = append(b.key[:e.shared], suffix...)
		b.n++
		if err := b.check(b.key, page[e.value:e.end:e.end]); err != nil {
			return err
		}
		at = e.end
	}
	b.level.kids = append(b.level.kids, &node{page: page})
	return nil
}

// parseChecked is parse for bytes that may be anything.
func parseChecked(page []byte, at int) (e entry, ok bool) {
	var v [3]int
	e.start = at
	for i := range v {
		u, n := binary.Uvarint(page[at:])
		if n <= 0 || u > uint64(len(page)) && i > 0 || u > 1<<31 {
			return e, false
		}
		v[i], at = int(u), at+n
	}
	e.shared, e.suffix, e.value, e.end = v[0], at, at+v[1], at+v[1]+v[2]
	return e, e.end <= len(page)
}

// tree builds the levels above the leaves.
func (b *builder) tree() *Tree {
	level := b.level
	for len(level.kids) > 1 {
		var above inner
		const width = maxKids * 3 / 4
		for i := 0; i < len(level.kids); i += width {
			j := min(i+width, len(level.kids))
			n := &inner{keys: slices.Clone(level.keys[i : j-1]), kids: slices.Clone(level.kids[i:j])}
			above.kids = append(above.kids, &node{inner: n})
			if j < len(level.kids) {
				above.keys = append(above.keys, level.keys[j-1])
			}
		}
		level = above
	}
	t := &Tree{}
	if len(level.kids) == 1 {
		t.root, t.n = level.kids[0], b.n
	}
	return t
}
