package etcdraft

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"gfslab/consensus"
	"gfslab/consensus/engine"
	"gfslab/consensus/storage"
	faultdisk "gfslab/internal/fault/disk"
)

// lonely is the core of replica 1 of three, on a log of its own, with a test that
// plays the peers.
type lonely struct {
	*testing.T
	core  *core
	log   *storage.Log
	sent  []*pb.Message
	reads []engine.Read
	votes int // how many were asked for
}

// lead makes replica 1 the leader: peer 2 grants and acknowledges everything,
// peer 3 is silent.
func lead(t *testing.T) *lonely {
	log, err := storage.Open(storage.Options{FS: faultdisk.NewMem(1), Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := NewCore(testConfig(3), log, founded(testConfig(3)))
	if err != nil {
		t.Fatal(err)
	}
	l := &lonely{T: t, core: made.(*core), log: log}
	for range 100 {
		l.core.Tick()
		l.drain()
		l.acknowledge()
	}
	if l.core.Status().Role != consensus.Leader || l.votes == 0 {
		t.Fatalf("no leader; %d votes were asked for", l.votes)
	}
	return l
}

// drain does what the core asks for, and collects what it sends and reads.
func (l *lonely) drain() {
	l.Helper()
	for l.core.HasReady() {
		var rd engine.Ready
		l.core.Ready(&rd)
		if rd.Token != 0 {
			p := rd.Persist
			if err := l.log.Commit(&storage.Batch{HardState: p.HardState, TruncateFrom: p.TruncateFrom, Entries: p.Entries}); err != nil {
				l.Fatal(err)
			}
			l.core.Persisted(rd.Token)
		}
		for i, m := range append(rd.SendNow, rd.SendAfterPersist...) {
			m := (*pb.Message)(m.Body.(*body))
			l.sent = append(l.sent, m)
			// A vote is for a term and a log that the candidate must not forget.
			if m.GetType() == pb.MsgVote {
				if l.votes++; i < len(rd.SendNow) || rd.Token == 0 || rd.Persist.HardState == nil {
					l.Errorf("a vote in term %d was asked for before that term was written", m.GetTerm())
				}
			}
		}
		l.reads = append(l.reads, rd.Reads...)
		if n := len(rd.Apply); n > 0 {
			l.core.Applied(rd.Apply[n-1].Index)
		}
	}
}

func (l *lonely) step(m *pb.Message) {
	l.Helper()
	m.To = new(uint64(1))
	frame, err := proto.Marshal(m)
	if err != nil {
		l.Fatal(err)
	}
	if err := l.core.Step(consensus.NodeID(m.GetFrom()), frame); err != nil {
		l.Fatal(err)
	}
}

// acknowledge answers as peer 2 what was sent to it.
func (l *lonely) acknowledge() {
	l.Helper()
	sent := l.sent
	l.sent = nil
	for _, m := range sent {
		if m.GetTo() != 2 {
			continue
		}
		answer := &pb.Message{From: new(uint64(2)), Term: m.Term}
		switch m.GetType() {
		case pb.MsgPreVote:
			answer.Type = pb.MsgPreVoteResp.Enum()
		case pb.MsgVote:
			answer.Type = pb.MsgVoteResp.Enum()
		case pb.MsgApp:
			answer.Type, answer.Index = pb.MsgAppResp.Enum(), new(m.GetIndex()+uint64(len(m.Entries)))
		case pb.MsgHeartbeat: // else the leader would step aside after a while
			answer.Type, answer.Context = pb.MsgHeartbeatResp.Enum(), m.Context
		default:
			continue
		}
		l.step(answer)
	}
	l.drain()
}

// A peer that was cut off answers, when the link heals, every heartbeat that
// waited for it. Those answers must not make the leader send its log as often;
// the answer to the read round that is under way must still count.
func TestAnswersThatRepeatDoNotRepeatTheLog(t *testing.T) {
	l := lead(t)
	c := l.core
	term := c.Status().Term
	for range 50 {
		if err := c.Propose(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		l.drain()
	}
	// Peer 2 confirms a thousand rounds; peer 3 hears of none of them yet.
	answer := func(from uint64, m *pb.Message) {
		l.step(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: &from, Term: &term, Context: m.Context})
		l.drain()
	}
	var held []*pb.Message
	ask := func(id uint64, confirm bool) {
		l.sent = nil
		c.ReadIndex(id)
		l.drain()
		for _, m := range l.sent {
			switch {
			case m.GetType() != pb.MsgHeartbeat:
			case m.GetTo() == 3:
				held = append(held, m)
			case confirm:
				answer(2, m)
			}
		}
	}
	for id := range uint64(1000) {
		ask(id, true)
	}
	if len(l.reads) != 1000 || len(held) != 1000 {
		t.Fatalf("%d reads confirmed, %d heartbeats to peer 3", len(l.reads), len(held))
	}
	l.sent = nil
	c.Tick()
	for _, m := range held {
		answer(3, m)
	}
	logs := 0
	for _, m := range l.sent {
		if m.GetTo() == 3 && m.GetType() == pb.MsgApp {
			logs++
		}
	}
	if logs == 0 || logs > 2 {
		t.Errorf("%d answers within a tick made the leader send its log %d times, want once", len(held), logs)
	}
	// Two rounds that only peer 3 answers, within the same tick.
	for id := uint64(5000); id < 5002; id++ {
		held, l.reads = nil, nil
		ask(id, false)
		for _, m := range held {
			answer(3, m)
		}
		if len(l.reads) != 1 || l.reads[0].ID != id || l.reads[0].Refused {
			t.Errorf("reads %v; the answer to round %d was lost", l.reads, id)
		}
	}
}

// A peer that lost what it had acknowledged, for its disk was exchanged under its
// old identity, refuses every append. The library asks it the same again at once;
// so the two must not go on for ever without the passing of time.
func TestAPeerThatLostItsLogIsAskedOnceATick(t *testing.T) {
	l := lead(t)
	for i := range 10 {
		if err := l.core.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		l.drain()
		if i < 5 { // the others are on their way when the disk goes
			l.acknowledge()
		}
	}
	for tick := range 5 {
		l.core.Tick()
		l.drain()
		asked := 0
		for len(l.sent) > 0 && asked < 100 {
			sent := l.sent
			l.sent = nil
			for _, m := range sent {
				switch {
				case m.GetTo() != 2:
				case m.GetType() == pb.MsgHeartbeat:
					l.step(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(uint64(2)), Term: m.Term, Context: m.Context})
				case m.GetType() == pb.MsgApp:
					asked++
					l.step(&pb.Message{
						Type: pb.MsgAppResp.Enum(), From: new(uint64(2)), Term: m.Term,
						Index: m.Index, Reject: new(true), RejectHint: new(uint64(0)), LogTerm: new(uint64(0)),
					})
				}
			}
			l.drain()
		}
		if asked > 10 || asked == 0 && tick == 0 {
			t.Errorf("tick %d: a peer without a log was sent %d appends, want a few", tick, asked)
		}
	}
}
