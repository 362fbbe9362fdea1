package etcdraft

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// The library's way of sending a snapshot is a message with the state in it. Here
// MsgSnap carries index, term and configuration only. The receiver holds it back
// and asks the engine to fetch the file; once that is durable, a MsgSnap that
// describes it is given to the library.

// receiving is the receiver's side.
type receiving struct {
	// from, term and index are of the newest MsgSnap held back; from 0 is none.
	from        consensus.NodeID
	term, index uint64
	// fetching is whom the engine was told to fetch from; want is yet to be told.
	fetching consensus.NodeID
	want     engine.Fetch
	// fetched is the newest snapshot that was fetched, zero if none.
	fetched storage.SnapshotMeta
	// installing are handed out and not yet durable.
	installing []installing
}

type installing struct {
	token uint64
	at    mark
}

// sent is a MsgSnap that a follower has not answered.
type sent struct {
	to, index uint64
	age       int // ticks
}

// stepSnapshot takes a MsgSnap.
func (c *core) stepSnapshot(m *pb.Message) error {
	meta := m.GetSnapshot().GetMetadata()
	b := c.node.BasicStatus()
	known, err := c.store.Term(meta.GetIndex())
	switch {
	case meta.GetIndex() == 0:
		return fmt.Errorf("%w: an empty snapshot", errKind)
	case m.GetTerm() < b.GetTerm(), meta.GetIndex() <= b.GetCommit(), err == nil && known == meta.GetTerm():
		// Late, or not needed: the library answers as it should, and takes nothing.
		return c.node.Step(m)
	}
	r := &c.receiving
	r.from, r.term, r.index = consensus.NodeID(m.GetFrom()), m.GetTerm(), meta.GetIndex()
	if r.fetched.Index > b.GetCommit() {
		c.install()
	} else if r.fetching != r.from {
		r.want = engine.Fetch{From: r.from, Index: r.index}
	}
	return nil
}

// Fetched implements engine.Compactor.
func (c *core) Fetched(snapshot storage.SnapshotMeta) {
	c.receiving.fetching = 0
	c.receiving.fetched = snapshot
	c.install()
}

// FetchFailed implements engine.Compactor. The leader will send its message
// again.
func (c *core) FetchFailed(consensus.NodeID) { c.receiving.fetching = 0 }

// install gives the library the MsgSnap held back, made to describe the snapshot
// that was fetched: perhaps it is another one than the leader spoke of, but what
// it holds is committed in any case. Without a message of the present term it
// waits for the next.
func (c *core) install() {
	r := &c.receiving
	if r.from == 0 || r.term < c.node.BasicStatus().GetTerm() {
		return
	}
	m, err := decodeMembers(r.fetched.Data)
	if err != nil {
		c.fail(fmt.Errorf("etcdraft: the snapshot through %d: %w", r.fetched.Index, err))
		return
	}
	state := confState(m)
	if !m.IsMember(consensus.NodeID(c.id)) {
		// The library takes no snapshot in which it does not occur, and a newcomer
		// does not occur in one from before its time. A learner it may be: it votes
		// on nothing before an entry that follows says so.
		state.Learners = append(state.Learners, c.id)
	}
	from, term := r.from, r.term
	r.from = 0
	// An error would be of a message that no peer may send; this one is of ours.
	_ = c.node.Step(&pb.Message{
		Type: pb.MsgSnap.Enum(), From: new(uint64(from)), To: new(c.id), Term: new(term),
		Snapshot: &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
			Index: new(r.fetched.Index), Term: new(r.fetched.Stamp), ConfState: state,
		}},
	})
}

// restore hands out the installation of a snapshot that the library has taken.
func (c *core) restore(s *pb.Snapshot, out *engine.Ready) {
	meta := c.receiving.fetched
	if meta.Index != s.GetMetadata().GetIndex() || meta.Stamp != s.GetMetadata().GetTerm() {
		c.fail(fmt.Errorf("etcdraft: the library installs a snapshot through %d, fetched was %d", s.GetMetadata().GetIndex(), meta.Index))
		return
	}
	m, err := decodeMembers(meta.Data)
	if err != nil {
		c.fail(err)
		return
	}
	out.Install = &meta
	// The library takes one only when its log contradicts it or ends before it.
	out.Persist.TruncateFrom = 1
	c.last = meta.Index
	c.committed = meta.Stamp
	c.store.recent = nil
	c.configs = configs{m}
	out.Members = append(out.Members, engine.MembersChange{Index: meta.Index, Members: m})
	c.receiving.installing = append(c.receiving.installing, installing{c.token + 1, mark{meta.Index, meta.Stamp}})
	c.store.offer(meta, m)
}

// installed tells the store of snapshots that are durable in place of the log.
func (c *core) installed(token uint64) {
	r := &c.receiving
	for len(r.installing) > 0 && r.installing[0].token <= token {
		c.store.floor = r.installing[0].at
		r.installing = r.installing[:copy(r.installing, r.installing[1:])]
	}
}

// SnapshotData implements engine.Compactor.
func (c *core) SnapshotData(index uint64) []byte { return appendMembers(nil, c.configs.at(index)) }

// Compact implements engine.Compactor.
func (c *core) Compact(index uint64, snapshot storage.SnapshotMeta) {
	m, err := decodeMembers(snapshot.Data)
	if err != nil {
		c.fail(fmt.Errorf("etcdraft: the snapshot through %d: %w", snapshot.Index, err))
		return
	}
	c.Applied(snapshot.Index) // so far the state machine is, and the library must know
	c.store.offer(snapshot, m)
	c.store.compact(index, mark{snapshot.Index, snapshot.Stamp})
	c.configs = c.configs.forget(snapshot.Index)
}

// sentSnapshot remembers an outgoing MsgSnap. The library sends nothing more to
// its receiver before it hears how the snapshot fared.
func (c *core) sentSnapshot(m *pb.Message) {
	for i := range c.sent {
		if c.sent[i].to == m.GetTo() {
			c.sent = append(c.sent[:i], c.sent[i+1:]...)
			break
		}
	}
	c.sent = append(c.sent, sent{to: m.GetTo(), index: m.GetSnapshot().GetMetadata().GetIndex()})
}

// ageSnapshots lets a tick pass. A receiver that is silent for an election
// timeout is tried again: the message, or its answer, may be lost, or it is
// fetching still, and takes no harm.
func (c *core) ageSnapshots() {
	rest := c.sent[:0]
	for _, s := range c.sent {
		if s.age++; s.age >= c.electionTicks {
			c.node.ReportSnapshot(s.to, raft.SnapshotFailure)
			continue
		}
		rest = append(rest, s)
	}
	c.sent = rest
}

// answered ends the wait for a receiver that has the snapshot, or more. The
// library does so by itself, unless the log was cut beyond it meanwhile.
func (c *core) answered(m *pb.Message) {
	for i, s := range c.sent {
		if s.to == m.GetFrom() && !m.GetReject() && m.GetIndex() >= s.index {
			c.sent = append(c.sent[:i], c.sent[i+1:]...)
			c.node.ReportSnapshot(s.to, raft.SnapshotFinish)
			return
		}
	}
}
