package hashiraft

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"gfslab/consensus"
)

// proposeOutcome says what the library's answer to Apply means for the
// commands. Only three answers prove that nothing happened: ErrNotLeader and
// ErrLeadershipTransferInProgress, given before an entry is made of the
// command, and ErrEnqueueTimeout.
func proposeOutcome(err error, hint consensus.NodeID) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return &consensus.NotLeaderError{Hint: hint}
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	return fmt.Errorf("%w: %w", consensus.ErrUnknown, err)
}

// readOutcome says what the library's answer to VerifyLeader means for a read.
func readOutcome(err error, hint consensus.NodeID) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return &consensus.NotLeaderError{Hint: hint}
	case errors.Is(err, raft.ErrRaftShutdown):
		return consensus.ErrClosed
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", consensus.ErrDropped, err)
	}
	return fmt.Errorf("hashiraft: read: %w", err)
}
