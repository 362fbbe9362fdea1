package serving

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gfslab/api"
	"gfslab/consensus"
)

// ProposeError maps an error of Replica.Propose to what the client may conclude:
//
//	FAILED_PRECONDITION + NotLeader   surely not done, try another replica
//	INVALID_ARGUMENT                  surely not done, and never will be
//	RESOURCE_EXHAUSTED                surely not done, try again later
//	DEADLINE_EXCEEDED, CANCELED       unknown: may have happened or may still
//	ABORTED                           unknown
//
// What is certain wins: a command that was dropped because its deadline passed
// is RESOURCE_EXHAUSTED.
func (d *Directory) ProposeError(err error) error {
	var notLeader *consensus.NotLeaderError
	known := consensus.OutcomeOf(err) == consensus.Fail
	switch {
	case known && errors.As(err, &notLeader):
		return d.NotLeader(notLeader.Hint)
	case known && errors.Is(err, consensus.ErrClosed):
		return d.NotLeader(0)
	case known && errors.Is(err, consensus.ErrRefused):
		return status.Error(codes.InvalidArgument, err.Error())
	case known:
		return status.Error(codes.ResourceExhausted, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "outcome unknown: "+err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "outcome unknown: "+err.Error())
	}
	return status.Error(codes.Aborted, "outcome unknown: "+err.Error())
}

// ReadError maps an error of ReadBarrier or ReadStale. A read changes nothing,
// so each of them is a plain failure.
func (d *Directory) ReadError(err error) error {
	var notLeader *consensus.NotLeaderError
	switch {
	case errors.As(err, &notLeader):
		return d.NotLeader(notLeader.Hint)
	case errors.Is(err, consensus.ErrClosed):
		return d.NotLeader(0)
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, consensus.ErrDropped):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

// NotLeader says that another replica leads: hint, or 0 if none is known.
func (d *Directory) NotLeader(hint consensus.NodeID) error {
	s := status.New(codes.FailedPrecondition, (&consensus.NotLeaderError{Hint: hint}).Error())
	detail := &api.NotLeader{Leader: uint64(hint)}
	if m, ok := d.Members(); ok {
		detail.Members, detail.MembersIndex = d.describe(append(m.Voters[:len(m.Voters):len(m.Voters)], m.Outgoing...)), m.Index
	}
	detailed, err := s.WithDetails(detail)
	if err != nil { // cannot happen: the detail is a plain message
		return s.Err()
	}
	return detailed.Err()
}
