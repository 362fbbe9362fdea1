package file

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"

	"gfslab/api"
	"gfslab/client"
)

// begin finds or makes the partial file, and skips the input that it has already.
func (p *putting) begin(ctx context.Context) error {
	st, err := p.f.Stat(ctx, p.partial, 0)
	switch {
	case Refused(err, api.Code_NOT_FOUND):
		if err = p.removeSuperseded(ctx); err == nil {
			err = p.create(ctx)
		}
	case err == nil:
		p.id = st.Id
		err = p.resume(ctx, st)
	}
	if err != nil {
		return err
	}
	p.resumed = p.read
	p.done = p.read
	return nil
}

func (p *putting) create(ctx context.Context) error {
	id, err := p.f.Create(ctx, p.partial)
	if Refused(err, api.Code_EXISTS) {
		return p.declined()
	}
	p.id = id
	return err
}

// restart removes a partial file that is of no use, and makes a new one.
func (p *putting) restart(ctx context.Context) error {
	if err := p.f.removeNow(ctx, p.partial); err != nil {
		return err
	}
	p.f.forget(p.partial)
	p.next, p.last, p.read, p.made, p.limit = 0, nil, 0, nil, 0
	p.sha.Reset()
	return p.create(ctx)
}

// chunkBytes makes the first chunk, if there is none, and asks its chunkservers
// how large it may grow.
func (p *putting) chunkBytes(ctx context.Context) (int64, error) {
	if p.last == nil {
		c, err := p.allocate(ctx)
		if err != nil {
			return 0, err
		}
		p.last = c
	}
	// Its replicas are there once a lease was granted.
	l, err := take(p.f, p.partial, p.f.main.FindLeaseHolderAt(ctx, p.partial, p.last.index))
	if err != nil {
		return 0, err
	}
	p.last.handle = l.Handle
	sums, code, err := p.f.main.Sums(ctx, l.Handle)
	if err != nil || code != api.Code_OK {
		return 0, ended(p.partial, outcomeOf(err), code, err)
	}
	for _, s := range sums {
		if s.ChunkBytes > 0 {
			return int64(s.ChunkBytes), nil
		}
	}
	return p.f.o.ChunkBytes, nil
}

// resume goes on behind the bytes that the partial file has verified equal to the
// input's; if it has others, or the input cannot be read twice, it starts over.
func (p *putting) resume(ctx context.Context, st *api.StatReply) error {
	seeker, ok := p.from.(io.Seeker)
	if !ok {
		return p.restart(ctx)
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return p.restart(ctx) // a pipe that calls itself a file
	}
	p.made = st.Chunks
	for i := range st.Chunks {
		if err = p.resumeChunk(ctx, seeker, start, st, uint32(i)); err != nil {
			break
		}
	}
	if errors.Is(err, errChanged) {
		if err := p.restart(ctx); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	_, err = seeker.Seek(start+p.read, io.SeekStart)
	return err
}

// resumeChunk compares one chunk with the input at its place. Pieces of several
// chunks are under way at a time, so there may be something behind a chunk that is
// not full; that is written again.
func (p *putting) resumeChunk(ctx context.Context, seeker io.Seeker, start int64, st *api.StatReply, index uint32) error {
	if int(index) < len(st.Details) && st.Details[index].Kind != api.ChunkKind_BYTES {
		return errChanged
	}
	sums, code, err := p.f.main.Sums(ctx, st.Chunks[index])
	if err != nil || code != api.Code_OK {
		return ended(p.partial, outcomeOf(err), code, err)
	}
	shortest, longest := int64(-1), int64(0)
	for _, s := range sums {
		if s.ChunkBytes > 0 {
			p.limit = int64(s.ChunkBytes)
		}
		if s.Err == nil {
			longest = max(longest, int64(s.End))
			if shortest < 0 || int64(s.End) < shortest {
				shortest = int64(s.End)
			}
		}
	}
	if shortest < 0 && len(sums) > 0 {
		return failed(p.partial, "chunk %d cannot be verified: %s: %s", index, sums[0].Replica, plain(sums[0].Err))
	}
	if _, err := seeker.Seek(start+int64(index)*p.limit, io.SeekStart); err != nil {
		return err
	}
	data := make([]byte, longest)
	if _, err := io.ReadFull(p.from, data); err != nil {
		return errChanged // the input is shorter
	}
	for _, s := range sums {
		if s.Err == nil && api.Checksum(data[:s.End]) != s.CRC {
			return errChanged
		}
	}
	if p.last != nil { // it comes behind one that is not full
		return nil
	}
	p.next = index + 1
	p.take(data[:max(shortest, 0)])
	if shortest != p.limit {
		p.last = newChunk(index, st.Chunks[index])
		p.last.size = max(shortest, 0)
		p.last.crc = crc32.Checksum(data[:p.last.size], castagnoli)
	}
	return nil
}

// take counts input that need not be sent again.
func (p *putting) take(b []byte) {
	p.read += int64(len(b))
	_, _ = io.Copy(p.sha, bytes.NewReader(b)) // a hash takes all
}

// Append adds one record to a file, which is made if it is not there.
func (f *FS) Append(ctx context.Context, name string, record []byte) (client.AppendResult, error) {
	for {
		r := f.main.RecordAppend(ctx, name, record)
		f.note(r.Attempts)
		err := ended(name, r.Outcome, r.Code, r.Err)
		if !Refused(err, api.Code_NOT_FOUND) {
			return r, err
		}
		if _, err := f.Create(ctx, name); err != nil && !Refused(err, api.Code_EXISTS) {
			return r, err
		}
	}
}
