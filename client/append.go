package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

var errNoSuchMaster = errors.New("client: no master with that node id")

// tail is what a client believes about the last chunk of a file.
type tail struct {
	index  uint32
	handle uint64
	lease  *api.ChunkReply // nil: to be asked for
}

// AppendResult is how a record append ended.
type AppendResult struct {
	Outcome Outcome
	Err     error
	// Code is the master's if it refused (NOT_FOUND: no such file); OK otherwise.
	Code api.Code
	// Where the record is, if Outcome is OK and Code is OK.
	Handle     uint64
	ChunkIndex uint32
	Offset     uint64
	Version    uint64
	Serial     uint64
	Primary    string
	Replicas   []string
	CRC        uint32 // crc32c of the payload
	Session    Session
	Attempts   []Attempt // all calls, those of Steps included
	// Steps are the operations at the master that the append made on its way. An
	// AllocateChunk among them is a mutation of its own session.
	Steps []Step
}

// Step is an operation at the master within an append.
type Step struct {
	Kind       string // stat, allocate, find-lease
	Path       string
	Handle     uint64
	ChunkIndex uint32
	Session    Session // allocate
	Start, End time.Time
	Outcome    Outcome
	Err        error
	Node       uint64
	// One of the replies is set if Outcome is OK.
	Stat     *api.StatReply
	Mutation *api.MutationReply
	Chunk    *api.ChunkReply
	Attempts []Attempt
}

// The kinds of steps.
const (
	StepStat     = "stat"
	StepAllocate = "allocate"
	StepLease    = "find-lease"
)

// appender is one record append while it runs.
type appender struct {
	*op
	path    string
	payload []byte
	id      *api.DataId
	res     *AppendResult
}

// RecordAppend adds the payload to the file's last chunk, or to a new one when
// that is full, and returns where. At least once: a retry after an attempt whose
// end is not known may leave another copy. The payload must not change until
// the call returns.
func (c *Client) RecordAppend(ctx context.Context, path string, payload []byte, options ...CallOption) AppendResult {
	s, settle := c.session.Identify(gather(options).session)
	o, end := c.start(ctx)
	defer end()
	res := AppendResult{Outcome: Fail, Session: s, CRC: api.Checksum(payload)}
	a := &appender{op: o, path: path, payload: payload, id: &api.DataId{Client: s.Client, Seq: s.Seq}, res: &res}
	for res.Outcome != OK && o.Live() {
		if done := a.round(); done {
			break
		}
		if res.Outcome != OK && !o.Pause() {
			break
		}
	}
	if res.Outcome != OK {
		res.Outcome, res.Err = o.Outcome(), o.Err()
	}
	res.Attempts = o.Attempts
	settle(res.Outcome)
	return res
}

// round goes once through all steps; done means that a further one is of no use.
func (a *appender) round() (done bool) {
	t, done := a.findTail()
	if t == nil {
		return done
	}
	if t.lease == nil && !a.findLease(t) {
		return false
	}
	primary := t.lease.Addresses[t.lease.Primary]
	if primary == "" {
		a.Last = fmt.Errorf("no address of the primary %q", t.lease.Primary)
		t.lease = nil
		return false
	}
	if !a.push(t.lease) {
		t.lease = nil
		return false
	}
	return a.order(t, primary)
}

// findTail returns the file's last chunk. Without one, the append ended or has
// to be tried again.
func (a *appender) findTail() (t *tail, done bool) {
	if t := a.c.files[a.path]; t != nil {
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
	if n := len(reply.Chunks); n > 0 {
		t = &tail{index: uint32(n - 1), handle: reply.Chunks[n-1]}
		a.c.files[a.path] = t
		return t, false
	}
	return a.allocate(0)
}

// refuse ends the append with the master's code: a definite reply.
func (a *appender) refuse(code api.Code) bool {
	if a.Maybe {
		// An earlier attempt may have left a record in a file that is gone now.
		a.Last = fmt.Errorf("the master answers %v after an attempt of unknown end", code)
		return true
	}
	a.res.Outcome, a.res.Code = OK, code
	return true
}

// allocate makes the chunk at index, or learns which one is there.
func (a *appender) allocate(index uint32) (t *tail, done bool) {
	s := a.c.allocs.Next()
	step := a.step(StepAllocate)
	step.Session, step.ChunkIndex = s, index
	reply, node, ok := ask(a.op, 0, a.c.o.AttemptTimeout, func(ctx context.Context, m api.MasterClient) (*api.MutationReply, error) {
		return m.AllocateChunk(ctx, &api.AllocateRequest{Session: s.Proto(), Path: a.path, ChunkIndex: index})
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
		t = &tail{index: index, handle: reply.Handle}
		a.c.files[a.path] = t
		return t, false
	case api.Code_INVALID:
		// The file is shorter than believed: another one under the same name.
		delete(a.c.files, a.path)
		return nil, false
	}
	delete(a.c.files, a.path)
	return nil, a.refuse(reply.Code)
}

// findLease learns the chunk's primary; false means that it should be tried again.
func (a *appender) findLease(t *tail) bool {
	step := a.step(StepLease)
	step.Handle, step.ChunkIndex = t.handle, t.index
	reply, node, ok := ask(a.op, 0, a.c.o.LeaseTimeout, func(ctx context.Context, m api.MasterClient) (*api.ChunkReply, error) {
		return m.FindLeaseHolder(ctx, &api.LeaseRequest{Handle: t.handle})
	})
	step.Chunk = reply
	a.close(step, node, ok)
	switch {
	case !ok:
		return false
	case reply.Code == api.Code_OK && reply.Primary != "":
		t.lease = reply
		a.c.chunks[t.handle] = reply
		return true
	case reply.Code == api.Code_NO_CHUNK || reply.Code == api.Code_NOT_FOUND:
		delete(a.c.files, a.path)
	}
	a.Last = fmt.Errorf("the master answers %v for a lease on chunk %d", reply.Code, t.handle)
	return false
}

// push sends the data along the chain of replicas, which starts at a random one.
func (a *appender) push(l *api.ChunkReply) bool {
	n := len(l.Replicas)
	if n == 0 {
		a.Last = errors.New("the grant has no replicas")
		return false
	}
	first := a.c.Rand().IntN(n)
	chain := make([]string, 0, n)
	for i := range n {
		addr := l.Addresses[l.Replicas[(first+i)%n]]
		if addr == "" {
			a.Last = fmt.Errorf("no address of replica %q", l.Replicas[(first+i)%n])
			return false
		}
		chain = append(chain, addr)
	}
	_, err := a.Attempt(l.Replicas[first], chain[0], a.c.o.DataTimeout, func(ctx context.Context, cc *conn) error {
		_, err := api.NewChunkserverClient(cc).PushData(ctx, &api.PushRequest{Id: a.id, Data: a.payload, Crc32C: a.res.CRC, Chain: chain[1:]})
		return err
	})
	return err == nil
}

// order asks the primary for the append.
func (a *appender) order(t *tail, addr string) (done bool) {
	l := t.lease
	var reply *api.AppendReply
	left, err := a.Attempt(l.Primary, addr, a.c.o.DataTimeout, func(ctx context.Context, cc *conn) (err error) {
		reply, err = api.NewChunkserverClient(cc).RecordAppend(ctx, &api.AppendRequest{Id: a.id, Handle: t.handle, Version: l.Version})
		return err
	})
	if err != nil {
		t.lease = nil
		switch status.Code(err) {
		case codes.FailedPrecondition: // not primary: nothing was done
		case codes.InvalidArgument:
			return true
		default:
			a.Maybe = a.Maybe || left
		}
		return false
	}
	switch reply.Code {
	case api.Code_OK:
		r := a.res
		r.Outcome, r.Handle, r.ChunkIndex, r.Offset = OK, t.handle, t.index, reply.Offset
		r.Version, r.Serial, r.Primary, r.Replicas = reply.Version, reply.Serial, l.Primary, l.Replicas
		return true
	case api.Code_CHUNK_FULL:
		a.Pauses = 0
		next, done := a.allocate(t.index + 1)
		if next == nil {
			return done
		}
		return a.round()
	case api.Code_NOT_FOUND:
		// The data was evicted, or dropped after an attempt that failed: push again.
	default:
		t.lease = nil
	}
	a.Last = fmt.Errorf("primary %s answers %v", l.Primary, reply.Code)
	return false
}

// openStep is a step under way.
type openStep struct {
	Step
	maybe bool // the operation's, before the step
	from  int  // first of the step's attempts
}

func (a *appender) step(kind string) *openStep {
	s := &openStep{Step: Step{Kind: kind, Path: a.path, Start: a.c.Now()}, maybe: a.Maybe, from: len(a.Attempts)}
	a.Maybe = false // the step's own from here on
	return s
}

// close records the step and returns its outcome: unknown if an attempt may have
// had its effect. What the append itself may have done is as before the step.
func (a *appender) close(s *openStep, node uint64, ok bool) Outcome {
	s.End, s.Node = a.c.Now(), node
	s.Attempts = append([]Attempt(nil), a.Attempts[s.from:]...)
	s.Outcome = OK
	if !ok {
		s.Outcome, s.Err = a.Outcome(), a.Err()
		s.Stat, s.Mutation, s.Chunk = nil, nil, nil
	}
	a.Maybe = s.maybe
	a.res.Steps = append(a.res.Steps, s.Step)
	return s.Outcome
}
