package etcdraft

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

func (c *core) leads() bool { return c.node.BasicStatus().RaftState == raft.StateLeader }

// Transfer implements engine.Transferrer. The library waits for the successor
// to have everything, for one election timeout at most, and drops proposals
// meanwhile.
func (c *core) Transfer(to consensus.NodeID) error {
	if !c.leads() || c.resigned {
		return engine.ErrNotLeader
	}
	m := c.configs.newest()
	if to == 0 {
		to = c.best(m)
	}
	if to == consensus.NodeID(c.id) || !m.IsVoter(to) {
		return fmt.Errorf("%w: node %d cannot take the lead over: it is no other voter", consensus.ErrRefused, to)
	}
	c.node.TransferLeader(uint64(to))
	return nil
}

// best is the voter of m, other than this node, that has most of the log and was
// heard of lately; 0 if there is none.
func (c *core) best(m consensus.Members) consensus.NodeID {
	var found consensus.NodeID
	var match uint64
	heard := false
	c.node.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		if id == c.id || !m.IsVoter(consensus.NodeID(id)) {
			return
		}
		if found == 0 || pr.RecentActive && !heard || pr.RecentActive == heard && pr.Match > match {
			found, match, heard = consensus.NodeID(id), pr.Match, pr.RecentActive
		}
	})
	return found
}

// Resign implements engine.Resigner. The library has no way to step down. So the
// best voter is told to campaign, which the library does at once if it lacks
// nothing; in any case this node says no more as a leader, and so loses its
// quorum. It leads again if its log does before anybody else has won.
func (c *core) Resign() {
	if !c.leads() || c.resigned {
		return
	}
	if to := c.best(c.configs.newest()); to != 0 {
		c.node.TransferLeader(uint64(to))
	}
	c.resigned = true
	c.status.Role, c.status.Leader = consensus.Follower, 0
}

// resume takes a resignation back.
func (c *core) resume() {
	if !c.resigned {
		return
	}
	c.resigned = false
	if b := c.node.BasicStatus(); b.RaftState == raft.StateLeader {
		c.observe(&b.SoftState, b.HardState)
	}
}

// speaks reports whether a message may leave: a leader that has resigned sends
// nothing as a leader but the call to take over.
func (c *core) speaks(m *pb.Message) bool {
	if !c.resigned {
		return true
	}
	switch m.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		return false
	}
	return true
}
