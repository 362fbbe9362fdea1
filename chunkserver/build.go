package chunkserver

import (
	"context"
	"errors"
	"fmt"

	"gfslab/api"
	"gfslab/internal/disk"
)

// builder writes a whole replica into a file beside the chunks, which takes its
// place among them in one step when all of it is durable and verified. Half of
// one is never seen: the next start removes it.
type builder struct {
	s    *Server
	path string
	f    disk.File
	m    image
}

const buildBatch = 1 // the number of the one batch of a new file

func (s *Server) newBuilder(handle, version, term uint64, kind api.ChunkKind) (*builder, error) {
	path := s.opts.FS.PathJoin(s.folder, chunkFile(handle)+partSuffix)
	// What a cut-off attempt left is not written over but made anew.
	f, err := s.opts.FS.Create(path, disk.WriteCategory("chunkserver"))
	if err != nil {
		return nil, err
	}
	head := slot{handle: handle, version: version, term: term, generation: 1, chunkBytes: s.opts.ChunkBytes, settled: buildBatch, kind: kind}
	b := &builder{s: s, path: path, f: f, m: image{head: head, lay: layout{s.opts.ChunkBytes}, batch: buildBatch}}
	if err := head.write(f); err != nil {
		return nil, errors.Join(err, b.discard())
	}
	return b, nil
}

// length is the number of bytes so far.
func (b *builder) length() uint64 { return lengthOf(b.m.blocks) }

// add appends bytes.
func (b *builder) add(data []byte) error {
	if _, err := b.f.WriteAt(data, b.m.lay.dataStart()+int64(b.length())); err != nil {
		return err
	}
	for len(data) > 0 {
		last := len(b.m.blocks) - 1
		if last < 0 || b.m.blocks[last].len == blockBytes {
			b.m.blocks = append(b.m.blocks, block{batch: buildBatch})
			last++
		}
		at := &b.m.blocks[last]
		n := min(len(data), blockBytes-int(at.len))
		at.crc = api.ExtendChecksum(at.crc, data[:n])
		at.len += uint32(n)
		data = data[n:]
	}
	return nil
}

// finish makes the file durable, and reads it back to see that it is right.
func (b *builder) finish(ctx context.Context, full bool) error {
	if n := len(b.m.blocks); n > 0 && full {
		b.m.blocks[n-1].padded = true
	}
	b.m.full = full
	for i, e := range b.m.blocks {
		if _, err := b.f.WriteAt(encodeEntrySlot(b.m.head.handle, i, e), entryOffset(i, e.at)); err != nil {
			return err
		}
	}
	if err := b.s.timed(b.f.SyncData); err != nil {
		return err
	}
	for i, e := range b.m.blocks {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ok, err := b.m.whole(b.f, i, e); err != nil || !ok {
			return errors.Join(fmt.Errorf("block %d did not come back from the disk as it was written", i), err)
		}
	}
	return nil
}

// discard gives the file up.
func (b *builder) discard() error {
	if b.f == nil {
		return nil
	}
	err := b.f.Close()
	b.f = nil
	return errors.Join(err, b.s.opts.FS.Remove(b.path))
}

// takePlace makes the file the chunk's replica, unless that has a higher version
// or term by now, or is primary of a lease. The builder is used up after success.
func (b *builder) takePlace(ctx context.Context) error {
	s := b.s
	c, done := s.chunkOrNew(b.m.head.handle)
	defer done()
	t := newTask(func(*batch) error { return b.replace(c) }, func() { s.changed(c.handle) })
	t.alone = true
	c.mu.Lock()
	s.enqueueLocked(c, t)
	c.mu.Unlock()
	// Not cut short by ctx: the worker has the builder now.
	<-t.done
	return errors.Join(t.err, ctx.Err())
}

// replace is called by the chunk's worker.
func (b *builder) replace(c *chunk) error {
	s := b.s
	c.mu.Lock()
	over := c.accepting > b.m.head.version || c.term > b.m.head.term
	leased := c.lease != nil && c.lease.live(s.opts.Now())
	c.mu.Unlock()
	switch {
	case over:
		return errStale
	case leased:
		return errLeased
	}
	c.mu.Lock()
	old := c.file
	c.mu.Unlock()
	s.files.hold(old)
	if err := s.opts.FS.Rename(b.path, c.path); err != nil {
		s.files.letGo(old)
		return err
	}
	defer s.files.drop(old)
	// The chunk opens it again: beside what is being made no more files are open than
	// there may be.
	if err := b.f.Close(); err != nil {
		s.files.failed(c.path, err)
	}
	b.f = nil
	if err := s.syncFolder(s.folder); err != nil {
		// Nobody knows which of the two files a crash would leave.
		s.fail(c, fmt.Errorf("%w: %w", errDead, err))
		return err
	}
	c.mu.Lock()
	s.endLeaseLocked(c, c.lease, "the replica was replaced")
	c.order.wake()
	c.install(&b.m, &openFile{path: c.path})
	c.failed = nil
	c.mu.Unlock()
	return nil
}

var errLeased = errors.New("this chunkserver is primary of a live lease on the chunk")
