package etcdraft

import (
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/consensus/engine"
)

// configs are the configurations since the newest snapshot, by index; the last
// one is in effect at the newest entry handed out. Each came with its entry: a
// library's change carries, as its context, the configurations before and after
// it, with addresses. So a node that joins an old log, whose beginning names
// nobody, knows from the first change on who votes.
type configs []consensus.Members

func (cs configs) newest() consensus.Members { return cs[len(cs)-1] }

// at is the configuration at an index.
func (cs configs) at(index uint64) consensus.Members {
	i := len(cs) - 1
	for i > 0 && cs[i].Index > index {
		i--
	}
	return cs[i]
}

// forget drops what lies before the configuration at index.
func (cs configs) forget(index uint64) configs {
	n := 0
	for n+1 < len(cs) && cs[n+1].Index <= index {
		n++
	}
	return append(configs(nil), cs[n:]...)
}

// alone reports whether one voter is the whole quorum.
func alone(m consensus.Members) bool { return len(m.Voters) == 1 && len(m.Outgoing) == 0 }

// confState is the library's form. No change demotes a voter to a learner, so
// there are no next learners; a joint configuration is always left by itself.
func confState(m consensus.Members) *pb.ConfState {
	return &pb.ConfState{
		Voters: ids(m.Voters), VotersOutgoing: ids(m.Outgoing), Learners: ids(m.Learners),
		AutoLeave: new(len(m.Outgoing) > 0),
	}
}

func ids(peers []consensus.Peer) []uint64 {
	var list []uint64
	for _, p := range peers {
		list = append(list, uint64(p.ID))
	}
	return list
}

// Members implements engine.Changer.
func (c *core) Members() consensus.Members { return c.configs.newest() }

// ProposeChange implements engine.Changer. Adding or removing one node is a
// simple change, anything else a joint one that is left by itself. The library
// turns a change into an empty entry, without a word, when one before it is not
// yet applied; so it is not offered one. It knows of applications only by whole
// MsgStorageApply, so that the engine's index may be past the change before it is.
func (c *core) ProposeChange(ch consensus.Change) error {
	if !c.leads() || c.resigned {
		return engine.ErrNotLeader
	}
	before := c.configs.newest()
	after, err := before.Apply(ch)
	if err != nil {
		return err
	}
	if c.changing || c.node.BasicStatus().Applied < c.barrier || len(before.Outgoing) > 0 {
		return engine.ErrBusy
	}
	cc := &pb.ConfChangeV2{Context: appendMembers(appendMembers(nil, before), after)}
	for _, id := range ch.Remove {
		cc.Changes = append(cc.Changes, single(pb.ConfChangeRemoveNode, id))
	}
	for _, p := range after.Voters {
		if !before.IsVoter(p.ID) {
			cc.Changes = append(cc.Changes, single(pb.ConfChangeAddNode, p.ID))
		}
	}
	for _, p := range after.Learners {
		if !before.IsMember(p.ID) {
			cc.Changes = append(cc.Changes, single(pb.ConfChangeAddLearnerNode, p.ID))
		}
	}
	if err := c.node.ProposeConfChange(cc); err != nil {
		return engine.ErrBusy // a transfer is under way
	}
	c.changing = true
	return nil
}

func single(t pb.ConfChangeType, id consensus.NodeID) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: t.Enum(), NodeId: new(uint64(id))}
}

// change puts the configuration of a committed entry into effect. The library
// is told when the entry is handed out, before anything that follows it.
func (c *core) change(e *pb.Entry, out *engine.Ready) {
	cc := new(pb.ConfChangeV2)
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		c.fail(fmt.Errorf("etcdraft: the configuration in entry %d: %w", e.GetIndex(), err))
		return
	}
	now := c.configs.newest()
	after := now
	after.Outgoing = nil
	if !cc.LeaveJoint() {
		before, next, err := decodeChange(cc.Context)
		if err != nil {
			c.fail(fmt.Errorf("etcdraft: the configuration in entry %d: %w", e.GetIndex(), err))
			return
		}
		if len(now.Voters) == 0 {
			c.found(before)
			c.configs[len(c.configs)-1] = before // a snapshot of the state before this entry needs it
		}
		after = next
		if _, joint := cc.EnterJoint(); joint {
			after.Outgoing = before.Voters
		}
	}
	after.Index = e.GetIndex()
	if c.leads() && !after.IsMember(consensus.NodeID(c.id)) {
		c.bequeath(after, out)
	}
	c.node.ApplyConfChange(cc)
	c.configs = append(c.configs, after)
	out.Members = append(out.Members, engine.MembersChange{Index: after.Index, Members: after})
}

// found tells the library of the founders, one after the other: it takes no more
// at once.
func (c *core) found(m consensus.Members) {
	for _, p := range m.Voters {
		c.node.ApplyConfChange(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{single(pb.ConfChangeAddNode, p.ID)}})
	}
	for _, p := range m.Learners {
		c.node.ApplyConfChange(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{single(pb.ConfChangeAddLearnerNode, p.ID)}})
	}
}

// bequeath lets the best voter that stays campaign at once: this leader was
// removed, and the library steps it down without a successor.
func (c *core) bequeath(after consensus.Members, out *engine.Ready) {
	to := c.best(after)
	if to == 0 {
		return
	}
	out.SendNow = append(out.SendNow, message(&pb.Message{
		Type: pb.MsgTimeoutNow.Enum(), From: new(c.id), To: new(uint64(to)), Term: new(c.node.BasicStatus().GetTerm()),
	}))
}

// appendMembers encodes a configuration.
func appendMembers(b []byte, m consensus.Members) []byte {
	b = binary.AppendUvarint(b, m.Index)
	b = binary.AppendUvarint(b, uint64(m.MaxID))
	for _, list := range [][]consensus.Peer{m.Voters, m.Learners, m.Outgoing} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, p := range list {
			b = binary.AppendUvarint(b, uint64(p.ID))
			b = binary.AppendUvarint(b, uint64(len(p.Addr)))
			b = append(b, p.Addr...)
		}
	}
	return b
}

var errMembers = errors.New("a configuration that cannot be read")

func decodeChange(b []byte) (before, after consensus.Members, err error) {
	before, b, err = cutMembers(b)
	if err == nil {
		after, err = decodeMembers(b)
	}
	return before, after, err
}

func decodeMembers(b []byte) (consensus.Members, error) {
	m, rest, err := cutMembers(b)
	if err == nil && len(rest) > 0 {
		err = errMembers
	}
	return m, err
}

func cutMembers(b []byte) (m consensus.Members, rest []byte, err error) {
	uvarint := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			err, n = errMembers, len(b)
		}
		b = b[n:]
		return v
	}
	m.Index, m.MaxID = uvarint(), consensus.NodeID(uvarint())
	for _, list := range []*[]consensus.Peer{&m.Voters, &m.Learners, &m.Outgoing} {
		for n := uvarint(); n > 0 && err == nil; n-- {
			p := consensus.Peer{ID: consensus.NodeID(uvarint())}
			size := uvarint()
			if size > uint64(len(b)) {
				return m, nil, errMembers
			}
			p.Addr, b = string(b[:size]), b[size:]
			*list = append(*list, p)
		}
	}
	return m, b, err
}
