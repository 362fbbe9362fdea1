package chunkserver

import (
	"errors"
	"fmt"
	"io"

	"gfslab/api"
	"gfslab/internal/disk"
)

// image is what a chunk's file says after a crash, before anything is mended.
type image struct {
	head   slot
	lay    layout
	blocks []block
	// batch is the highest number found: later ones are higher.
	batch uint64
	full  bool
	// bad is not empty if something durable is not what was written: why.
	bad string
	// redo is the interrupted overwrite that is to be finished, nil if none is.
	redo *redoRecord
	// clear lists slots of a batch that did not reach the disk as a whole.
	clear []entryPlace
}

type entryPlace struct {
	index int
	at    uint8
}

// readImage reads header and table, and of the bytes only what the last batch
// wrote, which may not have become durable. It changes nothing.
func readImage(f io.ReaderAt, handle uint64) (*image, error) {
	head, blank, err := readSlot(f)
	switch {
	case errors.Is(err, errNoSlot) && !blank:
		return nil, errors.New("both headers are damaged")
	case err != nil:
		return nil, err
	case head.handle != handle:
		return nil, fmt.Errorf("the header is of chunk %d", head.handle)
	}
	m := &image{head: head, lay: layout{head.chunkBytes}, batch: head.settled}
	table, err := m.readTable(f)
	if err != nil {
		return nil, err
	}
	redo, err := readRedo(f, m.lay)
	switch {
	case errors.Is(err, errNoRedo):
	case err != nil:
		return nil, err
	case redo.handle == handle && redo.batch >= m.batch && redo.batch > head.settled:
		m.batch = redo.batch
		m.redo = redo
	}
	if err := m.settle(f, table); err != nil {
		return nil, err
	}
	m.trim()
	for _, b := range m.blocks {
		m.full = m.full || b.padded
	}
	m.full = m.full || lengthOf(m.blocks) >= uint64(m.lay.chunkBytes)
	return m, nil
}

// entry is both slots of a block.
type entry struct {
	slots [2]block
	bad   bool // a slot is damaged, which no torn write does
}

func (m *image) readTable(f io.ReaderAt) ([]entry, error) {
	raw := make([]byte, m.lay.blocks()*entryBytes)
	n, err := f.ReadAt(raw, tableStart)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(raw[n:])
	table := make([]entry, m.lay.blocks())
	for i := range table {
		for at := range uint8(2) {
			b, err := decodeEntrySlot(m.head.handle, i, raw[i*entryBytes+int(at)*entrySlot:])
			if err != nil {
				table[i].bad = true
				m.bad = err.Error()
				continue
			}
			b.at = at
			table[i].slots[at] = b
			m.batch = max(m.batch, b.batch)
		}
	}
	return table, nil
}

// settle decides which slot of each block counts.
func (m *image) settle(f io.ReaderAt, table []entry) error {
	m.blocks = make([]block, len(table))
	for i, e := range table {
		older, newer := e.slots[0], e.slots[1]
		if older.batch > newer.batch {
			older, newer = newer, older
		}
		newer.bad = newer.bad || e.bad
		m.blocks[i] = newer
		if newer.batch == 0 || newer.batch < m.batch || newer.batch <= m.head.settled || m.redoes(i) {
			continue // durable, or decided below
		}
		ok, err := m.whole(f, i, newer)
		if err != nil {
			return err
		}
		if !ok {
			older.bad = e.bad
			m.blocks[i] = older
			m.clear = append(m.clear, entryPlace{i, newer.at})
		}
	}
	if m.redo == nil {
		return nil
	}
	for j := range m.redo.blocks {
		r := &m.redo.blocks[j]
		// Into the slot that the batch meant: the one that it has, or the other one.
		r.block.at = m.blocks[r.index].at
		if now := m.blocks[r.index]; now.batch != 0 && now.batch != m.redo.batch {
			r.block.at = 1 - now.at
		}
		m.blocks[r.index] = r.block
		ok, err := m.whole(f, r.index, r.block)
		if err != nil {
			return err
		}
		if !ok {
			m.blocks[r.index].bad = true
			m.bad = fmt.Sprintf("block %d is damaged beside what was written over it", r.index)
		}
	}
	return nil
}

func (m *image) redoes(index int) bool {
	if m.redo != nil {
		for _, r := range m.redo.blocks {
			if r.index == index {
				return true
			}
		}
	}
	return false
}

// trim drops blocks behind one that is not full: they are of the batch that was
// cut short.
func (m *image) trim() {
	n := 0
	for n < len(m.blocks) && m.blocks[n].batch != 0 {
		n++
		if m.blocks[n-1].len < blockBytes {
			break
		}
	}
	for i := n; i < len(m.blocks); i++ {
		switch b := m.blocks[i]; {
		case b.batch == 0 && !b.bad:
		case b.batch == m.batch && b.batch > m.head.settled && !b.bad:
			m.clear = append(m.clear, entryPlace{i, b.at})
		default:
			m.bad = fmt.Sprintf("block %d is there, one before it is not", i)
		}
	}
	m.blocks = m.blocks[:n:n]
}

// readBlock reads a block's bytes, those of the interrupted overwrite included.
func (m *image) readBlock(f io.ReaderAt, index int, b block) ([]byte, error) {
	data := make([]byte, b.len)
	if _, err := f.ReadAt(data, m.lay.dataStart()+int64(index)*blockBytes); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if m.redo != nil {
		for _, r := range m.redo.blocks {
			if r.index == index && int(r.lo)+len(r.data) <= len(data) {
				copy(data[r.lo:], r.data)
			}
		}
	}
	return data, nil
}

func (m *image) whole(f io.ReaderAt, index int, b block) (bool, error) {
	data, err := m.readBlock(f, index, b)
	return err == nil && api.Checksum(data) == b.crc, err
}

// mend finishes what the crash interrupted; the caller syncs. A crash meanwhile
// leaves a file of which readImage says the same.
func (m *image) mend(f disk.File) error {
	if m.redo != nil {
		for _, r := range m.redo.blocks {
			if _, err := f.WriteAt(r.data, m.lay.dataStart()+int64(r.index)*blockBytes+int64(r.lo)); err != nil {
				return err
			}
			if _, err := f.WriteAt(encodeEntrySlot(m.head.handle, r.index, r.block), entryOffset(r.index, r.block.at)); err != nil {
				return err
			}
		}
	}
	for _, p := range m.clear {
		if _, err := f.WriteAt(make([]byte, entrySlot), entryOffset(p.index, p.at)); err != nil {
			return err
		}
	}
	return nil
}
