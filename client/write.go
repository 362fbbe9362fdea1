package client

import (
	"context"
	"fmt"

	"gfslab/api"
)

// WriteResult is how a write ended.
type WriteResult = AppendResult

// Write puts the data at an offset of the file's chunk at index, which must hold
// bytes. A retry writes the same bytes to the same place. Codes: NO_CHUNK or
// NOT_FOUND: there is no such chunk or file; CHUNK_FULL: the data would leave the
// chunk; WRONG_KIND, SEALED, INVALID. The data must not change until the call returns.
func (c *Client) Write(ctx context.Context, path string, index uint32, offset uint64, data []byte, options ...CallOption) WriteResult {
	return c.mutation(ctx, path, data, options, func(m *mutator) bool { return m.writeRound(index, offset, gather(options).turn) })
}

// writeRound goes once through all steps; done means that a further one is of no use.
func (m *mutator) writeRound(index uint32, offset uint64, turn <-chan struct{}) (done bool) {
	l, code := m.findLease(index, 0)
	switch code {
	case api.Code_OK:
	case api.Code_NOT_FOUND, api.Code_NO_CHUNK, api.Code_IS_DIRECTORY, api.Code_NOT_DIRECTORY, api.Code_INVALID, api.Code_SEALED, api.Code_QUOTA:
		return m.refuse(code)
	}
	if l == nil {
		return false
	}
	if l.Kind != api.ChunkKind_BYTES {
		m.c.files.dropLease(m.path, index)
		return m.refuse(api.Code_WRONG_KIND)
	}
	if ok, done := m.push(index, l); !ok {
		return done
	}
	if turn != nil {
		select {
		case <-turn:
		case <-m.ctx.Done():
			return true
		}
	}
	var reply *api.AppendReply
	left, err := m.Attempt(l.Primary, l.Addresses[l.Primary], m.c.o.dataTimeout(len(m.data)), func(ctx context.Context, cc *conn) (err error) {
		reply, err = api.NewChunkserverClient(cc).Write(ctx, &api.WriteRequest{Id: m.id, Handle: l.Handle, Version: l.Version, Offset: offset})
		return err
	})
	if err != nil {
		m.c.files.dropLease(m.path, index)
		return m.orderFailed(left, err)
	}
	switch reply.Code {
	case api.Code_OK:
		m.done(index, l, reply)
		m.res.Offset = offset
		return true
	case api.Code_CHUNK_FULL, api.Code_SEALED, api.Code_WRONG_KIND, api.Code_INVALID:
		return m.refuse(reply.Code)
	case api.Code_NOT_FOUND:
		// The data was evicted, or dropped after an attempt that failed: push again.
	default:
		m.c.files.dropLease(m.path, index)
	}
	m.Last = fmt.Errorf("primary %s answers %v", l.Primary, reply.Code)
	return false
}
