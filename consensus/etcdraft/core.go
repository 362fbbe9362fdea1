package etcdraft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
)

// core is raft.RawNode as an engine.Core.
type core struct {
	id            uint64
	parallel      bool // the leader sends entries before its own write
	electionTicks int
	node          *raft.RawNode
	store         *store
	status        engine.CoreStatus

	// Writing: the newest token and index handed out, the term and vote that
	// the writes handed out so far carry, and a hard state not worth a write.
	token      uint64
	last       uint64
	term, vote uint64
	lazy       []byte
	// answers are the library's messages to itself, by the token they wait for.
	answers []answer
	// applying are the answers to applications handed out: see apply.go.
	applying []*pb.Message

	// A cluster of one: reads that wait until an entry of the own term is
	// committed, and the term of the newest committed entry handed out. The
	// library holds such reads back in larger clusters only: alone, after a
	// restart, it would answer with a commit index that is behind what was
	// acknowledged before.
	early     []uint64
	committed uint64

	// Membership: the configurations; the index that the library must know applied
	// before it takes another change; a change was proposed and is not yet in a Ready.
	configs  configs
	barrier  uint64
	changing bool

	receiving receiving
	sent      []sent
	resigned  bool // see Resign
	err       error

	// reads counts the reads that were confirmed in this leadership; heard are the
	// peers of whom an answer that confirms none was taken since the last tick. See
	// repeats.
	reads uint64
	heard map[uint64]bool
	// refused holds what each peer refused last in this tick: see refusesAgain.
	refused map[uint64]refusal
}

// refusal is what a follower says of an append that does not fit its log.
type refusal struct{ index, hint uint64 }

type answer struct {
	at       uint64
	messages []*pb.Message
}

func newCore(cfg consensus.Config, s *store, m consensus.Members, node *raft.RawNode) *core {
	c := &core{
		id: uint64(cfg.Self), parallel: cfg.Limits.LeaderDiskParallel, electionTicks: cfg.Limits.ElectionTicks,
		node: node, store: s, heard: map[uint64]bool{}, refused: map[uint64]refusal{},
		configs: configs{m}, term: s.durable.term, vote: s.durable.vote,
	}
	c.last, _ = s.LastIndex()
	b := node.BasicStatus()
	c.observe(&b.SoftState, b.HardState)
	return c
}

// Tick implements engine.Core.
func (c *core) Tick() {
	clear(c.heard)
	clear(c.refused)
	c.ageSnapshots()
	c.node.Tick()
}

var errKind = errors.New("etcdraft: message of a kind that no peer sends")

// Step implements engine.Core.
func (c *core) Step(from consensus.NodeID, frame []byte) error {
	m := new(pb.Message)
	if err := proto.Unmarshal(frame, m); err != nil {
		return fmt.Errorf("etcdraft: %w", err)
	}
	if m.GetFrom() != uint64(from) || m.GetTo() != c.id {
		return fmt.Errorf("etcdraft: message from %d to %d came from %d", m.GetFrom(), m.GetTo(), from)
	}
	switch m.GetType() {
	case pb.MsgApp, pb.MsgAppResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgPreVote, pb.MsgPreVoteResp,
		pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgTimeoutNow:
	case pb.MsgSnap:
		return c.stepSnapshot(m)
	default:
		return fmt.Errorf("%w: %v", errKind, m.GetType())
	}
	if m.GetType() == pb.MsgHeartbeatResp && c.repeats(m) || m.GetType() == pb.MsgAppResp && c.refusesAgain(m) {
		return nil
	}
	err := c.node.Step(m)
	if m.GetType() == pb.MsgAppResp && len(c.sent) > 0 {
		c.answered(m)
	}
	return err
}

// repeats reports whether a heartbeat's answer is one of many that say the same.
// Each read round is a heartbeat to everybody. A peer that was cut off finds all
// of them in its socket when the link heals, thousands in a row, and answers each;
// and to each answer of a peer that lags the library sends all that one message
// may hold, read and encoded anew. That stalled a healthy majority for up to
// 0.6 s. So of the answers that confirm no read that still waits (the library
// numbers the reads of a leadership, and an answer names the last it confirms)
// one a peer and tick is taken; the others count as lost.
func (c *core) repeats(m *pb.Message) bool {
	if ctx := m.GetContext(); len(ctx) == 8 && binary.LittleEndian.Uint64(ctx) > c.reads {
		return false
	}
	if c.heard[m.GetFrom()] {
		return true
	}
	c.heard[m.GetFrom()] = true
	return false
}

// refusesAgain reports whether a peer refuses in this tick what it refused just
// before. As long as its log holds what it acknowledged, the library has stepped
// back by then and passes over the repetition itself. But a peer whose disk was
// exchanged under its old identity refuses for ever: the library never goes below
// what a peer once acknowledged, asks the same again at once, and the two would
// keep a processor and the network busy with nothing else.
func (c *core) refusesAgain(m *pb.Message) bool {
	if !m.GetReject() {
		return false
	}
	now := refusal{m.GetIndex(), m.GetRejectHint()}
	if c.refused[m.GetFrom()] == now {
		return true
	}
	c.refused[m.GetFrom()] = now
	return false
}

// Propose implements engine.Core.
func (c *core) Propose(data []byte) error {
	if c.resigned {
		return engine.ErrNotLeader
	}
	err := c.node.Propose(data)
	switch {
	case err == nil:
		return nil
	case c.leads():
		return engine.ErrBusy
	}
	return engine.ErrNotLeader
}

// ReadIndex implements engine.Core. A follower would forward the question to
// its leader, so it is not asked.
func (c *core) ReadIndex(id uint64) {
	switch {
	case !c.leads() || c.resigned:
	case alone(c.configs.newest()) && c.committed != c.node.BasicStatus().GetTerm():
		c.early = append(c.early, id)
	default:
		c.node.ReadIndex(binary.BigEndian.AppendUint64(nil, id))
	}
}

// askEarly asks again for the reads that came too early.
func (c *core) askEarly() {
	ids := c.early
	c.early = nil
	for _, id := range ids {
		c.ReadIndex(id)
	}
}

// HasReady implements engine.Core.
func (c *core) HasReady() bool { return c.node.HasReady() || c.receiving.want.From != 0 }

// Ready implements engine.Core.
func (c *core) Ready(out *engine.Ready) {
	if r := &c.receiving; r.want.From != 0 {
		out.Fetch, r.fetching, r.want = r.want, r.want.From, engine.Fetch{}
	}
	if !c.node.HasReady() {
		return
	}
	rd := c.node.Ready()
	led := c.status.Role == consensus.Leader
	term := c.status.Term
	c.observe(rd.SoftState, rd.HardState)
	if led && c.status.Role == consensus.Leader && c.status.Term == term {
		c.reads += uint64(len(rd.ReadStates))
	} else {
		c.reads = 0 // a new leadership numbers its reads from 1
	}
	leads := !led && c.status.Role == consensus.Leader
	if leads {
		c.sent = nil // of a former leadership; a snapshot may be among the first messages of this one
	}
	for _, m := range rd.Messages {
		switch {
		case m.GetTo() == raft.LocalAppendThread:
			c.persist(m, out)
		case m.GetTo() == raft.LocalApplyThread:
			c.apply(m, out)
		case m.GetType() == pb.MsgSnap:
			c.sentSnapshot(m) // also if it is kept back: the library waits for an answer
			if c.speaks(m) {
				out.SendAfterPersist = append(out.SendAfterPersist, message(m))
			}
		case !c.speaks(m):
		case m.GetType() == pb.MsgVote, m.GetType() == pb.MsgApp && !c.parallel:
			// A vote is given to a log and a term that must not be forgotten: a
			// candidate that lost both in a crash would stand in the same term again,
			// with less, and count the votes that were given before. Appends without
			// entries wait too: overtaking, they would be refused.
			out.SendAfterPersist = append(out.SendAfterPersist, message(m))
		default:
			out.SendNow = append(out.SendNow, message(m))
		}
	}
	if leads {
		c.barrier, c.changing = c.last, false
	}
	if len(c.early) > 0 {
		c.askEarly()
	}
	for _, r := range rd.ReadStates {
		if len(r.RequestCtx) == 8 {
			out.Reads = append(out.Reads, engine.Read{ID: binary.BigEndian.Uint64(r.RequestCtx), Index: r.Index})
		}
	}
}

// persist turns a MsgStorageAppend into a token. Only entries, a new term or a
// new vote are worth a write; a commit index alone travels with the next one.
func (c *core) persist(m *pb.Message, out *engine.Ready) {
	if m.Term != nil { // the message carries a hard state
		c.lazy = encodeHardState(m.GetTerm(), m.GetVote(), m.GetCommit())
	}
	if m.Snapshot != nil || len(m.Entries) > 0 || m.Term != nil && (m.GetTerm() != c.term || m.GetVote() != c.vote) {
		out.Persist.HardState, c.lazy = c.lazy, nil
		if m.Term != nil {
			c.term, c.vote = m.GetTerm(), m.GetVote()
		}
		if m.Snapshot != nil {
			c.restore(m.Snapshot, out)
		}
		if len(m.Entries) > 0 {
			c.write(m.Entries, out)
		}
	} else if len(m.Responses) == 0 {
		return
	}
	c.token++
	out.Token = c.token
	var self []*pb.Message
	for _, r := range m.Responses {
		if r.GetTo() == c.id {
			self = append(self, r)
		} else {
			out.SendAfterPersist = append(out.SendAfterPersist, message(r))
		}
	}
	c.answers = append(c.answers, answer{c.token, self})
}

func (c *core) write(entries []*pb.Entry, out *engine.Ready) {
	if first := entries[0].GetIndex(); first <= c.last {
		out.Persist.TruncateFrom = first
	}
	for _, e := range entries {
		out.Persist.Entries = append(out.Persist.Entries, entry(e))
		if e.GetType() == pb.EntryConfChangeV2 {
			c.barrier, c.changing = e.GetIndex(), false
		}
	}
	c.last = entries[len(entries)-1].GetIndex()
	c.store.keep(entries)
}

// entry is an entry in the log's form: the mark takes the place of the type.
func entry(e *pb.Entry) storage.Entry {
	data := e.GetData()
	if e.GetType() == pb.EntryConfChangeV2 {
		data = append([]byte{engine.ConfigMark}, data...)
	}
	return storage.Entry{Index: e.GetIndex(), Stamp: e.GetTerm(), Data: data}
}

// Persisted implements engine.Core.
func (c *core) Persisted(token uint64) {
	c.installed(token)
	c.answers = c.deliver(c.answers, token)
	c.resume()
}

// deliver steps the answers up to at and returns the rest.
func (c *core) deliver(answers []answer, at uint64) []answer {
	n := 0
	for n < len(answers) && answers[n].at <= at {
		for _, m := range answers[n].messages {
			// The only error is one of a message to a former self (an older
			// term), which the library expects to be dropped.
			_ = c.node.Step(m)
		}
		n++
	}
	rest := copy(answers, answers[n:])
	clear(answers[rest:])
	return answers[:rest]
}

// observe keeps the status, so that asking for it costs nothing.
func (c *core) observe(soft *raft.SoftState, hard *pb.HardState) {
	if soft != nil {
		c.status.Leader = consensus.NodeID(soft.Lead)
		c.resigned = c.resigned && soft.RaftState == raft.StateLeader
		switch soft.RaftState {
		case raft.StateLeader:
			c.status.Role = consensus.Leader
		case raft.StateFollower:
			c.status.Role = consensus.Follower
		default:
			c.status.Role = consensus.Candidate
		}
	}
	if hard != nil {
		c.status.Term, c.status.Committed = hard.GetTerm(), hard.GetCommit()
	}
}

func (c *core) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Err implements engine.Failer.
func (c *core) Err() error { return c.err }

// Status implements engine.Core.
func (c *core) Status() engine.CoreStatus { return c.status }

// body is a library message that encodes itself.
type body pb.Message

func message(m *pb.Message) engine.Message {
	return engine.Message{To: consensus.NodeID(m.GetTo()), Body: (*body)(m)}
}

// Size implements engine.Body.
func (b *body) Size() int { return proto.Size((*pb.Message)(b)) }

// Append implements engine.Body; Size was just called, so its sums are reused.
func (b *body) Append(dst []byte) []byte {
	out, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(dst, (*pb.Message)(b))
	if err != nil {
		panic(fmt.Sprintf("etcdraft: encoding a message: %v", err)) // no field of it can fail
	}
	return out
}
