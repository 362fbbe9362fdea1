package etcdraft

import (
	"io"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"gfslab/consensus"
	"gfslab/consensus/storage"
)

// A leader may offer a snapshot with its first messages: a peer's late answer to what it
// sent when it led before, in the term for which it is elected now, acknowledges nothing.
// If the offer is lost, it must be made again.
func TestAnOfferWithTheFirstMessagesIsRepeated(t *testing.T) {
	l := lead(t)
	c := l.core
	for range 10 {
		if err := c.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		l.drain()
		l.acknowledge()
	}
	index := c.Status().Committed
	stamp, _ := l.log.Stamp(index)
	meta := storage.SnapshotMeta{Index: index, Stamp: stamp, Data: c.SnapshotData(index)}
	if err := l.log.SaveSnapshot(meta, func(io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c.Compact(index, meta)
	l.step(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), Term: new(c.Status().Term + 1)})
	l.drain()
	if c.Status().Role != consensus.Follower {
		t.Fatal("it leads still")
	}
	offers := func() (n int) {
		for _, m := range l.sent {
			if m.GetTo() == 3 && m.GetType() == pb.MsgSnap {
				n++
			}
		}
		return n
	}
	elected := false
	for tick := 0; tick < 100 && !elected; tick++ {
		c.Tick()
		l.drain()
		for _, m := range l.sent {
			if m.GetTo() == 2 && m.GetType() == pb.MsgVote {
				// Both answers come before the leader sends anything.
				l.step(&pb.Message{Type: pb.MsgVoteResp.Enum(), From: new(uint64(2)), Term: m.Term})
				l.step(&pb.Message{Type: pb.MsgAppResp.Enum(), From: new(uint64(3)), Term: m.Term, Index: new(uint64(0))})
				elected = true
			}
		}
		if !elected {
			l.acknowledge()
		}
	}
	l.sent = nil
	l.drain()
	if n := offers(); c.Status().Role != consensus.Leader || n != 1 {
		t.Fatalf("a %v offers %d snapshots with its first messages, want 1", c.Status().Role, n)
	}
	again := 0
	for range 3 * c.electionTicks {
		for _, m := range l.sent { // peer 3 lives, and never got the offer
			if m.GetTo() == 3 && m.GetType() == pb.MsgHeartbeat {
				l.step(&pb.Message{Type: pb.MsgHeartbeatResp.Enum(), From: new(uint64(3)), Term: m.Term, Context: m.Context})
			}
		}
		l.acknowledge() // as peer 2
		c.Tick()
		l.drain()
		again += offers()
	}
	if again == 0 || again > 3 {
		t.Errorf("the lost offer is repeated %d times in three election timeouts", again)
	}
}
