package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
)

// AppendResult is how a record append or a write ended.
type AppendResult struct {
	Outcome Outcome
	Err     error
	// Code is the master's or the primary's if it refused (NOT_FOUND: no such file);
	// OK otherwise.
	Code api.Code
	// Where the bytes are, if Outcome and Code are OK.
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
	// Steps are the operations at the master that the mutation made on its way. An
	// AllocateChunk among them is a mutation of its own session.
	Steps []Step
}

// Step is an operation at the master within a record append or write.
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

// mutator is one mutation of a chunk while it runs.
type mutator struct {
	*op
	path string
	data []byte
	id   *api.DataId
	res  *AppendResult
}

// mutation makes the frame of an operation that pushes data: round is called until
// it has set an outcome, or says that a further one is of no use. The data must
// not change until then.
func (c *Client) mutation(ctx context.Context, path string, data []byte, options []CallOption, round func(*mutator) (done bool)) AppendResult {
	s, settle := c.session.Identify(gather(options).session)
	o, end := c.start(ctx)
	defer end()
	res := AppendResult{Outcome: Fail, Session: s, CRC: api.Checksum(data)}
	c.review(path)
	m := &mutator{op: o, path: path, data: data, id: &api.DataId{Client: s.Client, Seq: s.Seq}, res: &res}
	for res.Outcome != OK && o.Live() {
		if done := round(m); done {
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

// refuse ends the operation with a code: a definite reply.
func (m *mutator) refuse(code api.Code) bool {
	if m.Maybe {
		// An earlier attempt may have had its effect on what is gone or full now.
		m.Last = fmt.Errorf("the answer is %v after an attempt of unknown end", code)
		return true
	}
	m.res.Outcome, m.res.Code = OK, code
	return true
}

// findLease learns the primary of the chunk at the index, by path: a handle that
// is known from before may have become a snapshot's alone, and what is written to
// it would change the snapshot. A nil reply is to be tried again; the code is the
// master's if it is not OK.
func (m *mutator) findLease(index uint32, handle uint64) (*api.ChunkReply, api.Code) {
	if l := m.c.files.lease(m.path, index); l != nil {
		return l, api.Code_OK
	}
	step := m.step(StepLease)
	step.Handle, step.ChunkIndex = handle, index
	reply, node, ok := ask(m.op, 0, m.c.o.LeaseTimeout, func(ctx context.Context, c api.MasterClient) (*api.ChunkReply, error) {
		return c.FindLeaseHolder(ctx, &api.LeaseRequest{Handle: handle, Path: m.path, ChunkIndex: index})
	})
	step.Chunk = reply
	m.close(step, node, ok)
	switch {
	case !ok:
		return nil, api.Code_OK
	case reply.Code == api.Code_OK && reply.Addresses[reply.Primary] != "" && len(reply.Replicas) > 0:
		m.c.files.of(m.path, step.Start).leases[index] = reply
		m.c.learn(reply)
		return reply, api.Code_OK
	case reply.Code == api.Code_OK:
		m.Last = fmt.Errorf("no address of the primary %q of chunk %d", reply.Primary, reply.Handle)
		return nil, api.Code_OK
	}
	m.Last = fmt.Errorf("the master answers %v for a lease on chunk %d of %s", reply.Code, index, m.path)
	return nil, reply.Code
}

// push sends the data along the chain of replicas, which starts at a random one.
// done means that it will never be taken.
func (m *mutator) push(index uint32, l *api.ChunkReply) (ok, done bool) {
	n := len(l.Replicas)
	first := m.c.Rand().IntN(n)
	chain := make([]string, 0, n)
	for i := range n {
		addr := l.Addresses[l.Replicas[(first+i)%n]]
		if addr == "" {
			m.Last = fmt.Errorf("no address of replica %q", l.Replicas[(first+i)%n])
			m.c.files.dropLease(m.path, index)
			return false, false
		}
		chain = append(chain, addr)
	}
	_, err := m.Attempt(l.Replicas[first], chain[0], m.c.o.dataTimeout(len(m.data)), func(ctx context.Context, cc *conn) error {
		if len(m.data) > pushWhole {
			return m.pushStream(ctx, api.NewChunkserverClient(cc), chain[1:])
		}
		_, err := api.NewChunkserverClient(cc).PushData(ctx, &api.PushRequest{Id: m.id, Data: m.data, Crc32C: m.res.CRC, Chain: chain[1:]})
		return err
	})
	if err != nil {
		m.abandon(index, l, err)
	}
	return err == nil, status.Code(err) == codes.InvalidArgument
}

// abandon gives up a lease under which a chunkserver could not be reached, and asks
// the leader to end it: the primary itself learns only from mutations, and none
// comes to it while the data does not reach every replica. One attempt: whoever
// grants the next lease finds out what is true.
func (m *mutator) abandon(index uint32, l *api.ChunkReply, err error) {
	m.c.files.dropLease(m.path, index)
	if c := status.Code(err); c != codes.Unavailable && c != codes.DeadlineExceeded || !m.Live() {
		return
	}
	maybe, last, leader := m.Maybe, m.Last, m.c.Leader()
	_, _ = m.Attempt(NodeName(leader), m.c.Address(leader), m.c.o.LeaseTimeout, func(ctx context.Context, cc *conn) error {
		_, err := api.NewMasterClient(cc).RevokeLease(ctx, &api.LeaseRequest{Handle: l.Handle, Epoch: l.Epoch})
		return err
	})
	m.Maybe, m.Last = maybe, last // what became of that is no part of the mutation
}

// Data above pushWhole bytes is pushed in pieces of pushPiece, so that each is
// forwarded while the next arrives (GFS paper, 3.2).
const (
	pushWhole = 64 << 10
	pushPiece = 64 << 10
)

func (m *mutator) pushStream(ctx context.Context, cs api.ChunkserverClient, chain []string) error {
	stream, err := cs.PushStream(ctx)
	if err != nil {
		return err
	}
	piece := &api.PushPiece{Id: m.id, Size: uint64(len(m.data)), Crc32C: m.res.CRC, Chain: chain}
	for at := 0; at < len(m.data); at += pushPiece {
		piece.Data = m.data[at:min(at+pushPiece, len(m.data))]
		if err := stream.Send(piece); errors.Is(err, io.EOF) {
			break // CloseAndRecv tells why
		} else if err != nil {
			return err
		}
		piece = new(api.PushPiece)
	}
	_, err = stream.CloseAndRecv()
	return err
}

// done notes where the mutation went.
func (m *mutator) done(index uint32, l *api.ChunkReply, reply *api.AppendReply) {
	r := m.res
	r.Outcome, r.Handle, r.ChunkIndex, r.Offset = OK, l.Handle, index, reply.Offset
	r.Version, r.Serial, r.Primary, r.Replicas = reply.Version, reply.Serial, l.Primary, l.Replicas
}

// openStep is a step under way.
type openStep struct {
	Step
	maybe bool // the operation's, before the step
	from  int  // first of the step's attempts
}

func (m *mutator) step(kind string) *openStep {
	s := &openStep{Step: Step{Kind: kind, Path: m.path, Start: m.c.Now()}, maybe: m.Maybe, from: len(m.Attempts)}
	m.Maybe = false // the step's own from here on
	return s
}

// close records the step and returns its outcome: unknown if an attempt may have
// had its effect. What the append itself may have done is as before the step.
func (m *mutator) close(s *openStep, node uint64, ok bool) Outcome {
	s.End, s.Node = m.c.Now(), node
	s.Attempts = append([]Attempt(nil), m.Attempts[s.from:]...)
	s.Outcome = OK
	if !ok {
		s.Outcome, s.Err = m.Outcome(), m.Err()
		s.Stat, s.Mutation, s.Chunk = nil, nil, nil
	}
	m.Maybe = s.maybe
	m.res.Steps = append(m.res.Steps, s.Step)
	return s.Outcome
}
