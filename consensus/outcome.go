package consensus

import (
	"errors"
	"fmt"
)

// Outcome classifies what an error says about a command.
type Outcome uint8

// The outcomes.
const (
	// OK: the command took effect.
	OK Outcome = iota
	// Fail: the command surely did not and will not take effect.
	Fail
	// Unknown: the command may have taken effect, or may yet.
	Unknown
)

func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Fail:
		return "fail"
	case Unknown:
		return "unknown"
	}
	return "invalid"
}

// NotLeaderError says that the command surely was not done because this
// replica does not lead. Hint is the leader it knows of, or 0.
type NotLeaderError struct{ Hint NodeID }

func (e *NotLeaderError) Error() string {
	if e.Hint == 0 {
		return "consensus: not the leader, and none is known"
	}
	return fmt.Sprintf("consensus: not the leader, try node %d", e.Hint)
}

var (
	// ErrDropped: the command was surely not done (queue full, too large, or
	// withdrawn before it left this replica). Retrying is safe.
	ErrDropped = errors.New("consensus: command dropped before it was proposed")
	// ErrUnknown: the command may have happened or may still happen.
	ErrUnknown = errors.New("consensus: outcome of the command is unknown")
	// ErrClosed: the replica is closed; surely not done.
	ErrClosed = errors.New("consensus: replica is closed")
)

// OutcomeOf classifies an error returned by Replica.Propose. An error that is
// none of the package's own is Unknown: a failure must be proved.
func OutcomeOf(err error) Outcome {
	var notLeader *NotLeaderError
	switch {
	case err == nil:
		return OK
	case errors.Is(err, ErrUnknown):
		return Unknown
	case errors.Is(err, ErrDropped), errors.Is(err, ErrRefused), errors.Is(err, ErrClosed), errors.As(err, &notLeader):
		return Fail
	}
	return Unknown
}
