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

// A peer that was cut off answers, when the link heals, every heartbeat that
// waited for it. Those answers must not make the leader send its log as often;
// the answer to the read round that is under way must still count.
func TestAnswersThatRepeatDoNotRepeatTheLog(t *testing.T) {
	log, err := storage.Open(storage.Options{FS: faultdisk.NewMem(1), Dir: "log"})
	if err != nil {
		t.Fatal(err)
	}
	made, err := NewCore(testConfig(3), log, founded(testConfig(3)))
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*core)
	var sent []*pb.Message
	var reads []engine.Read
	drain := func() {
		t.Helper()
		for c.HasReady() {
			var rd engine.Ready
			c.Ready(&rd)
			if rd.Token != 0 {
				p := rd.Persist
				if err := log.Commit(&storage.Batch{HardState: p.HardState, TruncateFrom: p.TruncateFrom, Entries: p.Entries}); err != nil {
					t.Fatal(err)
				}
				c.Persisted(rd.Token)
			}
			for _, m := range append(rd.SendNow, rd.SendAfterPersist...) {
				sent = append(sent, (*pb.Message)(m.Body.(*body)))
			}
			reads = append(reads, rd.Reads...)
			if n := len(rd.Apply); n > 0 {
				c.Applied(rd.Apply[n-1].Index)
			}
		}
	}
	step := func(m *pb.Message) {
		t.Helper()
		m.To = new(uint64(1))
		frame, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Step(consensus.NodeID(m.GetFrom()), frame); err != nil {
			t.Fatal(err)
		}
	}
	// Peer 2 grants and acknowledges everything; peer 3 is silent.
	for range 100 {
		c.Tick()
		drain()
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
			step(answer)
		}
		sent = nil
		drain()
	}
	term := c.Status().Term
	if c.Status().Role != consensus.Leader {
		t.Fatal("no leader")
	}
	for range 50 {
		if err := c.Propose(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		drain()
	}
	// Peer 2 confirms a thousand rounds; peer 3 hears of none of them yet.
	answer := func(from uint64, m *pb.Message) {
		step(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: &from, Term: &term, Context: m.Context})
		drain()
	}
	var held []*pb.Message
	ask := func(id uint64, confirm bool) {
		sent = nil
		c.ReadIndex(id)
		drain()
		for _, m := range sent {
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
	if len(reads) != 1000 || len(held) != 1000 {
		t.Fatalf("%d reads confirmed, %d heartbeats to peer 3", len(reads), len(held))
	}
	sent = nil
	c.Tick()
	for _, m := range held {
		answer(3, m)
	}
	logs := 0
	for _, m := range sent {
		if m.GetTo() == 3 && m.GetType() == pb.MsgApp {
			logs++
		}
	}
	if logs == 0 || logs > 2 {
		t.Errorf("%d answers within a tick made the leader send its log %d times, want once", len(held), logs)
	}
	// Two rounds that only peer 3 answers, within the same tick.
	for id := uint64(5000); id < 5002; id++ {
		held, reads = nil, nil
		ask(id, false)
		for _, m := range held {
			answer(3, m)
		}
		if len(reads) != 1 || reads[0].ID != id || reads[0].Refused {
			t.Errorf("reads %v; the answer to round %d was lost", reads, id)
		}
	}
}
