package multipaxos

import (
	"encoding/json"
	"errors"
	"fmt"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/paxos"
)

// To the core members are ids. Their addresses, and so the whole configuration,
// travel as the core's opaque data.

// encodeMembers returns m for the core.
func encodeMembers(m consensus.Members) (paxos.Members, error) {
	m.Index = 0
	data, err := json.Marshal(m)
	out := paxos.Members{Data: data}
	for _, p := range m.Voters {
		out.Voters = append(out.Voters, paxos.NodeID(p.ID))
	}
	for _, p := range m.Learners {
		out.Learners = append(out.Learners, paxos.NodeID(p.ID))
	}
	for _, p := range m.All() {
		if p.ID > maxNode {
			return out, fmt.Errorf("%w: node id %d is above %d", consensus.ErrRefused, p.ID, maxNode)
		}
	}
	return out, err
}

// decodeMembers reads what encodeMembers wrote.
func decodeMembers(m paxos.Members) (out consensus.Members) {
	if len(m.Data) == 0 || json.Unmarshal(m.Data, &out) != nil {
		// Nobody of this package wrote it: whom the ids belong to is not known.
		for _, id := range m.Voters {
			out.Voters = append(out.Voters, consensus.Peer{ID: consensus.NodeID(id)})
		}
		for _, id := range m.Learners {
			out.Learners = append(out.Learners, consensus.Peer{ID: consensus.NodeID(id)})
		}
	}
	out.MaxID = max(out.MaxID, consensus.NodeID(m.MaxID))
	return out
}

// membersOf is the configuration as the contract sees it: joint with the one before
// until it is sealed.
func membersOf(c paxos.MembersChange) consensus.Members {
	m := decodeMembers(c.Members)
	if m.Index = c.Entry; c.Before == nil {
		m.Outgoing = nil
	}
	return m
}

// Members implements engine.Changer.
func (c *core) Members() consensus.Members { return membersOf(c.node.Members()) }

// ProposeChange implements engine.Changer.
func (c *core) ProposeChange(change consensus.Change) error {
	if c.node.Status().Role != paxos.Leader {
		return engine.ErrNotLeader
	}
	now := c.Members()
	if len(now.Outgoing) > 0 {
		return engine.ErrBusy
	}
	next, err := now.Apply(change)
	if err != nil {
		return err
	}
	next.Outgoing = now.Voters
	m, err := encodeMembers(next)
	if err != nil {
		return err
	}
	_, err = c.node.ProposeMembers(m)
	return refusal(err)
}

// Transfer implements engine.Transferrer.
func (c *core) Transfer(to consensus.NodeID) error {
	if to > maxNode {
		return fmt.Errorf("%w: node %d is no voter", consensus.ErrRefused, to)
	}
	return refusal(c.node.Transfer(paxos.NodeID(to)))
}

// Resign implements engine.Resigner.
func (c *core) Resign() { c.node.Resign() }

// refusal translates an error of the core.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, paxos.ErrWindowFull):
		return engine.ErrBusy
	case errors.Is(err, paxos.ErrChange), errors.Is(err, paxos.ErrTransfer):
		return fmt.Errorf("%w: %w", consensus.ErrRefused, err)
	}
	return engine.ErrNotLeader
}
