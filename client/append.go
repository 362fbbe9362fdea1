package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// RecordAppend adds the payload to the file's last chunk of records, or to a new
// one when that is full or sealed or holds bytes, and returns where (GFS paper,
// 3.3). At least once: a retry after an attempt whose end is not known may leave
// another copy. The payload must not change until the call returns.
func (c *Client) RecordAppend(ctx context.Context, path string, payload []byte, options ...CallOption) AppendResult {
	return c.mutation(ctx, path, payload, options, func(m *mutator) bool { return (&appender{m}).round() })
}

// appender is one record append while it runs.
type appender struct{ *mutator }

// round goes once through all steps; done means that a further one is of no use.
func (a *appender) round() (done bool) {
	t, done := a.findTail()
	if t == nil {
		return done
	}
	l, code := a.findLease(t.index, t.handle)
	switch code {
	case api.Code_OK:
	case api.Code_SEALED:
		return a.next(t)
	case api.Code_NO_CHUNK, api.Code_NOT_FOUND, api.Code_INVALID, api.Code_IS_DIRECTORY:
		a.c.Forget(a.path) // another file under the same name, or none
	}
	if l == nil {
		return false
	}
	t.handle = l.Handle
	if ok, done := a.push(t.index, l); !ok {
		return done
	}
	return a.order(t, l)
}

// findTail returns the file's last chunk. Without one, the append ended or has
// to be tried again.
func (a *appender) findTail() (t *tail, done bool) {
	if t := a.c.files.tail(a.path); t != nil {
		return t, false
	}
	step := a.step(StepStat)
	reply, node, ok := ask(a.op, 0, a.c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.StatReply, error) {
		return m.Stat(ctx, &api.ReadRequest{Path: a.path})
	})
	a.Maybe = false // a read has no effect
	step.Stat = reply
	a.close(step, node, ok)
	switch {
	case !ok:
		return nil, true
	case reply.Code != api.Code_OK:
		return nil, a.refuse(reply.Code)
	case reply.Directory:
		return nil, a.refuse(api.Code_IS_DIRECTORY)
	}
	n := len(reply.Chunks)
	if n == 0 {
		return a.allocate(0)
	}
	if n == len(reply.Details) {
		if last := reply.Details[n-1]; last.Kind != api.ChunkKind_RECORDS || last.Sealed {
			return a.allocate(uint32(n))
		}
	}
	return a.keep(uint32(n-1), reply.Chunks[n-1], step.Start), false
}

// keep notes what the master was asked for at a time.
func (a *appender) keep(index uint32, handle uint64, asked time.Time) *tail {
	t := &tail{index: index, handle: handle}
	a.c.files.of(a.path, asked).tail = t
	return t
}

// allocate makes the chunk at index, or learns which one is there.
func (a *appender) allocate(index uint32) (t *tail, done bool) {
	s := a.c.allocs.Next()
	step := a.step(StepAllocate)
	step.Session, step.ChunkIndex = s, index
	reply, node, ok := ask(a.op, 0, a.c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.MutationReply, error) {
		return m.AllocateChunk(ctx, &api.AllocateRequest{Session: s.Proto(), Path: a.path, ChunkIndex: index, Kind: api.ChunkKind_RECORDS})
	})
	step.Mutation = reply
	// A chunk without a record is no effect of the append.
	if a.close(step, node, ok) == Unknown {
		a.c.allocs.Renew()
	}
	if !ok {
		return nil, true
	}
	switch reply.Code {
	case api.Code_OK, api.Code_EXISTS:
		return a.keep(index, reply.Handle, step.Start), false
	case api.Code_INVALID, api.Code_NOT_SEALED:
		// The file is shorter than believed, another one under the same name; or
		// its last chunk takes records after all.
		a.Last = fmt.Errorf("the master answers %v for a new chunk %d", reply.Code, index)
		a.c.Forget(a.path)
		return nil, false
	}
	a.c.Forget(a.path)
	return nil, a.refuse(reply.Code)
}

// order asks the primary for the append.
func (a *appender) order(t *tail, l *api.ChunkReply) (done bool) {
	var reply *api.AppendReply
	left, err := a.Attempt(l.Primary, l.Addresses[l.Primary], a.c.o.dataTimeout(len(a.data)), func(ctx context.Context, cc *conn) (err error) {
		reply, err = api.NewChunkserverClient(cc).RecordAppend(ctx, &api.AppendRequest{Id: a.id, Handle: l.Handle, Version: l.Version})
		return err
	})
	if err != nil {
		a.c.files.dropLease(a.path, t.index)
		return a.orderFailed(left, err)
	}
	switch reply.Code {
	case api.Code_OK:
		a.done(t.index, l, reply)
		return true
	case api.Code_CHUNK_FULL, api.Code_SEALED, api.Code_WRONG_KIND: // or somebody has put bytes at the end
		return a.next(t)
	case api.Code_NOT_FOUND:
		// The data was evicted, or dropped after an attempt that failed: push again.
	default:
		a.c.files.dropLease(a.path, t.index)
	}
	a.Last = fmt.Errorf("primary %s answers %v", l.Primary, reply.Code)
	return false
}

// next goes on at the chunk after a full one.
func (a *appender) next(t *tail) (done bool) {
	a.Pauses = 0
	a.c.files.dropLease(a.path, t.index)
	next, done := a.allocate(t.index + 1)
	if next == nil {
		return done
	}
	return a.round()
}

// orderFailed judges an error of the call that orders a mutation.
func (m *mutator) orderFailed(left bool, err error) (done bool) {
	switch status.Code(err) {
	case codes.FailedPrecondition: // not primary: nothing was done
	case codes.InvalidArgument:
		return true
	default:
		m.Maybe = m.Maybe || left
	}
	return false
}
