package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"sync"

	"gfslab/api"
	"gfslab/client"
)

// PutOptions say how a put is made.
type PutOptions struct {
	// Replace deletes a file that is at the path in the very step in which the new
	// one, complete, gets its name. Without it, a path that exists is refused.
	Replace  bool
	Progress Progress
	// Source is the input's, if a later put is to go on where this one stops; without
	// a Place the partial file of a put that fails is removed.
	Source Source
}

// Put makes a file of the input's bytes. They go to a partial file, every chunk is
// verified by the checksums of its replicas, and then the file is renamed. A put
// that was interrupted goes on where it was if the input has a Source, can seek and
// begins with the same bytes; else it starts over. If somebody else has put a file to
// the path meanwhile, that is refused, or replaced.
func (f *FS) Put(ctx context.Context, from io.Reader, name string, o PutOptions) (Transfer, error) {
	if !o.Replace {
		if _, err := f.Stat(ctx, name, 0); !Refused(err, api.Code_NOT_FOUND) {
			if err == nil {
				err = ended(name, client.OK, api.Code_EXISTS, nil)
			}
			return Transfer{}, err
		}
	}
	source := o.Source
	if source.Place == "" {
		source = f.once()
	}
	p := &putting{f: f, name: name, partial: Partial(name, source), from: from, sha: sha256.New(), o: o}
	f.forget(p.partial)
	if err := p.run(ctx); err != nil {
		err = p.lost(ctx, err)
		if !p.again() && p.id != 0 {
			p.discard(ctx)
		}
		return Transfer{}, err
	}
	t := Transfer{Bytes: p.read, Resumed: p.resumed}
	p.sha.Sum(t.SHA256[:0])
	return t, nil
}

func (p *putting) run(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	if err := p.copy(ctx); err != nil {
		return err
	}
	return p.publish(ctx)
}

// putting is a Put while it runs.
type putting struct {
	f       *FS
	name    string
	partial string
	from    io.Reader
	sha     hash.Hash
	o       PutOptions
	id      uint64 // of the partial file; 0 until it is there
	named   bool   // a file was renamed
	limit   int64  // of a chunk; 0 until it is known
	step    int64  // of a piece
	read    int64  // taken from the input, resumed included
	resumed int64
	made    []uint64   // chunks that are there from before
	next    uint32     // index of the chunk after those that are full or being filled
	last    *openChunk // to be filled first; nil: none

	mu   sync.Mutex
	done int64
}

// openChunk is a chunk that is being filled.
type openChunk struct {
	index  uint32
	handle uint64
	size   int64
	crc    uint32
	// turn is closed when all that precedes the next piece is written.
	turn chan struct{}
	// pieces counts those that are under way.
	pieces sync.WaitGroup
}

// publish gives the complete file its name. Another put of a source that looks the
// same may have started over, so that the partial file is one that is not complete.
func (p *putting) publish(ctx context.Context) error {
	if ours, err := p.ours(ctx); err != nil {
		return err
	} else if !ours {
		return p.gone()
	}
	var options []client.CallOption
	if p.o.Replace {
		options = append(options, client.WithReplace())
	}
	r := p.f.main.Rename(ctx, p.partial, p.name, options...)
	reply, err := take(p.f, blame(r.Reply.GetCode(), p.partial, p.name), r)
	p.named = err == nil
	if err == nil && reply.Id != p.id {
		return failed(p.name, "another put of the same source to this path was under way, and its file, not complete, is there now")
	}
	return err
}

// declined leaves the path to another put.
func (p *putting) declined() error {
	return declined(p.name, "another put of the same source to this path is under way")
}

// copy moves the input to chunks: up to Parallel pieces are pushed side by side,
// those of a chunk are written in their order.
func (p *putting) copy(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	fail := func(err error) {
		if err != nil {
			cancel(err)
		}
	}
	// Buffers bound what is read ahead.
	buffers := make(chan []byte, p.f.o.Parallel)
	for range p.f.o.Parallel {
		buffers <- nil
	}
	verify := func(c *openChunk) { work.Go(func() { fail(p.verify(ctx, c)) }) }
	c, end, err := p.first(ctx)
	if err != nil {
		return err
	}
	for !end && ctx.Err() == nil {
		if c != nil && c.size >= p.limit {
			verify(c)
			c = nil
		}
		var buffer []byte
		select {
		case buffer = <-buffers:
		case <-ctx.Done():
			continue
		}
		room := p.limit
		if c != nil {
			room -= c.size
		}
		buffer, end, err = p.piece(buffer, int(min(room, p.step)))
		if err != nil {
			fail(err)
			break
		}
		if len(buffer) == 0 {
			break
		}
		if c == nil {
			if c, err = p.allocate(ctx); err != nil {
				fail(err)
				break
			}
		}
		p.send(ctx, &work, c, buffer, fail, buffers)
	}
	if c != nil {
		verify(c)
	}
	work.Wait()
	if err := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) {
		why := "interrupted"
		if p.again() {
			why = fmt.Sprintf("interrupted; the same put goes on where this one stopped (%s)", p.partial)
		}
		return &Error{Path: p.name, Err: &interrupted{why}, Outcome: client.Fail}
	} else if err != nil {
		return err
	}
	return nil
}

// first is the chunk to go on with, once it is known how large chunks are. An input
// without more bytes is at its end: nothing need be known.
func (p *putting) first(ctx context.Context) (c *openChunk, end bool, err error) {
	var one [1]byte
	switch _, err := io.ReadFull(p.from, one[:]); {
	case err == io.EOF:
		return p.last, true, nil
	case err != nil:
		return nil, false, p.unreadable(err)
	}
	p.from = io.MultiReader(bytes.NewReader(one[:]), p.from)
	if p.limit == 0 {
		if p.limit, err = p.chunkBytes(ctx); err != nil {
			return nil, false, err
		}
	}
	// A quarter of a chunk is the most that can be pushed.
	p.step = max(1, min(int64(p.f.o.PieceBytes), p.limit/8))
	return p.last, false, nil
}

func (p *putting) unreadable(err error) error {
	return fmt.Errorf("read the input of %s: %w", p.name, err)
}

// piece reads up to n bytes of the input; end means that there is no more.
func (p *putting) piece(buffer []byte, n int) (b []byte, end bool, err error) {
	if cap(buffer) < n {
		buffer = make([]byte, p.step)
	}
	n, err = io.ReadFull(p.from, buffer[:n])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		end, err = true, nil
	}
	if err != nil {
		return nil, false, p.unreadable(err)
	}
	p.read += int64(n)
	p.sha.Write(buffer[:n])
	return buffer[:n], end, nil
}

// allocate adds a chunk, or takes one that an earlier put has added.
func (p *putting) allocate(ctx context.Context) (*openChunk, error) {
	if int(p.next) < len(p.made) {
		p.next++
		return newChunk(p.next-1, p.made[p.next-1]), nil
	}
	reply, err := take(p.f, p.partial, p.f.main.AllocateChunk(ctx, p.partial, p.next, client.WithKind(api.ChunkKind_BYTES)))
	if Refused(err, api.Code_EXISTS) {
		return nil, p.declined()
	}
	if err != nil {
		return nil, err
	}
	c := newChunk(p.next, reply.Handle)
	p.next++
	return c, nil
}

func newChunk(index uint32, handle uint64) *openChunk {
	c := &openChunk{index: index, handle: handle, turn: make(chan struct{})}
	close(c.turn) // nothing precedes the first piece
	return c
}

// send writes a piece at the chunk's end, in the background.
func (p *putting) send(ctx context.Context, work *sync.WaitGroup, c *openChunk, data []byte, fail func(error), buffers chan<- []byte) {
	offset, turn, next := uint64(c.size), c.turn, make(chan struct{})
	c.size += int64(len(data))
	c.crc = crc32.Update(c.crc, castagnoli, data)
	c.turn = next
	c.pieces.Add(1)
	work.Go(func() {
		defer c.pieces.Done()
		err := p.f.borrow(ctx, func(cl *client.Client) error {
			r := cl.Write(ctx, p.partial, c.index, offset, data, client.WithTurn(turn))
			p.f.note(r.Attempts)
			if r.Outcome == client.OK && r.Code == api.Code_OK {
				p.wrote(c, r.Handle, len(data))
				close(next)
			}
			return ended(p.partial, r.Outcome, r.Code, r.Err)
		})
		fail(err)
		buffers <- data
	})
}

// wrote counts what is written. A chunk that a snapshot shared has a new handle.
func (p *putting) wrote(c *openChunk, handle uint64, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.handle = handle
	p.done += int64(n)
	if p.o.Progress != nil {
		p.o.Progress(p.done)
	}
}

// verify compares the checksum of every replica that answers with the chunk's.
func (p *putting) verify(ctx context.Context, c *openChunk) error {
	c.pieces.Wait()
	if ctx.Err() != nil {
		return nil // the cause is known
	}
	return p.f.borrow(ctx, func(cl *client.Client) error {
		sums, code, err := cl.Sums(ctx, c.handle)
		if err != nil || code != api.Code_OK {
			return ended(p.partial, outcomeOf(err), code, err)
		}
		good, bad := 0, errNoReplica
		for _, s := range sums {
			switch {
			case s.Err != nil:
				bad = fmt.Errorf("%s: %s", s.Replica, plain(s.Err))
			case s.End != uint64(c.size) || s.CRC != c.crc:
				return failed(p.partial, "chunk %d has %d bytes with crc32c %08x on %s, %d with %08x were written",
					c.index, s.End, s.CRC, s.Replica, c.size, c.crc)
			default:
				good++
			}
		}
		if good == 0 {
			return failed(p.partial, "chunk %d cannot be verified on any replica: %w", c.index, bad)
		}
		return nil
	})
}

// interrupted is an end that the caller's context has brought.
type interrupted struct{ text string }

func (i *interrupted) Error() string { return i.text }

// Unwrap returns context.Canceled.
func (i *interrupted) Unwrap() error { return context.Canceled }

var errNoReplica = errors.New("there is none")
