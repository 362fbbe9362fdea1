package file

import (
	"context"

	"gfslab/api"
	"gfslab/client"
)

// ReadOptions say what a read shows.
type ReadOptions struct {
	// From skips the chunks before this index.
	From int
	// Duplicates shows every copy of a record, not only the first.
	Duplicates bool
}

// Block is a part of a file: some bytes of a bytes chunk, or one record.
type Block struct {
	Chunk int
	Data  []byte
	// Record is set for a record; Data is its payload.
	Record *client.Record
}

// Read calls sink with the file's parts in order: pieces of its bytes chunks, and
// each record of its chunks of records once. What was never acknowledged may be
// among them. It reads ahead; sink owns the data.
func (f *FS) Read(ctx context.Context, name string, o ReadOptions, sink func(Block) error) error {
	st, err := f.Stat(ctx, name, 0)
	if err != nil {
		return err
	}
	return f.ReadChunks(ctx, name, st, o, sink)
}

// ReadChunks is Read of the chunks that a Stat has shown.
func (f *FS) ReadChunks(ctx context.Context, name string, st *api.StatReply, o ReadOptions, sink func(Block) error) error {
	if st.Directory {
		return ended(name, client.OK, api.Code_IS_DIRECTORY, nil)
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{f: f, ctx: ctx, name: name, st: st, o: o, sink: sink, ahead: make(chan *piece, f.o.Parallel)}
	feeding := make(chan struct{})
	go func() {
		defer close(feeding)
		defer close(r.ahead)
		r.feed()
	}()
	err := r.drain()
	cancel()
	for p := range r.ahead { // what was read ahead in vain
		<-p.done
	}
	<-feeding
	return err
}

// reader is one read of a file while it runs: feed asks for pieces ahead, drain
// takes them in order.
type reader struct {
	f     *FS
	ctx   context.Context
	name  string
	st    *api.StatReply
	o     ReadOptions
	sink  func(Block) error
	ahead chan *piece
	seen  map[client.Session]bool
}

// piece is a part of a chunk that is being read. The last one that feed expects of
// a chunk is marked: the chunk may go on behind it.
type piece struct {
	chunk  int
	offset uint64
	last   bool
	done   chan struct{}
	res    client.BytesResult
	err    error
}

// feed asks for the pieces that the chunks' reported lengths promise, at least one
// a chunk.
func (r *reader) feed() {
	step := uint64(r.f.o.PieceBytes)
	for i := r.o.From; i < len(r.st.Chunks); i++ {
		promised := uint64(0)
		if i < len(r.st.Details) {
			promised = r.st.Details[i].Length
		}
		for at := uint64(0); at == 0 || at < promised; at += step {
			p := &piece{chunk: i, offset: at, last: at+step >= promised, done: make(chan struct{})}
			select {
			case r.ahead <- p:
				go r.fetch(p)
			case <-r.ctx.Done():
				return
			}
		}
	}
}

// fetch reads one piece with a client of the pool.
func (r *reader) fetch(p *piece) {
	defer close(p.done)
	p.err = r.f.borrow(r.ctx, func(c *client.Client) error {
		p.res = r.f.readBytes(r.ctx, c, r.name, p.chunk, r.st.Chunks[p.chunk], p.offset, r.f.o.PieceBytes)
		return ended(r.name, p.res.Outcome, p.res.Code, p.res.Err)
	})
}

// readBytes reads a range of a chunk. A shadow is asked where its replicas are, if
// that is what lookups are made by: it serves while no master leads.
func (f *FS) readBytes(ctx context.Context, c *client.Client, name string, index int, handle, offset uint64, length int) client.BytesResult {
	if f.o.Shadow {
		where := c.FindLocation(ctx, name, uint32(index), client.WithStale(0))
		if where.Outcome == client.OK && where.Reply.Code == api.Code_OK && where.Reply.Handle == handle && len(where.Reply.Replicas) > 0 {
			c.Learn(where.Reply)
		}
	}
	r := c.ReadBytes(ctx, handle, offset, length)
	f.note(r.Attempts)
	return r
}

// drain hands the chunks' bytes over in order. A piece that comes short ends its
// chunk: all that was acknowledged is on every replica, so what another one has
// beyond was not.
func (r *reader) drain() error {
	var records []byte // of the chunk at hand
	over := -1         // the chunk that has ended
	for p := range r.ahead {
		for {
			<-p.done
			if p.err != nil {
				return p.err
			}
			if p.chunk == over {
				break
			}
			if p.res.Kind == api.ChunkKind_RECORDS {
				records = append(records, p.res.Data...)
			} else if len(p.res.Data) > 0 {
				if err := r.sink(Block{Chunk: p.chunk, Data: p.res.Data}); err != nil {
					return err
				}
			}
			end := p.offset + uint64(len(p.res.Data))
			short := len(p.res.Data) < r.f.o.PieceBytes
			if !short && !p.last {
				break
			}
			if short || end >= p.res.End {
				over = p.chunk
				if err := r.records(p.chunk, records); err != nil {
					return err
				}
				records = nil
				break
			}
			// Longer than was reported: on behind it, piece by piece.
			p = &piece{chunk: p.chunk, offset: end, last: true, done: make(chan struct{})}
			r.fetch(p)
		}
	}
	return r.ctx.Err()
}

// records hands over the records among a chunk's bytes.
func (r *reader) records(chunk int, data []byte) error {
	var found []client.Record
	api.WalkFrames(data, r.st.Chunks[chunk], func(f api.Frame) {
		if f.Kind == api.FrameRecord {
			found = append(found, client.RecordOf(f))
		}
	}, func(int, int) {})
	for i := range found {
		rec := &found[i]
		if s := (client.Session{Client: rec.Client, Seq: rec.Seq}); !r.o.Duplicates {
			if r.seen[s] {
				continue
			}
			if r.seen == nil {
				r.seen = make(map[client.Session]bool)
			}
			r.seen[s] = true
		}
		if err := r.sink(Block{Chunk: chunk, Data: rec.Payload, Record: rec}); err != nil {
			return err
		}
	}
	return nil
}

// Size is how many bytes the file's chunks take, frames of records included. The
// chunkservers are asked for those that may still grow; of the others counts what
// they last reported.
func (f *FS) Size(ctx context.Context, name string, st *api.StatReply) (uint64, error) {
	total := uint64(0)
	for i, handle := range st.Chunks {
		if i < len(st.Details) && i < len(st.Chunks)-1 && st.Details[i].Length > 0 {
			total += st.Details[i].Length
			continue
		}
		r := f.readBytes(ctx, f.main, name, i, handle, 0, 1)
		if err := ended(name, r.Outcome, r.Code, r.Err); err != nil {
			return 0, err
		}
		total += r.End
	}
	return total, nil
}
