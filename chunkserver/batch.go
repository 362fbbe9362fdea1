package chunkserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"gfslab/api"
	"gfslab/internal/disk"
)

var errCorrupt = errors.New("the replica's bytes do not match their checksum")

// batch collects what the tasks of one turn write; flush makes all of it durable
// with one sync, or two if acknowledged bytes are written over. The chunk's
// worker alone uses it.
type batch struct {
	c       *chunk
	f       disk.File // nil if there is none yet
	file    *openFile // of f
	lay     layout
	number  uint64
	extents []piece
	blocks  map[int]*staged
	end     uint64 // of the chunk with what is staged
	badAt   uint64 // where a damaged block was found
}

// piece is bytes at an offset: of the chunk, or within a block.
type piece struct {
	offset uint64
	data   []byte
}

// staged is a block that the batch changes. Appended bytes only extend the
// checksum; to write over others takes the block's image.
type staged struct {
	was    block // durable
	now    block
	pieces []piece // while there is no image
	img    []byte  // all blockBytes of it, nil if nothing is written over
	lo, hi uint32  // what of the image differs from the disk
}

// zeroBlock fills holes; it is never written to.
var zeroBlock = make([]byte, blockBytes)

// open opens the chunk's file until close.
func (b *batch) open(s *Server, file *openFile) (err error) {
	if b.f, err = s.files.use(context.Background(), file); err == nil {
		b.file = file
	}
	return err
}

// close ends the use of the file, if there is one by now.
func (b *batch) close(s *Server) {
	if b.file != nil {
		s.files.done(b.file)
	}
}

// write stages bytes at an offset of the chunk. Between the chunk's end and an
// offset beyond it there will be zeros. It fails with errCorrupt, and stages
// nothing, if a block that would be changed in part is damaged (C2).
func (b *batch) write(offset uint64, data []byte, padded bool) error {
	if b.f == nil {
		return errNotHere
	}
	for b.end < offset {
		n := min(blockBytes-b.end%blockBytes, offset-b.end)
		if err := b.stage(b.end, zeroBlock[:n], false); err != nil {
			return err
		}
	}
	return b.stage(offset, data, padded)
}

func (b *batch) stage(offset uint64, data []byte, padded bool) error {
	if len(data) == 0 {
		return nil
	}
	end := offset + uint64(len(data))
	first, last := span(offset, end)
	for i := first; i <= last; i++ {
		st := b.block(i)
		lo, hi := within(i, offset, end)
		if lo < st.now.len && st.img == nil {
			if err := b.load(i, st, lo == 0 && hi >= st.was.len); err != nil {
				return err
			}
		}
	}
	b.extents = append(b.extents, piece{offset, data})
	for i := first; i <= last; i++ {
		lo, hi := within(i, offset, end)
		b.blocks[i].put(lo, data[uint64(i)*blockBytes+uint64(lo)-offset:][:hi-lo], padded)
	}
	b.end = max(b.end, end)
	return nil
}

// within is the part of block i that [offset, end) covers.
func within(i int, offset, end uint64) (lo, hi uint32) {
	start := uint64(i) * blockBytes
	return uint32(max(offset, start) - start), uint32(min(end, start+blockBytes) - start)
}

func (b *batch) block(i int) *staged {
	st := b.blocks[i]
	if st == nil {
		st = &staged{was: b.c.block(i)}
		st.now = st.was
		if b.blocks == nil {
			b.blocks = make(map[int]*staged)
		}
		b.blocks[i] = st
	}
	return st
}

// load makes the block's image: its durable bytes, verified unless all of them
// are to be replaced, and what the batch has appended.
func (b *batch) load(i int, st *staged, covered bool) error {
	img := make([]byte, blockBytes)
	st.lo, st.hi = st.was.len, st.was.len
	if !covered && st.was.len > 0 {
		at := b.lay.dataStart() + int64(i)*blockBytes
		if _, err := b.f.ReadAt(img[:st.was.len], at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: %w", errDead, err)
		}
		if st.was.bad || api.Checksum(img[:st.was.len]) != st.was.crc {
			b.badAt = uint64(i) * blockBytes
			return errCorrupt
		}
	}
	st.img = img
	for _, p := range st.pieces {
		st.put(uint32(p.offset), p.data, st.now.padded)
	}
	st.pieces = nil
	return nil
}

// put stages bytes within the block; without an image they start at its end.
func (st *staged) put(lo uint32, data []byte, padded bool) {
	hi := lo + uint32(len(data))
	st.now.padded = st.now.padded || padded
	if st.img == nil {
		st.now.crc = api.ExtendChecksum(st.now.crc, data)
		st.now.len = hi
		st.pieces = append(st.pieces, piece{uint64(lo), data})
		return
	}
	copy(st.img[lo:], data)
	st.now.len = max(st.now.len, hi)
	st.lo, st.hi = min(st.lo, lo), max(st.hi, hi)
	st.now.bad = false
}

// flush makes the staged bytes durable and tells readers of them. After an error
// nobody knows what is on the disk.
func (b *batch) flush(s *Server) (err error) {
	order := make([]int, 0, len(b.blocks))
	for i, st := range b.blocks {
		if st.img == nil && len(st.pieces) == 0 {
			continue // only looked at
		}
		order = append(order, i)
		st.now.batch, st.now.at = b.number, 1-st.was.at
		if st.img != nil {
			st.now.crc = api.Checksum(st.img[:st.now.len])
		}
	}
	slices.Sort(order)
	redo := b.redo(order)
	if redo != nil {
		if _, err := b.f.WriteAt(redo.encode(), b.lay.journalStart()); err != nil {
			return err
		}
		if err := s.syncChunk(b.c, b.f); err != nil {
			return err
		}
		// Readers wait: the bytes change under the checksums that they know.
		b.c.beginRewrite()
		defer func() { b.c.endRewrite(err) }()
	}
	if err := b.writeData(order); err != nil {
		return err
	}
	for _, i := range order {
		st := b.blocks[i]
		if _, err := b.f.WriteAt(encodeEntrySlot(b.c.handle, i, st.now), entryOffset(i, st.now.at)); err != nil {
			return err
		}
	}
	if err := s.syncChunk(b.c, b.f); err != nil {
		return err
	}
	b.c.publish(b, order)
	return nil
}

// redo is the record of what is written over acknowledged bytes, nil if nothing is.
func (b *batch) redo(order []int) *redoRecord {
	var r *redoRecord
	for _, i := range order {
		st := b.blocks[i]
		if st.img == nil || st.lo >= st.was.len {
			continue
		}
		if r == nil {
			r = &redoRecord{handle: b.c.handle, batch: b.number}
		}
		r.blocks = append(r.blocks, redoBlock{index: i, block: st.now, lo: st.lo, data: st.img[st.lo:st.hi]})
	}
	return r
}

// writeData puts the bytes into their places: images for the blocks that have
// one, the rest as it came, which spares copying what is appended.
func (b *batch) writeData(order []int) error {
	at := b.lay.dataStart()
	for _, e := range b.extents {
		end := e.offset + uint64(len(e.data))
		from := e.offset
		first, last := span(e.offset, end)
		for i := first; i <= last; i++ {
			if b.blocks[i].img != nil {
				if err := b.writePart(e, from, uint64(i)*blockBytes); err != nil {
					return err
				}
				from = uint64(i+1) * blockBytes
			}
		}
		if err := b.writePart(e, from, end); err != nil {
			return err
		}
	}
	for _, i := range order {
		if st := b.blocks[i]; st.img != nil {
			if _, err := b.f.WriteAt(st.img[st.lo:st.hi], at+int64(i)*blockBytes+int64(st.lo)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writePart writes the piece's bytes of [from, to), if there are any.
func (b *batch) writePart(e piece, from, to uint64) error {
	if from >= to {
		return nil
	}
	_, err := b.f.WriteAt(e.data[from-e.offset:to-e.offset], b.lay.dataStart()+int64(from))
	return err
}

// block returns what is durable of a block.
func (c *chunk) block(i int) block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < len(c.blocks) {
		return c.blocks[i]
	}
	return block{}
}

// publish makes a durable batch what readers see.
func (c *chunk) publish(b *batch, order []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range order {
		for len(c.blocks) <= i {
			c.blocks = append(c.blocks, block{})
		}
		c.blocks[i] = b.blocks[i].now
	}
	if len(order) > 0 {
		c.durable = lengthOf(c.blocks)
		c.settled = b.number
	}
}

// beginRewrite and endRewrite enclose the time in which bytes change that
// readers may be at.
func (c *chunk) beginRewrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rewriting = make(chan struct{})
}

func (c *chunk) endRewrite(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = fmt.Errorf("%w: %w", errDead, err)
	}
	close(c.rewriting)
	c.rewriting = nil
	c.rewrites++
}
