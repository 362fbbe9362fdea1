package kv

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
	"gfslab/internal/serving"
	"gfslab/kv/store"
)

// Options configure a Server.
type Options struct {
	// Open opens the replica over the given state machine. The server owns the
	// replica: Close closes it. Required.
	Open func(consensus.StateMachine) (consensus.Replica, error)
	// Directory knows the cluster's members. Nil: clients learn the leader's id only.
	Directory *serving.Directory
	// OnApply and OnRestore observe the state machine; either may be nil.
	OnApply   ApplyFunc
	OnRestore func(index uint64, hash string)
}

// Server is one replica of the key-value store. It implements api.KVServer; all
// methods may be called from any goroutine.
type Server struct {
	api.UnimplementedKVServer
	machine   *Machine
	replica   consensus.Replica
	directory *serving.Directory
}

var _ api.KVServer = (*Server)(nil)

// New opens the replica.
func New(o Options) (*Server, error) {
	if o.Open == nil {
		return nil, errors.New("kv: there is no replica to open")
	}
	machine := NewMachine(o.OnApply, o.OnRestore)
	replica, err := o.Open(machine)
	if err != nil {
		return nil, err
	}
	return &Server{machine: machine, replica: replica, directory: o.Directory}, nil
}

// Replica returns the replica, for its status and counters. The server owns it.
func (s *Server) Replica() consensus.Replica { return s.replica }

// Machine returns the state machine.
func (s *Server) Machine() *Machine { return s.machine }

// Close closes the replica. Calls in progress end with errors. It is idempotent.
func (s *Server) Close() error { return s.replica.Close() }

// Put sets a key.
func (s *Server) Put(ctx context.Context, r *api.KVPutRequest) (*api.KVReply, error) {
	return s.change(ctx, r.Session, store.Command{Op: store.Put, Key: string(r.Key), Value: r.Value})
}

// Delete removes a key.
func (s *Server) Delete(ctx context.Context, r *api.KVDeleteRequest) (*api.KVReply, error) {
	return s.change(ctx, r.Session, store.Command{Op: store.Delete, Key: string(r.Key)})
}

// CompareAndSwap sets a key if it has the expected value, or none.
func (s *Server) CompareAndSwap(ctx context.Context, r *api.KVSwapRequest) (*api.KVReply, error) {
	return s.change(ctx, r.Session, store.Command{
		Op: store.CompareAndSwap, Key: string(r.Key), Value: r.Value, Expect: r.Expect, Absent: r.Absent,
	})
}

// change proposes a command. A malformed one is refused without going through the
// log: it makes no sense in any state.
func (s *Server) change(ctx context.Context, session *api.Session, c store.Command) (*api.KVReply, error) {
	c.Client, c.Seq = session.GetClient(), session.GetSeq()
	if err := c.Validate(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	size := len(c.Client) + len(c.Key) + len(c.Value) + len(c.Expect) + 32
	result, err := s.replica.Propose(ctx, c.Append(make([]byte, 0, size)))
	if err != nil {
		return nil, s.directory.ProposeError(err)
	}
	reply, err := store.ParseReply(result.Value)
	if err != nil { // done, but no one can say what
		return nil, status.Error(codes.Aborted, "outcome unknown: "+err.Error())
	}
	return &api.KVReply{
		Code: api.KVCode(reply.Code), Revision: reply.Revision, Replayed: reply.Replayed,
		At: s.position(reply.Index, reply.Offset),
	}, nil
}

// Get looks a key up.
func (s *Server) Get(ctx context.Context, r *api.KVGetRequest) (*api.KVReply, error) {
	if err := s.barrier(ctx, r); err != nil {
		return nil, err
	}
	value, revision, code, index, commands := s.machine.get(string(r.Key))
	return &api.KVReply{Code: api.KVCode(code), Value: value, Revision: revision, At: s.position(index, commands)}, nil
}

// barrier makes the local state fit for the lookup.
func (s *Server) barrier(ctx context.Context, r *api.KVGetRequest) (err error) {
	if !r.Stale {
		_, err = s.replica.ReadBarrier(ctx)
	} else if stale, ok := s.replica.(consensus.StaleReader); ok {
		_, err = stale.ReadStale(ctx, r.AtLeast)
	} else {
		return status.Error(codes.Unimplemented, "this replica serves no stale reads")
	}
	if err != nil {
		return s.directory.ReadError(err)
	}
	return nil
}

func (s *Server) position(index uint64, offset uint32) *api.Position {
	return &api.Position{Index: index, Offset: offset, Term: s.term(), Members: s.directory.Index()}
}

// term is the leadership epoch that goes into replies.
func (s *Server) term() uint64 {
	if r, ok := s.replica.(consensus.TermReader); ok {
		return r.Term()
	}
	return s.replica.Status().Term
}
